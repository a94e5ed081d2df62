"""Whole slides, read tile by tile with OpenSlide."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openslide
from numpy.typing import NDArray
from PIL import Image

from cacl.errors import ImageError, Reason
from cacl.image.readers import tiff
from cacl.image.readers.core import on_white
from cacl.image.readers.downsample import downsample_subpixel, downsample_window
from cacl.image.readers.files import MAX_CORE_PX, damaged, read_head
from cacl.image.readers.other_formats import AS_SLIDE
from cacl.image.readers.source import WHITE, Pixels, Source, plausible_mpp
from cacl.image.region import Region, check_inside
from cacl.image.tile_grid import TileGrid
from cacl.runtime.resources import raise_if_short
from cacl.runtime.source_files import unreadable

MAX_SLIDE_PX = 100_000_000_000
"""Maximum plausible number of pixels of a slide: 50 x 25 mm at 0.11 um/px."""

LEVEL_TOLERANCE = 1.01
"""The size of a pyramid level is rounded, so that a downsample of 4 can be stored as 4.001."""

GENERIC_TIFF, DICOM = "generic-tiff", "dicom"

HAMAMATSU = "hamamatsu"
"""NDPI: strips in directories of its own form."""

UNSUPPORTED = re.compile("unsupported|not supported", re.IGNORECASE)
"""In the errors of OpenSlide for a valid slide that it does not decode."""


def is_whole_slide(path: Path) -> bool:
    """Return whether OpenSlide reads this file.

    A tiled TIFF must be 8-bit RGB, because OpenSlide converts any pixels to RGB. A tiled TIFF that
    OpenSlide cannot open, because of its compression, is decoded as a core; so is one of which
    OpenSlide shows another page than that of full resolution.

    Raises
    ------
    ImageError
        With the reason `unsupported_pixels`, `several_images`, `damaged`, or `not_found` (a MIRAX
        index without its data folder).
    """
    try:
        vendor = openslide.OpenSlide.detect_format(path)
    except openslide.OpenSlideError as error:
        raise damaged(path, error) from error
    if vendor is None and path.suffix.lower() == ".mrxs":
        raise ImageError(
            Reason.NOT_FOUND,
            f"The slide {path} has no data folder {path.with_suffix('')}; copy the folder as well",
        )
    if vendor == DICOM:
        _check_folder(path)
    if vendor is not None and vendor != HAMAMATSU and read_head(path).startswith(tiff.MAGICS):
        tiff.check_slide_tiles(path)
    if vendor != GENERIC_TIFF:
        return vendor is not None
    page = tiff.check_tiled(path)
    if page is None:
        return False
    try:
        with openslide.OpenSlide(path) as slide:
            dimensions: tuple[int, int] = slide.dimensions
    except openslide.OpenSlideError as error:
        raise_if_short(error, str(path))
        return False
    return dimensions == (page.width, page.height)


@contextmanager
def open_slide(path: Path, region: Region | None = None) -> Iterator[SlideSource]:
    """Open a file that `is_whole_slide` accepts; see `cacl.image.readers.open_source`."""
    try:
        slide = openslide.OpenSlide(path)
    except openslide.OpenSlideError as error:
        raise _failure(path, error) from error
    with slide:
        _check_header(path, slide)
        if region is not None:
            width, height = slide.dimensions
            check_inside(path, region, height, width)
        yield SlideSource(path, slide, region)


@dataclass(frozen=True)
class Window:
    """The window of a pyramid level that covers one tile, along one axis.

    Parameters
    ----------
    first, size
        Whole pixels of the level to read.
    offset, side
        Start and length of the tile within the window, in pixels of the level.
    """

    first: int
    size: int
    offset: float
    side: float

    @property
    def is_aligned(self) -> bool:
        """Whether the tile consists of whole pixels of the level."""
        return self.offset == 0 and self.side == self.size


def level_window(
    index: int, source_px: int, source_size: int, level_size: int, origin: int = 0
) -> Window:
    """Return the window of tile `index` along one axis of a pyramid level.

    The level covers the same field as the source, although its size is rounded. The computation
    uses integers, so that errors do not accumulate over a wide slide.

    Parameters
    ----------
    index
        Number of the tile along the axis.
    source_px
        Side of a tile in pixels of the source.
    source_size, level_size
        Size of the source and of the level along the axis.
    origin
        Pixel of the source at which tile 0 begins.
    """
    start = (origin + index * source_px) * level_size
    length = source_px * level_size
    first = start // source_size
    last = -(-(start + length) // source_size)
    return Window(
        first, last - first, (start - first * source_size) / source_size, length / source_size
    )


class SlideSource(Source):
    """An open whole slide, or a region of one; reading is thread-safe."""

    def __init__(
        self, path: Path, slide: openslide.OpenSlide, region: Region | None = None
    ) -> None:
        width, height = slide.dimensions
        self._part = region or Region(0, 0, width, height)
        super().__init__(self._part.height, self._part.width, _mpp(path, slide))
        self._slide_height, self._slide_width = height, width
        self._path = path
        self._slide = slide
        # Stored here, because OpenSlide fails all queries after its first decoding error.
        self._levels = tuple(zip(slide.level_downsamples, slide.level_dimensions, strict=True))

    def _tile(self, grid: TileGrid, row: int, col: int) -> Pixels:
        level = self._best_level(grid.downsample)
        level_width, level_height = self._levels[level][1]
        side, part = grid.source_px, self._part
        y = level_window(row, side, self._slide_height, level_height, part.y)
        x = level_window(col, side, self._slide_width, level_width, part.x)
        pixels = self._read(level, y, x)
        height = _pixels_before(part.y + part.height, y, self._slide_height, level_height)
        width = _pixels_before(part.x + part.width, x, self._slide_width, level_width)
        if height < y.size or width < x.size:
            pixels = np.where(_inside(height, width, y.size, x.size), pixels, np.uint8(WHITE))
        if y.is_aligned and x.is_aligned and y.size == x.size:
            return downsample_window(pixels, grid.tile_px)
        return downsample_subpixel(
            pixels, grid.tile_px, offset=(y.offset, x.offset), side=(y.side, x.side)
        )

    def native_tile_px(self) -> int:
        """Return the pixels of the largest tile in which a level is stored; 0 if unknown."""
        return max(_native_tile_px(self._slide, level) for level in range(len(self._levels)))

    def _best_level(self, downsample: float) -> int:
        limit = downsample * LEVEL_TOLERANCE
        return max(
            (n for n, (scale, _) in enumerate(self._levels) if scale <= limit),
            key=lambda n: self._levels[n][0],
        )

    def _read(self, level: int, y: Window, x: Window) -> Pixels:
        scale = self._levels[level][0]
        corner = round(x.first * scale), round(y.first * scale)
        try:
            region: Image.Image = self._slide.read_region(corner, level, (x.size, y.size))
        except openslide.OpenSlideError as error:
            raise _failure(self._path, error) from error
        return on_white(region)


def _pixels_before(end: int, window: Window, source_size: int, level_size: int) -> int:
    """Return how many pixels of a window have their centres before pixel `end` of the source."""
    return max(0, -(-(2 * end * level_size - source_size) // (2 * source_size)) - window.first)


def _inside(height: int, width: int, rows: int, cols: int) -> NDArray[np.bool_]:
    """Return (rows, cols, 1), True in the first `height` rows and `width` columns."""
    inside: NDArray[np.bool_] = (np.arange(rows) < height)[:, None] & (np.arange(cols) < width)
    return inside[..., None]


def _failure(path: Path, error: openslide.OpenSlideError) -> ImageError:
    if not UNSUPPORTED.search(str(error)):
        return damaged(path, error)
    return ImageError(
        Reason.UNSUPPORTED_PIXELS,
        f"{path} is a slide that OpenSlide does not decode ({error}); {AS_SLIDE}",
    )


def _check_folder(path: Path) -> None:
    """Check that no pipe is in the folder of a DICOM slide: OpenSlide opens every file of it."""
    try:
        pipes = sorted(other.name for other in path.parent.iterdir() if other.is_fifo())
    except OSError as error:
        raise unreadable(path.parent, error) from error
    if pipes:
        raise ImageError(
            Reason.REFUSED,
            f"The folder of the DICOM slide {path} contains a pipe, {pipes[0]}, on which reading "
            "would wait; move the slide to a folder of its own",
        )


def _check_header(path: Path, slide: openslide.OpenSlide) -> None:
    width, height = slide.dimensions
    if width * height > MAX_SLIDE_PX:
        raise ImageError(
            Reason.TOO_LARGE,
            f"{path} states {width:,} x {height:,} px, expected at most {MAX_SLIDE_PX:,} px in a "
            "slide; export the slide again",
        )
    for level in range(slide.level_count):
        sides = [
            int(slide.properties.get(f"openslide.level[{level}].tile-{side}", 0))
            for side in ("width", "height")
        ]
        if sides[0] * sides[1] > MAX_CORE_PX:
            raise ImageError(
                Reason.TOO_LARGE,
                f"{path} is stored in tiles of {sides[0]:,} x {sides[1]:,} px, expected at most "
                f"{MAX_CORE_PX:,} px per tile; save it with tiles of 256 x 256 px",
            )


def _native_tile_px(slide: openslide.OpenSlide, level: int) -> int:
    sides = (
        int(slide.properties.get(f"openslide.level[{level}].tile-{side}", 0))
        for side in ("width", "height")
    )
    return math.prod(sides)


def _mpp(path: Path, slide: openslide.OpenSlide) -> float | None:
    if slide.properties.get(openslide.PROPERTY_NAME_VENDOR) == GENERIC_TIFF:
        # OpenSlide knows the resolution tags alone, not OME-XML or ImageJ's description.
        page = tiff.check_tiled(path)
        return None if page is None else page.mpp
    try:
        x = float(slide.properties[openslide.PROPERTY_NAME_MPP_X])
        y = float(slide.properties[openslide.PROPERTY_NAME_MPP_Y])
    except (KeyError, ValueError):
        return None
    return plausible_mpp(x, y)
