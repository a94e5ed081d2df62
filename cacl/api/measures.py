"""Measures of masks in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from cacl.api.arrays import as_mask, as_rgb
from cacl.config import TilesConfig
from cacl.errors import ConfigError, ImageError, Reason
from cacl.stain.vectors import REFERENCE, StainVectors
from cacl.steps.image_measures import Measures, measure_tiles, tile_row_stats

DEFAULT = TilesConfig()


def measure(
    image: Any,
    cell: Any,
    mask: Any,
    *,
    tile_px: int = DEFAULT.tile_px,
    min_tissue_fraction: float = DEFAULT.min_tissue_fraction,
    vectors: StainVectors = REFERENCE,
) -> Measures:
    """Return the stained-to-cell ratio of an image with its interval, and the other measures.

    They are those of `images.csv`. Pixels beyond the last whole tile belong to tiles that are
    filled with white.

    Parameters
    ----------
    image
        (y, x, 3) uint8, at the analysis scale, about 1.2 um/px.
    cell
        (y, x) mask of the cells; bool, or above 0 in cells.
    mask
        (y, x) mask of the class, likewise. Only its part in cells counts.
    tile_px
        Side of a tile, px; the interval is from the spread between tiles.
    min_tissue_fraction
        Tiles with less tissue do not count, 0 to 1.
    vectors
        Stain vectors of the image, as `model.stain_vectors` or `store.meta(...).stain_vectors`.

    Raises
    ------
    ImageError
        An array has another type or shape, or no tile has enough tissue.
    ConfigError
        `tile_px` or `min_tissue_fraction` is out of range.

    Examples
    --------
    >>> import numpy as np, cacl
    >>> image = np.full((256, 256, 3), 200, np.uint8)
    >>> cell = np.ones((256, 256), bool)
    >>> mask = np.zeros((256, 256), bool)
    >>> mask[:64] = True
    >>> cacl.measure(image, cell, mask).stained_to_cell_ratio
    0.25
    """
    _check_tiles(tile_px, min_tissue_fraction)
    rgb = as_rgb(image)
    in_cell, in_mask = (
        as_mask(each, name, rgb.shape[:2]) for each, name in ((cell, "cell"), (mask, "mask"))
    )
    bottom, right = (-side % tile_px for side in rgb.shape[:2])
    margins = (0, bottom), (0, right)
    planes = np.pad(rgb, (*margins, (0, 0)), constant_values=255).transpose(2, 0, 1)
    in_cell, in_mask = np.pad(in_cell, margins), np.pad(in_mask, margins)
    stats = tile_row_stats(planes, in_cell, in_mask, tile_px, vectors)
    counted = np.stack([row.cell for row in stats]) >= min_tissue_fraction * tile_px**2
    if not counted.any():
        raise ImageError(
            Reason.NO_TISSUE,
            f"No tile contains {min_tissue_fraction:.1%} tissue; check the image and the mask of "
            "cells, or lower min_tissue_fraction",
        )
    return measure_tiles(stats, counted)


def _check_tiles(tile_px: int, min_tissue_fraction: float) -> None:
    if tile_px < 32 or tile_px % 8:
        raise ConfigError(f"tile_px is {tile_px}, expected a multiple of 8 from 32")
    if not 0.0 <= min_tissue_fraction <= 1.0:
        raise ConfigError(f"min_tissue_fraction is {min_tissue_fraction}, expected 0 to 1")
