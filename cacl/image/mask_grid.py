"""Masks of an image at the scale of the store."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cacl.image.tile_grid import TileGrid

Bool = NDArray[np.bool_]


def at_grid(mask: Bool, grid: TileGrid) -> Bool:
    """Return a mask in analysis pixels, padded to whole tiles.

    An analysis pixel belongs to the mask if more than half of its area does.

    Parameters
    ----------
    mask
        (y, x) in pixels of the source.
    grid
        Tiles of the image.
    """
    height = min(grid.height, round(grid.source_height / grid.downsample))
    width = min(grid.width, round(grid.source_width / grid.downsample))
    fractions = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    padded = np.zeros((grid.height, grid.width), dtype=bool)
    padded[:height, :width] = fractions > 0.5
    return padded
