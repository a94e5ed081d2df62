"""Checks of a file before it is decoded (existence, kind, size), and failures of decoding."""

from __future__ import annotations

import functools
import logging
import stat
from pathlib import Path

from cacl.errors import ImageError, Reason
from cacl.runtime.source_files import unreadable

log = logging.getLogger(__name__)

MAX_CORE_PX = 100_000_000
"""Maximum number of pixels decoded at once: 300 MB as 8-bit RGB."""

MAX_CORE_BYTES = 4 * MAX_CORE_PX
"""Maximum number of encoded bytes read at once: above the uncompressed `MAX_CORE_PX` pixels."""

HEAD_BYTES = 132
"""Enough for the mark of a DICOM file behind its preamble of 128 bytes."""

SAVE_AS_PYRAMID = "save it as a tiled pyramidal TIFF, which is read tile by tile"

SAVE_AS_RGB = "save it as 8-bit RGB"

SAVE_IN_COLOUR = "a stain has no colour in grey pixels: export the image in colour, as 8-bit RGB"


@functools.lru_cache(maxsize=4096)
def warn_once(message: str) -> None:
    """Log a warning; a file is opened several times, the same message is logged once."""
    log.warning(message)


def read_head(path: Path) -> bytes:
    """Return the first bytes of a regular file.

    Folders, pipes, sockets and devices are rejected without being opened, as opening can block.

    Raises
    ------
    ImageError
        With the reason `not_found`, `refused`, `not_an_image` or `damaged`.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise ImageError(
                Reason.NOT_AN_IMAGE,
                f"{path} is {_kind(mode)}, not a file; use the path of an image",
            )
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    if not head:
        raise ImageError(
            Reason.NOT_AN_IMAGE, f"{path} is empty (0 bytes); copy or download the image again"
        )
    return head


def read_core(path: Path) -> bytes:
    """Return all bytes of a core.

    Raises
    ------
    ImageError
        With the reason `too_large`, `not_found`, `refused` or `damaged`.
    """
    try:
        size = path.stat().st_size
        if size > MAX_CORE_BYTES:
            raise ImageError(
                Reason.TOO_LARGE,
                f"{path} has {size:,} bytes, expected at most {MAX_CORE_BYTES:,} in a file that is "
                f"read at once; {SAVE_AS_PYRAMID}",
            )
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def damaged(path: Path, error: Exception | str) -> ImageError:
    """Return the error for an image that cannot be decoded."""
    return ImageError(
        Reason.DAMAGED,
        f"{path} is truncated or damaged ({error}); copy or download it again",
    )


def unsupported(path: Path, content: str, remedy: str = SAVE_AS_RGB) -> ImageError:
    """Return the error for an image that is not 8-bit RGB."""
    return ImageError(
        Reason.UNSUPPORTED_PIXELS, f"{path} contains {content}, expected 8-bit RGB; {remedy}"
    )


def several_images(path: Path, content: str) -> ImageError:
    """Return the error for a file in which it is open which image is meant."""
    return ImageError(
        Reason.SEVERAL_IMAGES,
        f"{path} contains {content}, expected one image; save each as a file of its own, for "
        "example with ImageJ (Image > Stacks > Stack to Images), and list the files",
    )


def check_pixels(path: Path, height: int, width: int) -> None:
    """Check the size that a header states, before anything is decoded.

    Raises
    ------
    ImageError
        With the reason `too_large` above `MAX_CORE_PX`, `damaged` below one pixel.
    """
    if min(height, width) < 1:
        raise damaged(path, f"its header states {width} x {height} px")
    if height * width > MAX_CORE_PX:
        raise ImageError(
            Reason.TOO_LARGE,
            f"{path} has {width:,} x {height:,} px, expected at most {MAX_CORE_PX:,} px in an "
            f"image that is decoded at once; {SAVE_AS_PYRAMID}",
        )


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISFIFO(mode):
        return "a pipe"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a device"
