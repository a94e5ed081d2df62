"""TIFF: checks of the first page's tags, and decoding at once."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from cacl.errors import ImageError, Reason
from cacl.image.readers.files import (
    MAX_CORE_BYTES,
    MAX_CORE_PX,
    SAVE_AS_PYRAMID,
    check_pixels,
    damaged,
    unsupported,
)
from cacl.image.readers.source import WHITE, Pixels, plausible_mpp
from cacl.runtime.source_files import unreadable

MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

UM_PER_UNIT = {2: 25_400.0, 3: 10_000.0}
"""ResolutionUnit of TIFF 6.0, section 8: inch and centimetre."""

COLOUR_NAMES = {
    tifffile.PHOTOMETRIC.MINISBLACK: "grey",
    tifffile.PHOTOMETRIC.MINISWHITE: "grey",
    tifffile.PHOTOMETRIC.SEPARATED: "CMYK",
    tifffile.PHOTOMETRIC.PALETTE: "palette",
}

TIFF_ERRORS = (
    tifffile.TiffFileError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
"""What tifffile and its codecs raise for invalid tags and data."""


def decode(path: Path) -> tuple[Pixels, float | None]:
    """Decode the first page of a TIFF.

    Returns
    -------
    pixels
        uint8 `(height, width, 3)`, upright, composited on white where it is transparent.
    mpp
        Side of a pixel in um; None if its resolution tags do not state a plausible value.

    Raises
    ------
    ImageError
        With the reason `damaged`, `too_large`, `unsupported_pixels`, `not_found` or `refused`.
    """
    with _first_page(path) as page:
        _check_size(path, page)
        _check_format(path, page)
        _check_segments(path, page)
        pixels = page.asarray(maxworkers=1)
        if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
            pixels = np.moveaxis(pixels, 0, -1)
        if pixels.shape[:2] != (page.imagelength, page.imagewidth):
            raise damaged(path, f"decoded to {pixels.shape}")
        pixels = _flatten(pixels, page.extrasamples)
        return upright(pixels, _tag(page, "Orientation")), _mpp(page)


def check_tiled(path: Path) -> None:
    """Check that a tiled TIFF is upright 8-bit RGB; OpenSlide converts any pixels to RGB.

    Raises
    ------
    ImageError
        As for `decode`.
    """
    with _first_page(path) as page:
        _check_format(path, page)
        if _tag(page, "Orientation") != 1:
            raise ImageError(
                Reason.UNSUPPORTED_PIXELS,
                f"{path} is a tiled TIFF that is stored rotated or mirrored; save it upright",
            )


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Rotate and mirror an image as viewers do.

    Parameters
    ----------
    pixels
        `(height, width, 3)` as stored.
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
def _first_page(path: Path) -> Iterator[tifffile.TiffPage]:
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            yield page
    except OSError as error:
        raise unreadable(path, error) from error
    except TIFF_ERRORS as error:
        raise damaged(path, error) from error


def _check_format(path: Path, page: tifffile.TiffPage) -> None:
    colours = tifffile.PHOTOMETRIC(page.photometric)
    if page.dtype != np.uint8 or page.bitspersample != 8:
        raise unsupported(path, f"{page.dtype or page.bitspersample} samples")
    if colours not in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR):
        raise unsupported(path, f"{COLOUR_NAMES.get(colours, colours.name)} pixels")
    if page.samplesperpixel not in (3, 4) or page.imagedepth != 1:
        raise unsupported(path, f"{page.samplesperpixel} samples x {page.imagedepth} planes")


def _check_size(path: Path, page: tifffile.TiffPage) -> None:
    if page.is_tiled and page.imagelength * page.imagewidth > MAX_CORE_PX:
        # OpenSlide reads a valid one, so that "save it as a pyramid" would mislead.
        raise ImageError(
            Reason.DAMAGED,
            f"{path} is a large tiled TIFF that OpenSlide cannot read: truncated, or in an "
            "unsupported compression; copy it again, or save it with JPEG compression",
        )
    check_pixels(path, page.imagelength, page.imagewidth)
    if page.is_tiled:
        check_pixels(path, page.tilelength, page.tilewidth)


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


def _flatten(pixels: Pixels, extrasamples: tuple[int, ...]) -> Pixels:
    """Composite on white with an alpha channel (TIFF 6.0, section 18); drop any other channel."""
    colour = pixels[..., :3]
    if not extrasamples or extrasamples[0] not in (
        tifffile.EXTRASAMPLE.ASSOCALPHA,
        tifffile.EXTRASAMPLE.UNASSALPHA,
    ):
        return colour
    alpha = pixels[..., 3:].astype(np.float32) / WHITE
    weight = 1.0 if extrasamples[0] == tifffile.EXTRASAMPLE.ASSOCALPHA else alpha
    return np.clip(np.rint(colour * weight + WHITE * (1 - alpha)), 0, WHITE).astype(np.uint8)


def _mpp(page: tifffile.TiffPage) -> float | None:
    um = UM_PER_UNIT.get(int(_tag(page, "ResolutionUnit", 2)))
    try:
        (x, x_per), (y, y_per) = _tag(page, "XResolution"), _tag(page, "YResolution")
        return None if um is None else plausible_mpp(um * x_per / x, um * y_per / y)
    except (TypeError, ValueError, ZeroDivisionError):
        return None


def _tag(page: tifffile.TiffPage, name: str, default: int = 1) -> Any:
    return page.tags.valueof(name, default)
