"""Source files that the operating system cannot open: the failure of one image."""

from __future__ import annotations

import errno
from pathlib import Path

from cacl.errors import ImageError, Reason

NO_SUCH_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)

SHOWN_CHARACTERS = 60
"""Characters of each end of a long path in a message."""


def unreadable(path: Path, error: OSError | ValueError) -> ImageError:
    """Return the error for a file that the operating system cannot open or read.

    Python raises `ValueError` for a path that is invalid for any file.
    """
    if isinstance(error, PermissionError):
        return ImageError(Reason.REFUSED, f"{path} cannot be read: no permission; make it readable")
    if not isinstance(error, ValueError) and error.errno == errno.ENAMETOOLONG:
        return ImageError(
            Reason.NOT_FOUND,
            f"The path {_shortened(path)} is too long for the file system ({len(str(path))} "
            "characters); use shorter names of folders and file",
        )
    if isinstance(error, ValueError) or error.errno in NO_SUCH_FILE:
        return ImageError(
            Reason.NOT_FOUND,
            f"There is no file {str(path)!r}; correct the path or download the image",
        )
    return ImageError(
        Reason.DAMAGED,
        f"{path} cannot be read ({error.strerror or error}); check the disk or copy it again",
    )


def _shortened(path: Path) -> str:
    text = str(path)
    if len(text) <= 2 * SHOWN_CHARACTERS:
        return text
    return f"{text[:SHOWN_CHARACTERS]}...{text[-SHOWN_CHARACTERS:]}"
