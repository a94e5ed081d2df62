"""The memory that an image needs, from its header alone, before anything is decoded.

`benchmarks/scale/image_memory.py` measures the peak memory against this estimate.
"""

from __future__ import annotations

from pathlib import Path

from cacl.image.readers import jpeg, png, tiff, whole_slide
from cacl.image.readers.files import MAX_CORE_PX, read_head
from cacl.image.readers.jpeg_header import jpeg_size
from cacl.image.region import Region
from cacl.image.tile_grid import TileGrid

FIXED_BYTES = 80_000_000
"""Buffers that do not depend on the image: cache of OpenSlide, codecs, compressed tiles."""

HELD_BYTES_PER_PX = 3
"""Of a decoded core, while its tiles are computed."""

JPEG_BYTES_PER_PX = 10
"""Pixels and the coefficients of a progressive file, or a rotated copy of the pixels."""

PNG_BYTES_PER_PX, PNG_ALPHA_BYTES_PER_PX = 15, 20
TIFF_BYTES_PER_SAMPLE = 3
"""A strip as decoded, the whole page, and its copy upright."""

TIFF_CONVERTED_BYTES_PER_PX = 4
"""Bands of transparent or YCbCr pixels, and the result."""

REGION_BYTES_PER_PX = 24
"""Of a region of a slide: as OpenSlide returns it, on white, and as means."""

NATIVE_TILE_BYTES_PER_PX = 12
ANALYSIS_BYTES_PER_PX = 48
"""Optical densities and the cell mask of the part that is computed at a time."""

STRIP_BYTES_PER_PX = 8
"""Pixels and masks of a strip of shards, which is written as a whole."""

SHARD_TILES = 16
PALETTE, RGB_ALPHA, SIXTEEN_BITS = 3, 6, 16
BYTE_BITS = 8


def memory_need(path: Path, *, source_px: int, tile_px: int, region: Region | None = None) -> int:
    """Return how many bytes it takes to read an image and to compute its tiles, at most.

    Parameters
    ----------
    path
        A regular file.
    source_px, tile_px
        Side of a tile in pixels of the source, and in the store.
    region
        The part that is read; None for the whole image. A core is decoded as a whole before.

    Raises
    ------
    ImageError
        As for `cacl.image.readers.open_source`, as far as the header shows it.
    """
    head = read_head(path)
    if whole_slide.is_whole_slide(path):
        return _slide_need(path, source_px, tile_px, region)
    size = path.stat().st_size
    height, width, per_px = _core_size(path, head)
    if not per_px or not 0 < height * width <= MAX_CORE_PX:
        return FIXED_BYTES  # the reader refuses the file before it decodes it, and says why
    decoding = per_px * height * width + size
    if region is not None:
        decoding += HELD_BYTES_PER_PX * region.height * region.width
        height, width = region.height, region.width
    tiling = HELD_BYTES_PER_PX * height * width + _tiling_need(height, width, source_px, tile_px)
    return FIXED_BYTES + max(decoding, tiling)


def _core_size(path: Path, head: bytes) -> tuple[int, int, int]:
    """Return height, width and bytes per pixel of a core; zeros for a file that is refused."""
    if head.startswith(jpeg.MAGIC):
        height, width = jpeg_size(path) or (0, 0)
        return height, width, JPEG_BYTES_PER_PX
    if head.startswith(png.MAGIC) and len(head) >= png.HEADER.size:
        width, height, bits, colours = png.HEADER.unpack_from(head)
        has_alpha = colours in (PALETTE, RGB_ALPHA)
        per_px = PNG_ALPHA_BYTES_PER_PX if has_alpha else PNG_BYTES_PER_PX
        return height, width, 0 if bits == SIXTEEN_BITS else per_px
    if head.startswith(tiff.MAGICS):
        with tiff.open_choice(path) as choice:
            page = choice.page
            per_px = TIFF_BYTES_PER_SAMPLE * page.samplesperpixel + TIFF_CONVERTED_BYTES_PER_PX
            is_read = page.bitspersample == BYTE_BITS and page.samplesperpixel in (3, 4)
            return page.imagelength, page.imagewidth, per_px if is_read else 0
    return 0, 0, 0


def _slide_need(path: Path, source_px: int, tile_px: int, region: Region | None) -> int:
    with whole_slide.open_slide(path, region) as slide:
        native = NATIVE_TILE_BYTES_PER_PX * slide.native_tile_px()
        block = REGION_BYTES_PER_PX * (source_px + 2) ** 2
        tiling = _tiling_need(slide.height, slide.width, source_px, tile_px)
        return FIXED_BYTES + native + block + tiling


def _tiling_need(height: int, width: int, source_px: int, tile_px: int) -> int:
    """Return the memory for the pixels at analysis scale: a shard of tiles, or a row of tiles."""
    grid = TileGrid(height, width, source_px, tile_px)
    strip_height = min(grid.height, SHARD_TILES * tile_px)
    shard = strip_height * min(grid.width, SHARD_TILES * tile_px)
    computed = max(shard, grid.width * min(grid.height, tile_px))
    return ANALYSIS_BYTES_PER_PX * computed + STRIP_BYTES_PER_PX * strip_height * grid.width
