"""A TIFF writer that writes exactly what it is told, for tags that no library writes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from tests.corpus.images_field import HEIGHT, WIDTH

SHORT, LONG, RATIONAL = 3, 4, 5
FORMATS = {1: "B", 2: "B", SHORT: "H", LONG: "I", RATIONAL: "II", 7: "B"}
Tag = tuple[int, int, Sequence[int]]


def write_tiff(
    path: Path,
    segments: Sequence[bytes | bytearray],
    *tags: Tag,
    compression: int = 1,
    photometric: int = 2,
    rows: int = HEIGHT,
    size: tuple[int, int] = (HEIGHT, WIDTH),
) -> Path:
    """Write one page of 8-bit samples.

    Parameters
    ----------
    path
        File to write.
    segments
        Encoded strips.
    *tags
        Further tags `(code, type, values)`; they replace those of the same code.
    compression, photometric
        As the tags state.
    rows
        Rows per strip.
    size
        Height and width that the tags state.
    """
    start = 8
    offsets = [start + sum(map(len, segments[:n])) for n in range(len(segments))]
    by_code: dict[int, Tag] = {
        tag[0]: tag
        for tag in (
            (256, LONG, [size[1]]),
            (257, LONG, [size[0]]),
            (258, SHORT, [8, 8, 8]),
            (259, SHORT, [compression]),
            (262, SHORT, [photometric]),
            (273, LONG, offsets),
            (277, SHORT, [3]),
            (278, LONG, [rows]),
            (279, LONG, [len(segment) for segment in segments]),
            *tags,
        )
    }
    pixels = b"".join(segments)
    pixels += b"\0" * (len(pixels) % 2)
    directory = start + len(pixels)
    after = directory + 2 + 12 * len(by_code) + 4
    entries, values = b"", b""
    for code, kind, numbers in sorted(by_code.values()):
        data = struct.pack(f"<{''.join([FORMATS[kind][0]] * len(numbers))}", *numbers)
        count = len(numbers) // len(FORMATS[kind])
        if len(data) > 4:
            reference = struct.pack("<I", after + len(values))
            values += data + b"\0" * (len(data) % 2)
        else:
            reference = data.ljust(4, b"\0")
        entries += struct.pack("<HHI", code, kind, count) + reference
    path.write_bytes(
        struct.pack("<2sHI", b"II", 42, directory)
        + pixels
        + struct.pack("<H", len(by_code))
        + entries
        + struct.pack("<I", 0)
        + values
    )
    return path


def rationals(values: Sequence[float], per: int = 10_000) -> list[int]:
    """Return numbers as (numerator, denominator, ...)."""
    return [number for value in values for number in (round(value * per), per)]
