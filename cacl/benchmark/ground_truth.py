"""Hidden truth: read here, by the benchmark, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cacl.errors import ConfigError
from cacl.image.tile_grid import TileGrid

STAINED_TRUTH = 2
Bool = NDArray[np.bool_]


def read_truth(
    folder: Path, image_id: str, grid: TileGrid, value: int = STAINED_TRUTH
) -> tuple[Bool, Bool]:
    """Return where the pattern truly is, and where cells truly are, in analysis pixels.

    Parameters
    ----------
    folder
        Holds `<antibody_id>/<name>.png`: 0 = neither, 1 = cell, 2 and more = stained cell.
    image_id
        `<antibody_id>/<name>`.
    grid
        The image's tiles; truth is averaged over an analysis pixel and cut at one half.
    value
        What the pattern is in the mask.

    Raises
    ------
    ConfigError
        There is no such file, or it has another size than the image.
    """
    path = folder / f"{image_id}.png"
    truth = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.exists() else None
    expected = (grid.source_height, grid.source_width)
    if truth is None or truth.shape != expected:
        found = "nothing that can be read" if truth is None else f"{truth.shape} px"
        raise ConfigError(
            f"The benchmark needs a truth mask of {expected} px at {path}, found {found}; only "
            "images with known truth can be benchmarked, such as those of `cacl phantom`"
        )
    return _reduced(truth == value, grid), _reduced(truth > 0, grid)


def _reduced(mask: Bool, grid: TileGrid) -> Bool:
    height = min(grid.height, round(grid.source_height / grid.downsample))
    width = min(grid.width, round(grid.source_width / grid.downsample))
    small = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    whole = np.zeros((grid.height, grid.width), dtype=bool)
    whole[:height, :width] = small > 0.5
    return whole
