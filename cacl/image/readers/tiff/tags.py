"""Tags of a page, and checks of a file's directories before tifffile reads them."""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import tifffile

from cacl.errors import ImageError
from cacl.image.readers.files import damaged, several_images

MAX_PAGES = 1000
MAX_TAG_BYTES = 2**26
"""Largest value of one tag: the offsets of 8 million tiles, or the layers of a Photoshop file."""

MAX_TAGS = 4096
TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
TYPE_BYTES |= {16: 8, 17: 8, 18: 8}
SUB_IFDS = 330
UNREAD_TAGS = frozenset({34377, 37724, 34675, 700, 33723})
"""Photoshop's resources and layers, colour profile, XMP, IPTC: of any size, never read."""


def tag(page: tifffile.TiffPage, name: str, default: Any = 1) -> Any:
    """Return the value of a tag."""
    return page.tags.valueof(name, default)


def check_directories(path: Path, file: BinaryIO) -> None:
    """Check the number of pages and SubIFDs and the sizes of their tags.

    A SubIFD that lies outside the file is left out: it is a lower level, and not read.

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
    directories = _Directories(path, file)
    page, sub_pages = directories.first, []
    while page:
        found, page = directories.read(page)
        sub_pages += found
    for sub_page in sub_pages:
        with suppress(EOFError):
            directories.read(sub_page)


class _Directories:
    """The directories of a file, each read once (TIFF 6.0, section 2, or BigTIFF)."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file
        self._end = file.seek(0, os.SEEK_END)
        self._seen: set[int] = set()
        file.seek(0)
        mark = file.read(4)
        order = "<" if mark[:2] == b"II" else ">"
        is_big = struct.unpack(order + "2xH", mark)[0] == 43
        formats = ("Q", "HHQ8s", "Q") if is_big else ("H", "HHI4s", "I")
        self._count, self._entry, self._offset = (struct.Struct(order + each) for each in formats)
        self._order = order
        file.seek(8 if is_big else 4)
        self.first = self._number(self._offset)

    def read(self, start: int) -> tuple[list[int], int]:
        """Check the directory at `start`; return its SubIFDs and the next page, 0 for none.

        Raises
        ------
        EOFError
            It lies outside the file.
        """
        if start in self._seen:
            raise damaged(self._path, "its pages form a loop")
        self._seen.add(start)
        if len(self._seen) > MAX_PAGES:
            raise self._too_many()
        self._seek(start)
        tags = self._number(self._count)
        if tags > MAX_TAGS:
            raise damaged(self._path, f"a page of {tags} tags")
        entries = self._exactly(tags * self._entry.size)
        following = self._file.read(self._offset.size)
        sub_pages: list[int] = []
        for code, kind, count, value in self._entry.iter_unpack(entries):
            if code not in UNREAD_TAGS and count * TYPE_BYTES.get(kind, 1) > MAX_TAG_BYTES:
                raise damaged(self._path, f"a tag {code} of {count:,} values")
            if code == SUB_IFDS:
                sub_pages = self._offsets(kind, count, value)
        return sub_pages, self._offset.unpack(following)[0] if following else 0

    def _offsets(self, kind: int, count: int, value: bytes) -> list[int]:
        """Return the offsets that the tag SubIFDs holds or refers to."""
        if count > MAX_PAGES:
            raise self._too_many()
        item = struct.Struct(self._order + ("Q" if TYPE_BYTES.get(kind) == 8 else "I"))
        if count * item.size > len(value):
            self._seek(self._offset.unpack(value)[0])
            value = self._exactly(count * item.size)
        return [offset for (offset,) in item.iter_unpack(value[: count * item.size])]

    def _seek(self, offset: int) -> None:
        if offset >= self._end:
            raise EOFError("it ends before its pages")
        self._file.seek(offset)

    def _number(self, layout: struct.Struct) -> int:
        return int(layout.unpack(self._exactly(layout.size))[0])

    def _exactly(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise EOFError("it ends before its pages")
        return data

    def _too_many(self) -> ImageError:
        return several_images(self._path, f"more than {MAX_PAGES} pages")
