"""Look at a file before it is decoded: is it there, is it a file, which format, how large."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

from cacl.errors import ImageError, Reason

MAX_CORE_PX = 100_000_000
"""Pixels that may be decoded at once: 300 MB as 8-bit RGB."""

MAX_CORE_BYTES = 4 * MAX_CORE_PX
"""Encoded bytes that may be read at once: more than `MAX_CORE_PX` pixels take uncompressed."""

HEAD_BYTES = 64

SAVE_AS_PYRAMID = "save it as a tiled pyramidal TIFF, which is read in blocks"

NO_SUCH_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)


def read_head(path: Path) -> bytes:
    """Return the first bytes of a regular file.

    Folders, pipes, sockets and devices are refused without being opened, so that none can hang.

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
                f"{path} is {_kind(mode)}, not a file; give the path of an image",
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
                f"{path} has {size:,} bytes and would have to be read at once, which is done up "
                f"to {MAX_CORE_BYTES:,}; {SAVE_AS_PYRAMID}",
            )
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError | ValueError) -> ImageError:
    """Return the failure for a file that the operating system would not give.

    A `ValueError` is what Python raises for a path that no file can have.
    """
    if isinstance(error, PermissionError):
        return ImageError(
            Reason.REFUSED, f"{path} may not be read: no permission; make it readable"
        )
    if isinstance(error, ValueError) or error.errno in NO_SUCH_FILE:
        return ImageError(
            Reason.NOT_FOUND, f"There is no file {str(path)!r}; correct the path or fetch the image"
        )
    return ImageError(
        Reason.DAMAGED,
        f"{path} cannot be read ({error.strerror or error}); check the disk or copy it again",
    )


def damaged(path: Path, error: Exception | str) -> ImageError:
    """Return the failure for an image that cannot be decoded."""
    return ImageError(
        Reason.DAMAGED,
        f"{path} is cut short or damaged ({error}); copy or download it again",
    )


def unsupported(path: Path, found: str) -> ImageError:
    """Return the failure for an image that is not 8-bit colour."""
    return ImageError(
        Reason.UNSUPPORTED_PIXELS,
        f"{path} holds {found} where 8-bit RGB is expected; save it as 8-bit RGB",
    )


def check_pixels(path: Path, height: int, width: int) -> None:
    """Refuse a size that its header claims, before anything is decoded.

    Raises
    ------
    ImageError
        With the reason `too_large` above `MAX_CORE_PX`, `damaged` below one pixel.
    """
    if min(height, width) < 1:
        raise damaged(path, f"its header says {width} x {height} px")
    if height * width > MAX_CORE_PX:
        raise ImageError(
            Reason.TOO_LARGE,
            f"{path} has {width:,} x {height:,} px, of which at most {MAX_CORE_PX:,} can be "
            f"decoded at once; {SAVE_AS_PYRAMID}",
        )


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISFIFO(mode):
        return "a pipe"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a device"
