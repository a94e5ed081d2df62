"""Read ground truth masks; no other part of a run reads them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cacl.errors import ConfigError
from cacl.image.tile_grid import TileGrid

STAINED_VALUE = 2
Bool = NDArray[np.bool_]


def read_ground_truth(
    folder: Path, image_id: str, grid: TileGrid, value: int = STAINED_VALUE
) -> tuple[Bool, Bool]:
    """Return the true masks of the class and of the cells, (y, x) in analysis pixels.

    Parameters
    ----------
    folder
        Folder with `<antibody_id>/<name>.png`: 0 = background, 1 = cell, 2 and more = stained
        cell.
    image_id
        `<antibody_id>/<name>`.
    grid
        Tiles of the image. An analysis pixel belongs to a mask if more than half of its area does.
    value
        Value of the class in the file.

    Raises
    ------
    ConfigError
        There is no such file, or its size differs from that of the image.
    """
    path = folder / f"{image_id}.png"
    values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.exists() else None
    expected = (grid.source_height, grid.source_width)
    if values is None or values.shape != expected:
        actual = "no readable file" if values is None else f"{values.shape} px"
        raise ConfigError(
            f"The benchmark needs a ground truth mask of {expected} px at {path}, found {actual}; "
            "only images with ground truth can be used, such as those of `cacl phantom`"
        )
    return _downsample(values == value, grid), _downsample(values > 0, grid)


def _downsample(mask: Bool, grid: TileGrid) -> Bool:
    """Return a mask in analysis pixels, padded to whole tiles."""
    height = min(grid.height, round(grid.source_height / grid.downsample))
    width = min(grid.width, round(grid.source_width / grid.downsample))
    fractions = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    padded = np.zeros((grid.height, grid.width), dtype=bool)
    padded[:height, :width] = fractions > 0.5
    return padded
