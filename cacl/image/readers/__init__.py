"""Open any image (a JPEG, PNG or TIFF core, or a whole slide) and read its tiles.

The content of a file determines its format, not its name. Formats of OpenSlide (SVS, NDPI, MRXS,
tiled TIFF, ...) are read tile by tile; every other image is a core and is decoded at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import dask.array as da
import numpy as np

from cacl.errors import ImageError, Reason
from cacl.image.readers import core, whole_slide
from cacl.image.readers.files import read_head
from cacl.image.readers.memory import memory_need
from cacl.image.readers.source import Pixels, Source
from cacl.image.region import Region
from cacl.image.tile_grid import TileGrid

__all__ = ["Source", "as_dask", "check_size", "memory_need", "open_source"]


@contextmanager
def open_source(path: Path, region: Region | None = None) -> Iterator[Source]:
    """Open an image; a core is decoded at once, a whole slide when its tiles are read.

    Parameters
    ----------
    path
        A regular file. Its content determines the format.
    region
        The rectangle that is read; the source has its size, and pixels outside it are white. None
        for the whole image. Of a whole slide only the blocks that a region touches are decoded.

    Yields
    ------
    Source
        Size, resolution and tiles of the image; valid until the context ends.

    Raises
    ------
    ImageError
        With the reason `not_found`, `refused`, `not_an_image`, `damaged`, `too_large`,
        `outside_image` or `unsupported_pixels`; the message states the remedy.
    """
    head = read_head(path)
    if whole_slide.is_whole_slide(path):
        with whole_slide.open_slide(path, region) as slide:
            yield slide
    else:
        yield core.decode(path, head, region)


def check_size(source: Source, grid: TileGrid) -> None:
    """Check that an image contains at least one whole tile.

    Raises
    ------
    ImageError
        With the reason `too_small`.
    """
    if min(source.height, source.width) < grid.source_px:
        raise ImageError(
            Reason.TOO_SMALL,
            f"The image is {source.width} x {source.height} px, smaller than one tile of "
            f"{grid.source_px} x {grid.source_px} px; use a larger image or lower tiles.source_px",
        )


def as_dask(source: Source, grid: TileGrid, *, block_tiles: int = 8) -> da.Array:
    """Return the image at analysis scale as a lazy array, read block by block.

    The memory in use is that of the blocks being computed, independent of the size of the slide.
    Compute it with a threaded scheduler, while the source is open.

    Parameters
    ----------
    source
        An open image.
    grid
        Its tiles.
    block_tiles
        Tiles along the side of a block (a dask chunk).

    Returns
    -------
    dask.array.Array
        uint8 `(3, grid.height, grid.width)`; identical pixels for every `block_tiles`.

    Raises
    ------
    ValueError
        `block_tiles` is below 1.
    """
    if block_tiles < 1:
        raise ValueError(f"block_tiles must be at least 1, got {block_tiles}")
    row_ranges, col_ranges = (
        [range(first, min(first + block_tiles, count)) for first in range(0, count, block_tiles)]
        for count in (grid.rows, grid.cols)
    )

    def block(block_id: tuple[int, int, int]) -> Pixels:
        return source.read(grid, row_ranges[block_id[1]], col_ranges[block_id[2]])

    heights, widths = (
        tuple(len(tiles) * grid.tile_px for tiles in ranges) for ranges in (row_ranges, col_ranges)
    )
    lazy: da.Array = da.map_blocks(
        block,
        chunks=((3,), heights, widths),
        dtype=np.uint8,
        meta=np.empty((0, 0, 0), np.uint8),
        name=f"tiles-{uuid4().hex}",
    )
    return lazy
