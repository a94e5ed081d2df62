"""JPEG of rare processes and colours, and what cameras and phones write beside the pixels."""

from __future__ import annotations

import base64
import struct
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image

from cacl.errors import Reason
from tests.corpus.images_field import (
    JPEG_READ,
    NO_COLOUR,
    READ,
    SAVE_AS_RGB,
    Case,
    Refused,
    field,
)
from tests.corpus.images_jpeg import after_start, changed, encoded, segment, written

OTHER_PROCESS = Refused(Reason.UNSUPPORTED_PIXELS, "save it as PNG or TIFF")

ARITHMETIC = (
    "eNr7f+P/AwYBLzdPNwZGRgYGRiBk+H+bwZmBiREEQCQTCLAwg0hWFhZmFjZWNjYwZufkAGJ2NjYObg5OLhAAsni4uXhA"
    "HJAhEK1MrMzMrFzsbOxcJIP/JxkEORgnMD5gZhRkYBJkZBZk/H+GgYtBQICVUUCQ9f8tBh5mRqAEsyCDPcOlJwG2s6J+"
    "MDAwm8iv+5u9cmIXV8s16VQXzxjlPU8sGZdVGdtvfLP2jbjByZwTJt7xXu8en76tt8/6920ng4CZL5z1w7VfRz7y4ykP"
    "umckIbI755TgErmpixefX3djum7mSYeCZacsg9g6DH6mTkjdY1sa9HS9hEu7ZPCni0x6z9//uSv2fs/ia88kXykuNJ+n"
    "dXCveuBzqTcdG5d4nX9W+Et+94F2xuaG53Z6LFfEZLXKZG5GpOi9fmByOysjOWJxcYv4kSN9ru9/GLH4JOw33vWiSPJd"
    "f+AXh5m6e5UtV/R8rZ+ozJSRr/rcJzV7XrW+g125qeBGof3d/xmiTTfvnmc4OXi3wKrjCjOYHn1/HeXqOzH0ftajjuZL"
    "qvVtE2Wzr/xnKIuMnynmPyfD/Zqnxs+dFoKu/HaK5pGB147wJjwTi5l9Tm0fr8LNYPsJ/AaVV6OKbDffqddlTVWJdV/t"
    "bZ700VI+5FLryr2/F7cva1NYenjlJ1ltzol9GXtvl9UyfXkp/zd4fqPb7ae2nc2Sb971eahJsdx+XRa3u0Sz8+NP4T2m"
    "cdvuvOz8+HuhjWncDvvMzo//IoGsnXkrOz8xrgXK7mbO7PzE/ATI2iOi2fmJdT5Qds8boCy7NZC1d/vLzk9s04CsfTeB"
    "6jjXANXtXwQU414HZB1wA7J4PgFlD+wGsnifAVkHFYDq+D6CTH4gLPxE9m9F1t7yw8vUT9iIfbha9b7Lx29Dw/+bACkR"
    "I+0="
)
"""The field by `cjpeg -arithmetic -quality 95 -sample 1x1` of libjpeg-turbo, compressed by zlib."""


def cmyk(path: Path, colours: str) -> None:
    """Write CMYK or YCCK as Adobe's programs do: their segment states the transform 0 or 2."""
    pixels = 255 - np.asarray(Image.fromarray(field()).convert("CMYK"))
    data = imagecodecs.jpeg8_encode(pixels, colorspace="CMYK", outcolorspace=colours)
    assert data[data.index(b"Adobe") + 11] == {"CMYK": 0, "YCCK": 2}[colours]
    path.write_bytes(data)


def arithmetic(path: Path) -> None:
    path.write_bytes(zlib.decompress(base64.b64decode(ARITHMETIC)))


def lossless(path: Path, bits: int = 8) -> None:
    pixels = field() if bits == 8 else field().astype(np.uint16) << (bits - 8)
    options: dict[str, Any] = {} if bits == 8 else {"bitspersample": bits}
    path.write_bytes(imagecodecs.jpeg8_encode(pixels, lossless=True, **options))


def hierarchical(path: Path) -> None:
    """Write the frame of a sequential JPEG as the differential one of ITU-T T.81, table B.1."""
    path.write_bytes(encoded().replace(b"\xff\xc0\0\x11", b"\xff\xc5\0\x11", 1))


def orientation(order: str, value: int = 6, kind: int = 3, count: int = 1) -> bytes:
    """Return EXIF with an orientation alone, in little ("<") or big (">") endian."""
    mark = {"<": b"II", ">": b"MM"}[order]
    entry = struct.pack(order + "HHIHH", 274, kind, count, value, 0)
    head = mark + struct.pack(order + "HIH", 42, 8, 1)
    return b"Exif\0\0" + head + entry + struct.pack(order + "I", 0)


def turned(path: Path, exif: bytes) -> None:
    """Write the field as a phone that was held upright stores it."""
    pixels = np.ascontiguousarray(np.rot90(field()))
    Image.fromarray(pixels).save(path, "JPEG", quality=95, exif=exif)


def with_exif(exif: bytes) -> Any:
    return partial(changed, change=after_start(segment(0xE1, exif)))


BIG_ENDIAN = orientation(">")
PROCESSES = (
    Case("adobe cmyk.jpg", partial(cmyk, colours="CMYK"), SAVE_AS_RGB),
    Case("adobe ycck.jpg", partial(cmyk, colours="YCCK"), SAVE_AS_RGB),
    Case("arithmetic.jpg", arithmetic, JPEG_READ),
    Case("lossless.jpg", lossless, READ),
    Case("lossless 12 bits.jpg", partial(lossless, bits=12), SAVE_AS_RGB),
    Case("lossless 16 bits.jpg", partial(lossless, bits=16), SAVE_AS_RGB),
    Case(
        "raw sensor.jpg",
        lambda path: written(path, imagecodecs.ljpeg_encode(field()[..., 1])),
        NO_COLOUR,
    ),
    Case(
        "jpeg-ls.jls", lambda path: written(path, imagecodecs.jpegls_encode(field())), OTHER_PROCESS
    ),
    Case("hierarchical.jpg", hierarchical, OTHER_PROCESS),
)
METADATA = (
    Case("exif big endian.jpg", partial(turned, exif=BIG_ENDIAN), JPEG_READ),
    Case("exif little endian.jpg", partial(turned, exif=orientation("<")), JPEG_READ),
    Case("exif orientation 0.jpg", with_exif(orientation(">", 0)), JPEG_READ),
    Case("exif orientation 90.jpg", with_exif(orientation(">", 90)), JPEG_READ),
    Case("exif cut.jpg", with_exif(BIG_ENDIAN[:20]), JPEG_READ),
    Case("exif of another place.jpg", with_exif(b"Exif\0\0MM\0*\xff\xff\xff\xff"), JPEG_READ),
    Case("exif orientation of text.jpg", with_exif(orientation(">", kind=2)), JPEG_READ),
    Case("exif huge count.jpg", with_exif(orientation(">", count=2**31)), JPEG_READ),
    Case("exif loop.jpg", partial(turned, exif=BIG_ENDIAN[:-4] + struct.pack(">I", 8)), JPEG_READ),
    Case("exif wrong mark.jpg", with_exif(b"Exif\0\0XX" + BIG_ENDIAN[8:]), JPEG_READ),
)

CASES = (*PROCESSES, *METADATA)
