"""PNG: checks of its chunks before Pillow decodes it."""

from __future__ import annotations

import struct
import zlib

MAGIC = b"\x89PNG\r\n\x1a\n"
HEADER = struct.Struct(">16xIIBB")
CHUNK = struct.Struct(">I4s")
CRC = struct.Struct(">I")

KEPT_CHUNKS = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"eXIf")
"""What determines the pixels; text and colour profiles are left out, as they can be bombs."""

COLOUR_TYPE_AT, PALETTE = 25, 3
ANIMATION = b"acTL"


def relevant_bytes(data: bytes) -> bytes:
    """Return a PNG without the chunks that do not determine its pixels.

    Raises
    ------
    ValueError
        A chunk is truncated, or its checksum is wrong, which Pillow does not verify for pixels; or
        there is not one header, in front: Pillow takes the last, whose size nobody has checked.
    """
    view, position, parts = memoryview(data), len(MAGIC), [memoryview(MAGIC)]
    name, has_palette = b"", False
    while name != b"IEND":
        if position + CHUNK.size > len(data):
            raise ValueError("it ends before its last chunk")
        length, name = CHUNK.unpack_from(data, position)
        end = position + CHUNK.size + length
        if end + CRC.size > len(data):
            raise ValueError(f"it ends within its chunk {name!r}")
        if (name == b"IHDR") != (len(parts) == 1):
            raise ValueError("it has another number of headers than one, in front")
        if name in KEPT_CHUNKS:
            if zlib.crc32(view[position + 4 : end]) != CRC.unpack_from(data, end)[0]:
                raise ValueError(f"the checksum of its chunk {name!r} is wrong")
            parts.append(view[position : end + CRC.size])
            has_palette = has_palette or name == b"PLTE"
            if name == b"IDAT" and data[COLOUR_TYPE_AT] == PALETTE and not has_palette:
                raise ValueError("its palette is missing")
        position = end + CRC.size
    return b"".join(parts)


def frame_count(data: bytes) -> int:
    """Return the number of frames of an animated PNG; 1 for any other."""
    at = data.find(ANIMATION, len(MAGIC), 2**16)
    first_pixels = data.find(b"IDAT", len(MAGIC))
    if at < 0 or at > first_pixels or len(data) < at + 8:
        return 1
    return int.from_bytes(data[at + 4 : at + 8], "big")
