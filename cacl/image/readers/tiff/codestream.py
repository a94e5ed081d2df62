"""Sizes that the header of an encoded strip or tile states, read before it is decoded.

A decoder allocates what the header of its data asks for, whatever the tags of the TIFF state. The
functions return `(height, width)` and raise `ValueError` for anything but a valid header.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

Size = tuple[int, int]

JP2_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
JXL_SIGNATURE = b"\0\0\0\x0cJXL \r\n\x87\n"
SIZ = b"\xff\x4f\xff\x51"
MAX_CHANNELS = 4

JXL_HEIGHT_BITS = (9, 13, 18, 30)
JXL_RATIOS = ((1, 1), (6, 5), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
"""Width to height of the ratios 1 - 7, ISO/IEC 18181-1, table of `SizeHeader`."""

WMPHOTO = b"WMPHOTO\0"
SHORT_HEADER = 0x80


def jpeg2000_size(data: bytes) -> Size:
    """Read the segment SIZ of a codestream or of a JP2 file (ISO/IEC 15444-1, A.5.1)."""
    start = 0
    if data.startswith(JP2_SIGNATURE):
        start = next((at for kind, at, _ in _boxes(data) if kind == b"jp2c"), len(data))
    if data[start : start + 4] != SIZ:
        raise ValueError("no JPEG 2000 codestream")
    x_end, y_end, x, y = struct.unpack_from(">4I", data, start + 8)
    channels = struct.unpack_from(">H", data, start + 40)[0]
    depths = data[start + 42 : start + 42 + 3 * channels : 3]
    if channels not in (1, 3) or set(depths) != {7}:
        raise ValueError(f"a JPEG 2000 codestream of {channels} channels, not of 8 bits each")
    return y_end - y, x_end - x


def jpegxl_size(data: bytes) -> Size:
    """Read `SizeHeader` of a JPEG XL codestream or container (ISO/IEC 18181-1 and -2)."""
    start = 0
    if data.startswith(JXL_SIGNATURE):
        parts = ((kind, at) for kind, at, _ in _boxes(data) if kind in (b"jxlc", b"jxlp"))
        kind, start = next(parts, (b"", len(data)))
        start += 4 if kind == b"jxlp" else 0
    if data[start : start + 2] != b"\xff\x0a":
        raise ValueError("no JPEG XL codestream")
    bits = int.from_bytes(data[start + 2 : start + 18], "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    def side(small: int) -> int:
        return 8 * (take(5) + 1) if small else take(JXL_HEIGHT_BITS[take(2)]) + 1

    small = take(1)
    height = side(small)
    ratio = take(3)
    if ratio:
        across, down = JXL_RATIOS[ratio - 1]
        return height, height * across // down
    return height, side(small)


def jpegxr_size(data: bytes) -> Size:
    """Read the image header of a JPEG XR file (ITU-T T.832, 8.3)."""
    at = data.find(WMPHOTO)
    if at < 0 or data.count(WMPHOTO) != 1:
        raise ValueError("no JPEG XR codestream")
    short = data[at + 10] & SHORT_HEADER
    width, height = struct.unpack_from(">2H" if short else ">2I", data, at + 12)
    return height + 1, width + 1


def png_size(data: bytes) -> Size:
    """Read the chunk IHDR of a PNG of 8 bits a channel."""
    width, height, bits = struct.unpack_from(">2IB", data, 16)
    if data[12:16] != b"IHDR" or bits != 8:
        raise ValueError("no PNG of 8 bits a channel")
    return height, width


def webp_size(data: bytes) -> Size:
    """Read the sizes of canvas and image of a WebP, which must agree (RFC 9649)."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise ValueError("no WebP image")
    sizes = set()
    position = 12
    while position + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, position)
        body = data[position + 8 : position + 24]
        if kind == b"VP8X":
            width, height = (int.from_bytes(body[at : at + 3], "little") + 1 for at in (4, 7))
            sizes.add((height, width))
        elif kind == b"VP8L":
            bits = int.from_bytes(body[1:5], "little")
            sizes.add(((bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1))
        elif kind == b"VP8 ":
            width, height = struct.unpack_from("<2H", body, 6)
            sizes.add((height & 0x3FFF, width & 0x3FFF))
        elif kind in (b"ANIM", b"ANMF"):
            raise ValueError("an animated WebP")
        position += 8 + length + length % 2
    if len(sizes) != 1:
        raise ValueError("a WebP of several sizes")
    return sizes.pop()


def _boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type, the start of the content and the end of each box of an ISO file."""
    position = 0
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        start = position + 8
        if length == 1:
            length = struct.unpack_from(">Q", data, start)[0]
            start += 8
        end = len(data) if length == 0 else position + length
        if end < start:
            raise ValueError("a box of an invalid length")
        yield kind, start, end
        position = end
