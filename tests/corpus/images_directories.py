"""TIFF whose pages, SubIFDs or header lead nowhere, in a circle, or to thousands of places."""

from __future__ import annotations

import struct
from functools import partial
from pathlib import Path
from typing import Any

import tifffile

from tests.corpus.images_field import DAMAGED, READ, SEVERAL, Case, field
from tests.corpus.images_pages import smaller
from tests.corpus.images_tiff import rgb
from tests.corpus.images_tiff_writer import LONG, write_tiff

SUB_IFDS = 330
TILES: dict[str, Any] = {"tile": (128, 128)}


def first_page(data: bytes | bytearray) -> int:
    return int(struct.unpack_from("<I", data, 4)[0])


def next_page_at(data: bytes | bytearray, page: int) -> int:
    """Return where a page states the next one."""
    return int(page + 2 + 12 * struct.unpack_from("<H", data, page)[0])


def sub_page_at(data: bytes | bytearray) -> int:
    """Return where the first page states its SubIFD, one value."""
    page = first_page(data)
    entries = range(page + 2, next_page_at(data, page), 12)
    return next(at for at in entries if struct.unpack_from("<H", data, at)[0] == SUB_IFDS) + 8


def two_pages_in_a_circle(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        for factor in (1, 4):
            file.write(smaller(factor), photometric="rgb", metadata=None)
    data = bytearray(path.read_bytes())
    page = first_page(data)
    second = struct.unpack_from("<I", data, next_page_at(data, page))[0]
    struct.pack_into("<I", data, next_page_at(data, second), page)
    path.write_bytes(data)


def with_sub_page(path: Path, place: str, **options: Any) -> None:
    """Write a page with a SubIFD that is the page itself, links back to it, or is outside."""
    with tifffile.TiffWriter(path) as file:
        common = {"photometric": "rgb", "metadata": None} | options
        file.write(field(), subifds=1, **common)
        file.write(smaller(2), subfiletype=1, **common)
    data = bytearray(path.read_bytes())
    page, at = first_page(data), sub_page_at(data)
    sub_page = struct.unpack_from("<I", data, at)[0]
    if place == "links back":
        struct.pack_into("<I", data, next_page_at(data, sub_page), page)
    else:
        struct.pack_into("<I", data, at, {"itself": page, "outside": 10**9}[place])
    path.write_bytes(data)


def many_sub_pages(path: Path, count: int, *, one_place: bool) -> None:
    """Write a page with many SubIFDs: one place again and again, or empty directories."""
    write_tiff(path, [field().tobytes()], (SUB_IFDS, LONG, [0] * count))
    data = bytearray(path.read_bytes())
    at = struct.unpack_from("<I", data, sub_page_at(data))[0]
    offsets = [len(data) + (0 if one_place else 6 * n) for n in range(count)]
    struct.pack_into(f"<{count}I", data, at, *offsets)
    path.write_bytes(data + bytes(6 * (1 if one_place else count)))


def many_pages(path: Path, count: int) -> None:
    """Write pages without tags behind the picture."""
    write_tiff(path, [field().tobytes()])
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, next_page_at(data, first_page(data)), len(data))
    ends = (len(data) + 6 * n for n in range(1, count))
    path.write_bytes(bytes(data) + b"".join(struct.pack("<HI", 0, end) for end in ends) + bytes(6))


def big(
    path: Path, size: int = 8, reserved: int = 0, start: int | None = None, **options: Any
) -> None:
    """Write BigTIFF with another header: size of offsets, reserved value, first page."""
    rgb(path, bigtiff=True, metadata=None, **options)
    data = bytearray(path.read_bytes())
    struct.pack_into("<HH", data, 4, size, reserved)
    if start is not None:
        struct.pack_into("<Q", data, 8, start)
    path.write_bytes(data)


def start_at(path: Path, start: int) -> None:
    rgb(path)
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, 4, start)
    path.write_bytes(data)


CASES = (
    Case("two pages in a circle.tif", two_pages_in_a_circle, DAMAGED),
    Case("subifd is its page.tif", partial(with_sub_page, place="itself"), DAMAGED),
    Case("tiled subifd is its page.tif", partial(with_sub_page, place="itself", **TILES), DAMAGED),
    Case("subifd links back.tif", partial(with_sub_page, place="links back"), READ),
    Case("subifd outside.tif", partial(with_sub_page, place="outside"), READ),
    Case(
        "one subifd 50000 times.tif", partial(many_sub_pages, count=50_000, one_place=True), SEVERAL
    ),
    Case("one subifd twice.tif", partial(many_sub_pages, count=2, one_place=True), DAMAGED),
    Case("50000 subifds.tif", partial(many_sub_pages, count=50_000, one_place=False), SEVERAL),
    Case("50000 pages.tif", partial(many_pages, count=50_000), SEVERAL),
    Case("no first page.tif", partial(start_at, start=0), DAMAGED),
    Case("first page outside.tif", partial(start_at, start=2**31), DAMAGED),
    Case("bigtiff of 4 bytes.btf", partial(big, size=4), DAMAGED),
    Case("bigtiff of 16 bytes.btf", partial(big, size=16), DAMAGED),
    Case("bigtiff reserved.btf", partial(big, reserved=1), DAMAGED),
    Case("bigtiff first page outside.btf", partial(big, start=2**40), DAMAGED),
    Case("bigtiff first page of 64 bits.btf", partial(big, start=2**64 - 8), DAMAGED),
    Case("tiled bigtiff of 4 bytes.btf", partial(big, size=4, **TILES), DAMAGED),
)
