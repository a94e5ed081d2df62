"""An image at analysis scale with its cell mask: at once for a core, block by block for a slide."""

from __future__ import annotations

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from cacl.image.cell_mask import background_od, cell_mask
from cacl.image.readers import Source, as_dask, check_size
from cacl.image.tile_grid import TileGrid
from cacl.stain.vectors import REFERENCE, StainVectors

UInt8 = NDArray[np.uint8]
Bool = NDArray[np.bool_]

OVERLAP_PX = 64
BLOCK_TILES = 8
THUMBNAIL_PX = 1024


def read_analysis_image(
    source: Source, grid: TileGrid, vectors: StainVectors = REFERENCE
) -> tuple[UInt8, Bool] | tuple[da.Array, da.Array]:
    """Return the pixels of an image, (3, y, x) uint8, and its cell mask, (y, x) bool.

    Parameters
    ----------
    source
        An open image. The arrays of one that is larger than a core are lazy: compute them while the
        source is open.
    grid
        Its tiles.
    vectors
        The stain vectors, for the cell mask.

    Raises
    ------
    ImageError
        The image is smaller than a tile, or cannot be decoded.
    """
    check_size(source, grid)
    if max(grid.rows, grid.cols) <= BLOCK_TILES:
        pixels = source.read(grid, range(grid.rows), range(grid.cols))
        return pixels, cell_mask(pixels, _background_od(pixels), vectors)
    lazy = as_dask(source, grid, block_tiles=BLOCK_TILES)
    return lazy, _cell_mask(lazy, vectors)


def _cell_mask(pixels: da.Array, vectors: StainVectors) -> da.Array:
    """Return the cell mask of an image as a dask array; blocks overlap by `OVERLAP_PX`."""
    mask: da.Array = da.map_overlap(
        cell_mask,
        pixels,
        depth={0: 0, 1: OVERLAP_PX, 2: OVERLAP_PX},
        boundary="none",
        drop_axis=0,
        dtype=bool,
        meta=np.empty((0, 0), dtype=bool),
        background=_background_od(pixels),
        vectors=vectors,
    )
    return mask


def _background_od(pixels: UInt8 | da.Array) -> float:
    """Return the optical density of the background, measured on every n-th pixel."""
    every = max(1, max(pixels.shape[1:]) // THUMBNAIL_PX)
    return background_od(np.asarray(pixels[:, ::every, ::every]))
