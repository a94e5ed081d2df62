"""JPEG and PNG: phones, browsers, R, Photoshop; complete with oddities, or really damaged."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image, ImageCms

from tests.corpus.images_field import (
    DAMAGED,
    JPEG_READ,
    NO_COLOUR,
    READ,
    SAVE_AS_RGB,
    SEVERAL,
    Case,
    Measured,
    field,
    other_field,
)

END = b"\xff\xd9"
START = b"\xff\xd8"


def encoded(mode: str = "RGB", image_format: str = "JPEG", **options: Any) -> bytes:
    """Return the field as Pillow encodes it."""
    stream = io.BytesIO()
    if image_format == "JPEG":
        options = {"quality": 95} | options
    Image.fromarray(field()).convert(mode).save(stream, image_format, **options)
    return stream.getvalue()


def save(path: Path, mode: str = "RGB", **options: Any) -> None:
    path.write_bytes(encoded(mode, **options))


def changed(path: Path, change: Callable[[bytes], bytes], **options: Any) -> None:
    """Write the field as JPEG with changed bytes."""
    path.write_bytes(change(encoded(**options)))


def before_end(junk: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data.removesuffix(END) + junk + END


def after_end(junk: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data + junk


def after_start(junk: bytes) -> Callable[[bytes], bytes]:
    return lambda data: START + junk + data.removeprefix(START)


def first(fraction: float, end: bytes = b"") -> Callable[[bytes], bytes]:
    return lambda data: data[: int(len(data) * fraction)] + end


def zeros_from(fraction: float) -> Callable[[bytes], bytes]:
    """As a copy that stopped after the file got its size."""
    return lambda data: first(fraction)(data).ljust(len(data), b"\0")


def segment(code: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, code, len(body) + 2) + body


def thumbnail_in_exif() -> bytes:
    """Return EXIF with a thumbnail, a whole JPEG with its own end marker."""
    stream = io.BytesIO()
    Image.fromarray(other_field(60, 80)).save(stream, "JPEG")
    thumbnail = stream.getvalue()
    head = struct.pack("<2sHIHI", b"II", 42, 8, 0, 14)
    tags = ((259, 3, 1, 6), (513, 4, 1, 14 + 2 + 36 + 4), (514, 4, 1, len(thumbnail)))
    directory = struct.pack("<H", 3) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return segment(0xE1, b"Exif\0\0" + head + directory + struct.pack("<I", 0) + thumbnail)


def phone(path: Path, orientation: int) -> None:
    """Write the field as a phone that was held in another way stores it."""
    turned = {3: 2, 6: 1, 8: -1}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(np.rot90(field(), turned)))
    image.save(path, "JPEG", quality=95, exif=exif)


def two_pictures(path: Path) -> None:
    """Write a Multi Picture Format of a camera: a second picture after the first."""
    stream = io.BytesIO()
    second = Image.fromarray(other_field())
    image = Image.fromarray(field())
    image.save(stream, "MPO", save_all=True, append_images=[second], quality=95)
    path.write_bytes(stream.getvalue())


def turbojpeg(path: Path, **options: Any) -> None:
    path.write_bytes(imagecodecs.jpeg8_encode(field(), level=95, **options))


def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


# --- PNG -------------------------------------------------------------------------------------


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def rows() -> bytes:
    """Return the rows of the field, each behind the number of its filter."""
    return b"".join(b"\0" + row.tobytes() for row in field())


def png(*between: bytes, pixels: bytes | None = None, interlaced: bool = False) -> bytes:
    """Return a PNG with chunks between its header and its pixels."""
    height, width = field().shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, interlaced)
    data = zlib.compress(rows() if pixels is None else pixels)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            *between,
            chunk(b"IDAT", data),
            chunk(b"IEND", b""),
        ]
    )


def interlaced_png(path: Path) -> None:
    """Write the seven passes of Adam7 (PNG specification, section 8.2)."""
    starts = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2))
    passes = [field()[y::down, x::across] for y, x, down, across in (*starts, (1, 0, 2, 1))]
    data = b"".join(b"\0" + row.tobytes() for part in passes for row in part)
    path.write_bytes(png(pixels=data, interlaced=True))


def written(path: Path, data: bytes | bytearray) -> None:
    path.write_bytes(data)


def animated(path: Path) -> None:
    Image.fromarray(field()).save(
        path, "PNG", save_all=True, append_images=[Image.fromarray(other_field())]
    )


def transparent_palette(path: Path) -> None:
    """Write a palette in which the background is transparent: it becomes white, up to 11 more."""
    image = Image.fromarray(field()).quantize(4)
    background = image.getpixel((0, 0))
    image.save(path, "PNG", transparency=background)


def wrong_checksum(path: Path) -> None:
    """Flip one bit of the pixels; the chunk's checksum is the old one."""
    data = bytearray(png())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def turned_png(path: Path) -> None:
    """Write the field as a phone that was held upright stores it, with EXIF in big endian."""
    exif = b"MM" + struct.pack(">HIHHHIHHI", 42, 8, 1, 274, 3, 1, 6, 0, 0)
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(np.rot90(field()))).save(stream, "PNG")
    header, rest = stream.getvalue()[:33], stream.getvalue()[33:]
    path.write_bytes(header + chunk(b"eXIf", exif) + rest)


def deep_png_with_gamma(path: Path) -> None:
    deep_png(path)
    data = path.read_bytes()
    path.write_bytes(data[:33] + chunk(b"gAMA", struct.pack(">I", 100_000)) + data[33:])


def deep_png(path: Path) -> None:
    path.write_bytes(imagecodecs.png_encode(field().astype(np.uint16) * 257))


ZEROS = zlib.compress(bytes(100_000_000), 9)

JPEGS = (
    Case("pillow.jpg", save, JPEG_READ),
    Case("browser progressive.jpg", partial(save, progressive=True), JPEG_READ),
    Case("imagej 444.jpg", partial(save, subsampling=0), JPEG_READ),
    Case("optimised.jpeg", partial(save, optimize=True), JPEG_READ),
    Case("camera restart markers.jpg", partial(save, restart_marker_rows=1), JPEG_READ),
    Case("photoshop rgb.jpg", partial(save, keep_rgb=True, subsampling=0), JPEG_READ),
    Case(
        "rgb without marker.jpg",
        partial(turbojpeg, colorspace="rgb", outcolorspace="rgb"),
        JPEG_READ,
    ),
    Case("422.JPG", partial(turbojpeg, subsampling="422"), JPEG_READ),
    Case("icc.jpg", partial(save, icc_profile=profile()), JPEG_READ),
    *(Case(f"phone {n}.jpg", partial(phone, orientation=n), JPEG_READ) for n in (3, 6, 8)),
    Case("phone mpo.jpg", two_pictures, JPEG_READ),
    Case(
        "camera thumbnail.jpg", partial(changed, change=after_start(thumbnail_in_exif())), JPEG_READ
    ),
    Case(
        "comment.jpg",
        partial(changed, change=after_start(segment(0xFE, b"x\xff\xd9" * 20_000))),
        JPEG_READ,
    ),
    Case("37 bytes before its end.jpg", partial(changed, change=before_end(bytes(37))), JPEG_READ),
    Case(
        "markers before its end.jpg",
        partial(changed, change=before_end(b"\x12\xff\x3a\x55" * 9)),
        JPEG_READ,
    ),
    Case(
        "2000 bytes before its end.jpg",
        partial(changed, change=before_end(b"pad!" * 500)),
        JPEG_READ,
    ),
    Case("filled before its end.jpg", partial(changed, change=before_end(b"\xff" * 37)), JPEG_READ),
    Case(
        "padded progressive.jpg",
        partial(changed, change=before_end(bytes(37)), progressive=True),
        JPEG_READ,
    ),
    Case(
        "2048 bytes after its end.jpg", partial(changed, change=after_end(bytes(2048))), JPEG_READ
    ),
    Case(
        "100 kB after its end.jpg",
        partial(changed, change=after_end(b"\xff\xd8junk" * 16_000)),
        JPEG_READ,
    ),
    Case(
        "bytes between segments.jpg",
        partial(changed, change=lambda data: data[:20] + b"abc" + data[20:]),
        JPEG_READ,
    ),
    Case("grey.jpg", partial(save, mode="L"), NO_COLOUR),
    Case("photoshop cmyk.jpg", partial(save, mode="CMYK"), SAVE_AS_RGB),
    Case(
        "12 bits.jpg",
        lambda path: written(
            path, imagecodecs.jpeg8_encode(field().astype(np.uint16) * 16, bitspersample=12)
        ),
        SAVE_AS_RGB,
    ),
    Case("cut.jpg", partial(changed, change=first(0.6)), DAMAGED),
    Case("cut progressive.jpg", partial(changed, change=first(0.6), progressive=True), DAMAGED),
    Case("cut and ended.jpg", partial(changed, change=first(0.6, END)), DAMAGED),
    Case(
        "cut after the thumbnail.jpg",
        partial(changed, change=lambda data: after_start(thumbnail_in_exif())(data)[:3000]),
        DAMAGED,
    ),
    Case("without end.jpg", partial(changed, change=lambda data: data.removesuffix(END)), DAMAGED),
    Case("header alone.jpg", partial(changed, change=first(0.02)), DAMAGED),
    Case("zeros at the end.jpg", partial(changed, change=zeros_from(0.6)), DAMAGED),
    Case("start and end.jpg", lambda path: written(path, START + END + bytes(100)), DAMAGED),
)

PNGS = (
    Case("r png.png", partial(save, image_format="PNG"), READ),
    Case("interlaced.png", interlaced_png, READ),
    Case("palette.png", partial(save, mode="P", image_format="PNG"), READ),
    Case("transparent palette.png", transparent_palette, Measured(tolerance=11.0)),
    Case("imagej rgba.png", partial(save, mode="RGBA", image_format="PNG"), READ),
    Case(
        "gamma and dpi.png",
        lambda path: written(
            path,
            png(
                chunk(b"gAMA", struct.pack(">I", 45455)),
                chunk(b"pHYs", struct.pack(">IIB", 2835, 2835, 1)),
            ),
        ),
        READ,
    ),
    Case(
        "profile bomb.png", lambda path: written(path, png(chunk(b"iCCP", b"x\0\0" + ZEROS))), READ
    ),
    Case("text bomb.png", lambda path: written(path, png(chunk(b"zTXt", b"x\0\0" + ZEROS))), READ),
    Case(
        "many texts.png",
        lambda path: written(path, png(*[chunk(b"zTXt", b"x\0\0" + ZEROS[:90_000])] * 30)),
        READ,
    ),
    Case(
        "international text bomb.png",
        lambda path: written(path, png(chunk(b"iTXt", b"x\0\1\0\0\0" + ZEROS))),
        READ,
    ),
    Case(
        "text of 20 mb.png",
        lambda path: written(path, png(chunk(b"tEXt", b"x\0" + b"y" * 20_000_000))),
        READ,
    ),
    Case("pixel bomb.png", lambda path: written(path, png(pixels=rows() + bytes(10**8))), READ),
    Case("exif big endian.png", turned_png, READ),
    Case("exif damaged.png", lambda path: written(path, png(chunk(b"eXIf", b"MM\0*\xff"))), READ),
    Case("animated.png", animated, SEVERAL),
    Case("16 bits.png", deep_png, SAVE_AS_RGB),
    Case("16 bits and gamma.png", deep_png_with_gamma, SAVE_AS_RGB),
    Case("grey.png", partial(save, mode="L", image_format="PNG"), NO_COLOUR),
    Case("grey and alpha.png", partial(save, mode="LA", image_format="PNG"), NO_COLOUR),
    Case("cut.png", lambda path: written(path, png()[:-300]), DAMAGED),
    Case("wrong checksum.png", wrong_checksum, DAMAGED),
    Case("too few rows.png", lambda path: written(path, png(pixels=bytes(50_000))), DAMAGED),
    Case("header alone.png", lambda path: written(path, png()[:40]), DAMAGED),
)

CASES = (*JPEGS, *PNGS)
