"""A slide at low resolution."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cacl.image.readers import as_dask, memory_need, open_source
from cacl.image.tile_grid import TileGrid
from cacl.runtime.memory import process_budget

MAX_SIDE = 2400
"""Pixels of the longer side: a core of 0.6 mm on a slide of 75 mm has a diameter of 19 px."""

TILE_PX = 64


@dataclass(frozen=True, eq=False)
class Overview:
    """A slide at low resolution.

    Parameters
    ----------
    pixels
        uint8 RGB (y, x, 3).
    scale
        Pixels of the slide per pixel of the overview.
    height, width
        Size of the slide at full resolution, upright.
    mpp
        Side of a pixel of the slide in um; None if the file does not state it.
    """

    pixels: NDArray[np.uint8]
    scale: float
    height: int
    width: int
    mpp: float | None


def read_overview(path: Path, max_side: int = MAX_SIDE) -> Overview:
    """Read a slide from the level of its pyramid that suffices.

    Parameters
    ----------
    path
        Any image that `cacl.image.readers.open_source` reads.
    max_side
        Maximum length of the longer side, in pixels.

    Raises
    ------
    ImageError
        As for `open_source`.
    """
    with open_source(path) as source:
        height, width = source.height, source.width
    source_px = max(TILE_PX, -(-max(height, width) * TILE_PX // max_side))
    need = memory_need(path, source_px=source_px, tile_px=TILE_PX)
    with process_budget().take(need, f"dearray: {path}"), open_source(path) as source:
        grid = TileGrid(height, width, source_px, TILE_PX)
        pixels = as_dask(source, grid).compute(scheduler="synchronous")
        shown = [-(-side * TILE_PX // source_px) for side in (height, width)]
        rgb = np.ascontiguousarray(pixels.transpose(1, 2, 0)[: shown[0], : shown[1]])
        return Overview(rgb, grid.downsample, height, width, source.mpp)
