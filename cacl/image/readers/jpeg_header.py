"""The size that the header of a JPEG file states, read without the rest of the file."""

from __future__ import annotations

from pathlib import Path
from typing import IO

MARKER = 0xFF
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD9))
START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""ITU-T T.81, table B.1; C4, C8 and CC are other segments."""


def jpeg_size(path: Path) -> tuple[int, int] | None:
    """Return height and width in px; None if the file has no readable header.

    Bytes between segments are skipped, as libjpeg does, so that every file that can be decoded has
    a size.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    with path.open("rb") as file:
        if file.read(2) != bytes((MARKER, 0xD8)):
            return None
        while (code := _next_marker(file)) not in (None, START_OF_SCAN, END_OF_IMAGE):
            if code in WITHOUT_LENGTH:
                continue
            length = int.from_bytes(file.read(2), "big")
            if code in START_OF_FRAME:
                frame = file.read(5)
                if len(frame) < 5:
                    return None
                return int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
            file.seek(max(0, length - 2), 1)
    return None


def _next_marker(file: IO[bytes]) -> int | None:
    """Return the code of the next marker; None at the end of the file."""
    while byte := file.read(1):
        if byte[0] != MARKER:
            continue
        while byte and byte[0] == MARKER:
            byte = file.read(1)
        if byte and byte[0] != 0:
            return byte[0]
    return None
