"""Write files atomically: a reader sees the former content or the new one, never a part."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cacl.runtime.atomic import replaced_file


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary path next to `path`, then rename it to `path`.

    Raises
    ------
    OSError
        Disk full or no permission; `path` is then unchanged.
    """
    try:
        with replaced_file(path) as temporary:
            write(temporary)
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a binary file atomically."""
    write_atomically(path, lambda temporary: temporary.write_bytes(data))
