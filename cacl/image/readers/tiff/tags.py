"""Tags of a page, and checks of a file's directories before tifffile reads them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO

import tifffile

from cacl.image.readers.files import damaged, several_images

MAX_PAGES = 1000
MAX_TAG_BYTES = 2**26
"""Largest value of one tag: the offsets of 8 million tiles, or the layers of a Photoshop file."""

MAX_TAGS = 4096
TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
TYPE_BYTES |= {16: 8, 17: 8, 18: 8}
UNREAD_TAGS = frozenset({34377, 37724, 34675, 700, 33723})
"""Photoshop's resources and layers, colour profile, XMP, IPTC: of any size, never read."""


def tag(page: tifffile.TiffPage, name: str, default: Any = 1) -> Any:
    """Return the value of a tag."""
    return page.tags.valueof(name, default)


def check_directories(path: Path, file: BinaryIO) -> None:
    """Check the number of pages and the sizes of their tags.

    Parameters
    ----------
    path
        Path of the file, for the message.
    file
        The file, open for reading.

    Raises
    ------
    ImageError
        With the reason `damaged` or, for more than `MAX_PAGES` pages, `several_images`.
    """
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    is_big = struct.unpack(order + "H", head[2:4])[0] == 43
    entry = struct.Struct(order + ("HHQ8x" if is_big else "HHI4x"))
    count_format, offset_format = (
        (order + "Q", order + "Q") if is_big else (order + "H", order + "I")
    )
    offset = _unpack(offset_format, head[8:16] if is_big else head[4:8])
    seen: set[int] = set()
    while offset:
        if offset in seen:
            raise damaged(path, "its pages form a loop")
        seen.add(offset)
        if len(seen) > MAX_PAGES:
            raise several_images(path, f"more than {MAX_PAGES} pages")
        file.seek(offset)
        tags = _unpack(count_format, file.read(struct.calcsize(count_format)))
        if tags > MAX_TAGS:
            raise damaged(path, f"a page of {tags} tags")
        entries = file.read(tags * entry.size)
        for code, kind, count in entry.iter_unpack(entries):
            if code not in UNREAD_TAGS and count * TYPE_BYTES.get(kind, 1) > MAX_TAG_BYTES:
                raise damaged(path, f"a tag {code} of {count:,} values")
        following = file.read(struct.calcsize(offset_format))
        if not following:
            return
        offset = _unpack(offset_format, following)


def _unpack(layout: str, data: bytes) -> int:
    return int(struct.unpack(layout, data)[0])
