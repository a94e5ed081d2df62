"""Cases of images: JPEG segments, PNG chunks and TIFF tags with edits, and generated files."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from tests.fixtures.pictures import picture
from tests.fuzz.genome import Genome
from tests.fuzz.mutations import edited

SIDE = 40
MAGICS = (
    b"GIF89a", b"BM", b"RIFF\0\0\0\0WEBP", b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x0a", b"%PDF-1.4",
    b"\0\0\0 ftypheic", b"II\xbc\x01", b"8BPS", b"<svg/>", b"DICM", b"SIMPLE  = ",
    b"\x89HDF\r\n\x1a\n",
)  # fmt: skip
TAGS = (
    254, 256, 257, 258, 259, 262, 266, 270, 271, 273, 274, 277, 278, 279, 282, 283, 284, 285, 296,
    297, 305, 317, 320, 322, 323, 324, 325, 330, 338, 339, 347, 512, 513, 529, 530, 531, 532, 32997,
    33003, 33432, 34675, 34712, 50838, 50839, 65420,
)  # fmt: skip
"""Tags of sizes, layout, compression, colours, offsets, resolution and vendors."""

COMPRESSIONS = (
    1,
    2,
    5,
    6,
    7,
    8,
    32773,
    32946,
    33003,
    33005,
    34712,
    34892,
    34925,
    50000,
    50001,
    52546,
)
DESCRIPTIONS = (
    "Aperio Image Library v11\n40x44 [0,0 40x44] (16x16) -> 40x44 |MPP = 0.25|AppMag = 40",
    "Aperio Image Library |MPP = nan",
    '<OME xmlns="x"><Image><Pixels PhysicalSizeX="0.5"/></Image>',
    "ImageJ=1.53\nunit=um\nspacing=1e999", '{"shape": [9, 9, 9]}', "\ud7ff\0\x1b[31m", "<?xml", "",
)  # fmt: skip


def _pixels(height: int = SIDE + 4, width: int = SIDE) -> NDArray[np.uint8]:
    return picture(height, width)


def _pillow(image: Image.Image, format_name: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format=format_name, **options)
    return stream.getvalue()


@cache
def jpegs() -> Sequence[bytes]:
    """Return JPEG files, baseline and progressive, in several colour layouts."""
    image, exif = Image.fromarray(_pixels()), Image.Exif()
    exif[0x0112] = 6
    return (
        _pillow(image, "JPEG", quality=90),
        _pillow(image, "JPEG", progressive=True, subsampling=2),
        _pillow(image, "JPEG", exif=exif, optimize=True, restart_marker_blocks=1),
        _pillow(image, "JPEG", keep_rgb=True),
        _pillow(image.convert("L"), "JPEG"),
        _pillow(image.convert("CMYK"), "JPEG"),
    )


def jpeg(genome: Genome) -> bytes:
    """Return a JPEG with edited bytes, or with edited, moved and repeated segments."""
    if not genome.chance(2):
        return edited(genome, jpegs(), (b"\xff\xd8", b"\xff\xd9", b"\xff\xd0", b"\xff\x00"))
    data = genome.choice(jpegs())
    segments = _segments(data)
    for _ in range(genome.below(4)):
        at = genome.below(len(segments))
        kind = genome.below(5)
        if kind == 0:
            segments[at] = _with_field(genome, segments[at], 4, ">")
        elif kind == 1:
            segments.insert(genome.below(len(segments)), segments[at])
        elif kind == 2:
            segments.pop(at)
        elif kind == 3:
            segments[at] = segments[at][:1] + bytes([genome.below(256)]) + segments[at][2:]
        else:
            segments[at] = edited(genome, (segments[at],))
        if not segments:
            break
    return b"\xff\xd8" + b"".join(segments)


def _segments(data: bytes) -> list[bytes]:
    """Return the segments after the start marker; the last one has the compressed pixels."""
    segments, at = [], 2
    while data[at + 1] != 0xDA:
        length = 2 + int.from_bytes(data[at + 2 : at + 4])
        segments.append(data[at : at + length])
        at += length
    return [*segments, data[at:]]


def _with_field(genome: Genome, data: bytes, first: int, order: str) -> bytes:
    """Overwrite a 1-, 2- or 4-byte field after the first bytes by an edge."""
    code, size = genome.choice((("B", 1), ("H", 2), ("I", 4)))
    at = first + genome.below(max(1, min(24, len(data) - first)))
    field = struct.pack(f"{order}{code}", genome.edge() % (1 << 8 * size))
    return data[:at] + field + data[at + size :]


@cache
def pngs() -> Sequence[bytes]:
    """Return PNG files of every colour type, interlaced, with transparency and orientation."""
    image, exif = Image.fromarray(_pixels()), Image.Exif()
    exif[0x0112] = 8
    transparent = image.convert("RGBA")
    transparent.putalpha(Image.linear_gradient("L").resize(image.size))
    palette = image.quantize(16)
    return (
        _pillow(image, "PNG"), _pillow(transparent, "PNG"), _pillow(palette, "PNG"),
        _pillow(palette, "PNG", transparency=3), _pillow(image, "PNG", exif=exif, dpi=(72, 72)),
        _pillow(image.convert("L"), "PNG"), _pillow(image.convert("1"), "PNG"),
        bytes(imagecodecs.png_encode(_pixels().astype(np.uint16) * 257)),
    )  # fmt: skip


def png(genome: Genome) -> bytes:
    """Return a PNG with edited bytes, or with edited chunks whose checksums fit."""
    if genome.below(3) == 0:
        return edited(genome, pngs(), (b"IHDR", b"IDAT", b"PLTE", b"tRNS", b"iCCP", b"zTXt"))
    chunks = _chunks(genome.choice(pngs()))
    for _ in range(1 + genome.below(3)):
        at = genome.below(len(chunks))
        name, content = chunks[at]
        kind = genome.below(6)
        if kind == 0:
            chunks[at] = name, _with_field(genome, content, 0, ">")
        elif kind == 1:
            chunks[at] = name, edited(genome, (content,))
        elif kind == 2:
            chunks.insert(genome.below(len(chunks) + 1), chunks[at])
        elif kind == 3 and len(chunks) > 1:
            chunks.pop(at)
        elif kind == 4:
            extra = genome.choice((b"zTXt", b"iTXt", b"iCCP", b"tRNS", b"eXIf", b"acTL", b"fdAT"))
            packed = zlib.compress(bytes(genome.choice((0, 10, 10**6))), 1)
            chunks.insert(at, (extra, b"x\0\0" + packed))
        else:
            chunks[at] = genome.choice((b"IDAT", b"IEND", b"PLTE", b"xxxx")), content
    body = b"".join(
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks, at = [], 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4])
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += length + 12
    return chunks


def _tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **({"photometric": "rgb", "metadata": None} | options))
    return stream.getvalue()


@cache
def tiffs() -> Sequence[bytes]:
    """Return TIFF files in strips and tiles, of several compressions, layouts and pages."""
    rgb = _pixels()
    planes, grey = rgb.transpose(2, 0, 1).copy(), rgb[..., 0].copy()
    rgba = np.dstack([rgb, np.full(rgb.shape[:2], 128, np.uint8)])
    many = io.BytesIO()
    with tifffile.TiffWriter(many) as writer:
        for pixels, kind in ((rgb[::4, ::4], 1), (rgb, 0), (rgb[::2, ::2], 1)):
            writer.write(pixels, photometric="rgb", subfiletype=kind, metadata=None)
    return (
        _tiff(rgb), _tiff(rgb, compression="deflate", predictor=True, byteorder=">"),
        _tiff(rgb, compression="lzw", rowsperstrip=7), _tiff(rgb, compression="jpeg"),
        _tiff(rgb, compression="jpeg2000"), _tiff(rgb, compression="zstd", bigtiff=True),
        _tiff(rgb, compression="packbits", resolution=(40000, 40000), resolutionunit=3),
        _tiff(rgb, compression="webp"), _tiff(rgb, compression="jpegxl"),
        _tiff(rgb, tile=(16, 16), compression="lzw"), _tiff(planes, planarconfig="separate"),
        _tiff(rgba, extrasamples=["unassalpha"]), _tiff(grey, photometric="minisblack"),
        _tiff(rgb.astype(np.uint16)), _tiff(rgb, photometric="ycbcr", compression="jpeg"),
        _tiff(rgb, metadata={"unit": "um"}, imagej=True, resolution=(2, 2)), _ome(rgb),
        many.getvalue(),
    )  # fmt: skip


def _ome(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    units = {"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5}
    tifffile.imwrite(stream, pixels, photometric="rgb", ome=True, metadata={"axes": "YXS"} | units)
    return stream.getvalue()


@cache
def slides() -> Sequence[bytes]:
    """Return pyramids that OpenSlide reads: generic tiled TIFF and Aperio SVS."""
    made = []
    for description, compression in ((None, "jpeg"), (None, None), (DESCRIPTIONS[0], "jpeg")):
        stream, pixels = io.BytesIO(), _pixels(96, 80)
        with tifffile.TiffWriter(stream, bigtiff=compression is None) as writer:
            for level in range(3):
                writer.write(
                    pixels,
                    tile=(16, 16),
                    photometric="rgb",
                    subfiletype=int(level > 0),
                    metadata=None,
                    compression=compression,
                    description=description,
                )
                pixels = np.ascontiguousarray(pixels[::2, ::2])
        made.append(stream.getvalue())
    return tuple(made)


def tiff(genome: Genome) -> bytes:
    """Return a TIFF with edited bytes or tags, or one of any layout."""
    return _tiff_case(genome, tiffs)


def slide(genome: Genome) -> bytes:
    """Return a pyramid with edited bytes or tags."""
    return _tiff_case(genome, slides)


def _tiff_case(genome: Genome, files: Callable[[], Sequence[bytes]]) -> bytes:
    if genome.below(3) == 0:
        texts = tuple(text.encode("utf-8", "replace") for text in DESCRIPTIONS)
        return edited(genome, files(), texts)
    data = bytearray(genome.choice(files()))
    for _ in range(1 + genome.below(3)):
        _edit_tag(genome, data)
    return bytes(data)


def _edit_tag(genome: Genome, data: bytearray) -> None:
    """Change number, type, count or value of one entry of one directory."""
    order = "<" if data[:2] == b"II" else ">"
    big = bytes(data[2:4]) in (b"+\0", b"\0+")
    entries = _entries(data, order, big=big)
    if not entries:
        return
    at = genome.choice(entries)
    field = genome.choice(("value", "count", "type", "tag", "swap"))
    width = 8 if big else 4
    if field == "tag":
        struct.pack_into(f"{order}H", data, at, genome.choice(TAGS))
    elif field == "type":
        struct.pack_into(f"{order}H", data, at + 2, genome.below(20))
    elif field == "swap":
        other = genome.choice(entries)
        data[at : at + 2], data[other : other + 2] = data[other : other + 2], data[at : at + 2]
    else:
        place = at + 4 + (width if field == "value" else 0)
        number = genome.choice((genome.edge(), genome.choice(COMPRESSIONS), genome.below(12)))
        short = bytes(data[at + 2 : at + 4]) in (b"\3\0", b"\0\3")
        code, size = ("H", 2) if short and field == "value" else ("Q", 8) if big else ("I", 4)
        struct.pack_into(f"{order}{code}", data, place, number % (1 << 8 * size))


def _entries(data: bytes | bytearray, order: str, *, big: bool) -> list[int]:
    """Return the offsets of the entries of all directories; stop at the first unreadable one."""
    entries: list[int] = []
    seen: set[int] = set()
    try:
        at = (
            struct.unpack_from(f"{order}Q", data, 8)[0]
            if big
            else (struct.unpack_from(f"{order}I", data, 4)[0])
        )
        while at and at not in seen and len(entries) < 400:
            seen.add(at)
            count = struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, at)[0]
            start, size = (at + 8, 20) if big else (at + 2, 12)
            entries += [start + size * number for number in range(min(count, 100))]
            at = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, start + size * count)[0]
    except struct.error:
        pass
    return [entry for entry in entries if entry + 20 <= len(data)]


def other(genome: Genome) -> bytes:
    """Return another format, a text, or the start of one image and the rest of another."""
    if genome.chance(2):
        return genome.choice(MAGICS) + genome.raw(64)
    heads = (*jpegs()[:1], *pngs()[:1], *tiffs()[:1], *slides()[:1])
    return genome.choice(heads)[: genome.below(600)] + edited(genome, heads)
