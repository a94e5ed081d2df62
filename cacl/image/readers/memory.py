"""The memory that an image needs, from its header alone, before anything is decoded.

`benchmarks/scale/image_memory.py` measures the peak memory against this estimate.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import tifffile

from cacl.image.readers import core, tiff, whole_slide
from cacl.image.readers.files import check_pixels, read_head
from cacl.image.readers.jpeg_header import jpeg_size
from cacl.image.tile_grid import TileGrid
from cacl.runtime.resources import raise_if_short

FIXED_BYTES = 80_000_000
"""Buffers that do not depend on the image: cache of OpenSlide, codecs, compressed tiles."""

HELD_BYTES_PER_PX = 3
"""Of a decoded core, while its tiles are computed."""

JPEG_BYTES_PER_PX = 10
"""Pixels and the coefficients of a progressive file, or a rotated copy of the pixels."""

PNG_BYTES_PER_PX, PNG_ALPHA_BYTES_PER_PX = 15, 20
TIFF_BYTES_PER_SAMPLE = 3
"""Encoded, decoded, and copied to the order in which the pixels are used."""

TIFF_CONVERTED_BYTES_PER_PX = 40
"""Transparent or YCbCr pixels, converted in floating point."""

REGION_BYTES_PER_PX = 24
"""Of a region of a slide: as OpenSlide returns it, on white, and as means."""

NATIVE_TILE_BYTES_PER_PX = 12
ANALYSIS_BYTES_PER_PX = 48
"""Optical densities and the cell mask of the part that is computed at a time."""

STRIP_BYTES_PER_PX = 8
"""Pixels and masks of a strip of shards, which is written as a whole."""

SHARD_TILES = 16
MAX_PAGES = 100
PALETTE, RGB_ALPHA, SIXTEEN_BITS = 3, 6, 16


def memory_need(path: Path, *, source_px: int, tile_px: int) -> int:
    """Return how many bytes it takes to read an image and to compute its tiles, at most.

    Parameters
    ----------
    path
        A regular file.
    source_px, tile_px
        Side of a tile in pixels of the source, and in the store.

    Raises
    ------
    ImageError
        As for `cacl.image.readers.open_source`, as far as the header shows it.
    """
    head = read_head(path)
    if whole_slide.is_whole_slide(path):
        return _slide_need(path, source_px, tile_px)
    size = path.stat().st_size
    height, width, per_px = _core_size(path, head)
    if not per_px:  # the reader refuses the file, and says why
        return FIXED_BYTES
    check_pixels(path, height, width)
    decoding = per_px * height * width + size
    tiling = HELD_BYTES_PER_PX * height * width + _tiling_need(height, width, source_px, tile_px)
    return FIXED_BYTES + max(decoding, tiling)


def _core_size(path: Path, head: bytes) -> tuple[int, int, int]:
    """Return height, width and bytes per pixel of a core; zeros for a file that is refused."""
    if head.startswith(core.JPEG_MAGIC):
        height, width = jpeg_size(path) or (0, 0)
        return height, width, JPEG_BYTES_PER_PX if height * width else 0
    if head.startswith(core.PNG_MAGIC) and len(head) >= core.PNG_HEADER.size:
        width, height, bits, colours = core.PNG_HEADER.unpack_from(head)
        has_alpha = colours in (PALETTE, RGB_ALPHA)
        per_px = PNG_ALPHA_BYTES_PER_PX if has_alpha else PNG_BYTES_PER_PX
        return height, width, 0 if bits == SIXTEEN_BITS else per_px
    if head.startswith(tiff.MAGICS):
        return _tiff_size(path)
    return 0, 0, 0


def _tiff_size(path: Path) -> tuple[int, int, int]:
    """Return the size of the largest of the first pages, and its bytes per pixel."""
    try:
        with tifffile.TiffFile(path) as file:
            pages = [
                (page.imagelength, page.imagewidth, _tiff_bytes_per_px(page))
                for page in itertools.islice(file.pages, MAX_PAGES)
                if isinstance(page, tifffile.TiffPage) and page.bitspersample == 8
            ]
    except (OSError, *tiff.TIFF_ERRORS) as error:
        raise_if_short(error, str(path))
        return 0, 0, 0
    return max(pages, key=lambda page: page[0] * page[1] * page[2], default=(0, 0, 0))


def _tiff_bytes_per_px(page: tifffile.TiffPage) -> int:
    is_jpeg = page.compression in (tifffile.COMPRESSION.JPEG, tifffile.COMPRESSION.OJPEG)
    is_converted = page.photometric == tifffile.PHOTOMETRIC.YCBCR and not is_jpeg
    if page.extrasamples or is_converted:
        return TIFF_CONVERTED_BYTES_PER_PX
    return TIFF_BYTES_PER_SAMPLE * page.samplesperpixel


def _slide_need(path: Path, source_px: int, tile_px: int) -> int:
    with whole_slide.open_slide(path) as slide:
        native = NATIVE_TILE_BYTES_PER_PX * slide.native_tile_px()
        region = REGION_BYTES_PER_PX * (source_px + 2) ** 2
        tiling = _tiling_need(slide.height, slide.width, source_px, tile_px)
        return FIXED_BYTES + native + region + tiling


def _tiling_need(height: int, width: int, source_px: int, tile_px: int) -> int:
    """Return the memory for the pixels at analysis scale: a shard of tiles, or a row of tiles."""
    grid = TileGrid(height, width, source_px, tile_px)
    strip_height = min(grid.height, SHARD_TILES * tile_px)
    shard = strip_height * min(grid.width, SHARD_TILES * tile_px)
    computed = max(shard, grid.width * min(grid.height, tile_px))
    return ANALYSIS_BYTES_PER_PX * computed + STRIP_BYTES_PER_PX * strip_height * grid.width
