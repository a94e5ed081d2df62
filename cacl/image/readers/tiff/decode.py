"""TIFF: checks of the page of full resolution, and decoding at once."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from cacl.errors import ImageError, Reason
from cacl.image.readers.files import (
    MAX_CORE_BYTES,
    MAX_CORE_PX,
    SAVE_AS_PYRAMID,
    SAVE_AS_RGB,
    SAVE_IN_COLOUR,
    check_pixels,
    damaged,
    unsupported,
)
from cacl.image.readers.source import Pixels
from cacl.image.readers.tiff.pages import (
    SIMILAR_AREA,
    Choice,
    choose_page,
    refuse,
    warn_of_others,
)
from cacl.image.readers.tiff.pixel_size import pixel_size
from cacl.image.readers.tiff.segments import PageReader
from cacl.image.readers.tiff.tags import check_directories, tag
from cacl.runtime.resources import raise_if_short
from cacl.runtime.source_files import unreadable

Value = TypeVar("Value", bound=np.generic)

COLOURS = {
    tifffile.PHOTOMETRIC.MINISBLACK: ("grey pixels", SAVE_IN_COLOUR),
    tifffile.PHOTOMETRIC.MINISWHITE: ("grey pixels", SAVE_IN_COLOUR),
    tifffile.PHOTOMETRIC.SEPARATED: ("CMYK pixels", SAVE_AS_RGB),
    tifffile.PHOTOMETRIC.PALETTE: ("palette pixels", SAVE_AS_RGB),
}

MAX_TILE_PX = 2**24
"""Largest tile of a small image: 4096 x 4096 px."""

PREVIEW_PX = 32
MIN_CORRELATION = 0.95
MAX_MEAN_DIFFERENCE = 3.0
"""Limits of a lower level: correlation, or mean difference in grey levels, of a preview."""

TIFF_ERRORS = (
    tifffile.TiffFileError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
"""What tifffile and its codecs raise for invalid tags and data."""


@dataclass(frozen=True)
class TiledPage:
    """The page of full resolution of a tiled TIFF: what OpenSlide must show as its level 0."""

    height: int
    width: int
    mpp: float | None


def decode(path: Path) -> tuple[Pixels, float | None]:
    """Decode the page of full resolution of a TIFF.

    Returns
    -------
    pixels
        uint8 `(height, width, 3)`, upright, composited on white where it is transparent.
    mpp
        Side of a pixel in um; None if the file does not state a plausible value.

    Raises
    ------
    ImageError
        With the reason `damaged`, `too_large`, `unsupported_pixels`, `several_images`, `not_found`
        or `refused`.
    """
    with open_choice(path) as choice:
        page = choice.page
        _check_size(path, choice)
        pixels = _read(path, page)
        _check_copies(path, choice, pixels)
        mpp = pixel_size(path, choice.first, page)
        return upright(pixels, int(tag(page, "Orientation"))), mpp


def check_tiled(path: Path) -> TiledPage | None:
    """Check that a tiled TIFF is upright 8-bit RGB; OpenSlide converts any pixels to RGB.

    Returns
    -------
    TiledPage or None
        None if the page of full resolution is not the first, or is small and a smaller page may be
        another image: `decode` reads such a file.

    Raises
    ------
    ImageError
        As for `decode`.
    """
    with open_choice(path) as choice:
        page = choice.page
        _check_format(path, page)
        is_small = page.imagelength * page.imagewidth <= MAX_TILE_PX
        if not (choice.is_first and page.is_tiled) or (choice.unverified and is_small):
            return None
        if int(tag(page, "Orientation")) != 1:
            raise ImageError(
                Reason.UNSUPPORTED_PIXELS,
                f"{path} is a tiled TIFF that is stored rotated or mirrored; save it upright",
            )
        mpp = pixel_size(path, choice.first, page)
        return TiledPage(page.imagelength, page.imagewidth, mpp)


def upright(pixels: NDArray[Value], orientation: int) -> NDArray[Value]:
    """Rotate and mirror an image as viewers do.

    Parameters
    ----------
    pixels
        `(height, width, ...)` as stored.
    orientation
        1 - 8 as defined by TIFF 6.0, section 8, and EXIF; anything else counts as 1.
    """
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


@contextmanager
def open_choice(path: Path) -> Iterator[Choice]:
    """Open a TIFF and choose its page of full resolution; errors as for `decode`."""
    with open_tiff(path) as file:
        yield choose_page(path, file)


@contextmanager
def open_tiff(path: Path) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF whose directories are of bounded size; errors as for `decode`."""
    try:
        with path.open("rb") as stream:
            check_directories(path, stream)
        with tifffile.TiffFile(path) as file:
            yield file
    except OSError as error:
        raise unreadable(path, error) from error
    except TIFF_ERRORS as error:
        raise damaged(path, error) from error


def _read(path: Path, page: tifffile.TiffPage) -> Pixels:
    _check_format(path, page)
    reader = PageReader(path, page)
    reader.check()
    _check_segments(path, page)
    return reader.read()


def _check_format(path: Path, page: tifffile.TiffPage) -> None:
    colours = tifffile.PHOTOMETRIC(page.photometric)
    if page.dtype != np.uint8 or page.bitspersample != 8:
        raise unsupported(path, f"{page.dtype or page.bitspersample} samples")
    if colours not in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR):
        raise unsupported(path, *COLOURS.get(colours, (f"{colours.name} pixels", SAVE_AS_RGB)))
    if page.samplesperpixel not in (3, 4) or page.imagedepth != 1:
        raise unsupported(path, f"{page.samplesperpixel} samples x {page.imagedepth} planes")


def _check_size(path: Path, choice: Choice) -> None:
    page = choice.page
    if page.is_tiled and page.imagelength * page.imagewidth > MAX_CORE_PX:
        # OpenSlide reads a valid one, so that "save it as a pyramid" would mislead.
        problem = (
            "that OpenSlide cannot read: truncated, or in an unsupported compression; copy it "
            "again, or save it with JPEG compression"
            if choice.is_first
            else "behind a smaller first page; save it with the large image as its first page"
        )
        raise ImageError(Reason.DAMAGED, f"{path} is a large tiled TIFF {problem}")
    check_pixels(path, page.imagelength, page.imagewidth)
    if page.is_tiled:
        check_pixels(path, page.tilelength, page.tilewidth)
        limit = max(MAX_TILE_PX, page.imagelength * page.imagewidth)
        if page.tilelength * page.tilewidth > limit:
            raise damaged(path, f"tiles of {page.tilewidth:,} x {page.tilelength:,} px")


def _check_segments(path: Path, page: tifffile.TiffPage) -> None:
    encoded = sum(page.databytecounts)
    if encoded > MAX_CORE_BYTES:
        raise ImageError(
            Reason.TOO_LARGE,
            f"{path} states {encoded:,} bytes of pixels, expected at most {MAX_CORE_BYTES:,} in an "
            f"image that is read at once; {SAVE_AS_PYRAMID}",
        )
    end = page.parent.filehandle.size
    for start, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        if start < 1 or count < 1 or start + count > end:
            raise damaged(path, f"pixels up to byte {start + count:,} of {end:,}")


def _check_copies(path: Path, choice: Choice, pixels: Pixels) -> None:
    """Check that the smaller pages of the image's shape show the image."""
    others = [page for page in choice.unverified if not _is_copy(path, page, pixels)]
    area = choice.page.imagelength * choice.page.imagewidth
    rivals = [p for p in others if p.imagelength * p.imagewidth >= SIMILAR_AREA * area]
    if rivals:
        pages = [choice.page, *rivals]
        raise refuse(path, pages, pages, len(pages))
    if others:
        warn_of_others(path, others)


def _is_copy(path: Path, page: tifffile.TiffPage, pixels: Pixels) -> bool:
    try:
        small = _preview(_read(path, page))
    except ImageError as error:
        raise_if_short(error, str(path))
        return False
    large = _preview(pixels)
    if np.abs(small - large).mean() <= MAX_MEAN_DIFFERENCE:
        return True
    if small.std() == 0 or large.std() == 0:
        return False
    return bool(np.corrcoef(small.ravel(), large.ravel())[0, 1] >= MIN_CORRELATION)


def _preview(pixels: Pixels) -> np.ndarray:
    small = cv2.resize(pixels, (PREVIEW_PX, PREVIEW_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float64)
