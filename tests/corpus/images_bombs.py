"""Small files whose headers ask for much memory or time; each is refused before it is decoded."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import imagecodecs

from cacl.errors import Reason
from tests.corpus.images_field import DAMAGED, Case, Refused, field
from tests.corpus.images_jpeg import START, encoded, png, segment
from tests.corpus.images_pages import aperio
from tests.corpus.images_tiff_writer import LONG, write_tiff

TOO_LARGE = Refused(Reason.TOO_LARGE, "tiled pyramidal TIFF")
SIDE, HUGE = 9000, 65_000
SMALL = (400, 400)

Change = Callable[[bytes, int], bytes]


def jpeg_of(data: bytes, side: int) -> bytes:
    """State another size in the frame header of a JPEG."""
    frame = next(data.index(code) for code in (b"\xff\xc0", b"\xff\xc2") if code in data)
    return data[: frame + 5] + struct.pack(">HH", side, side) + data[frame + 9 :]


def png_of(data: bytes, side: int) -> bytes:
    header = data[12:16] + struct.pack(">II", side, side) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


def jpeg2000_of(data: bytes, side: int) -> bytes:
    at = data.index(b"\xff\x4f\xff\x51")
    ends = struct.pack(">II", side, side)
    tiles = struct.pack(">II", side, side)
    return data[: at + 8] + ends + data[at + 16 : at + 24] + tiles + data[at + 32 :]


def jpegxr_of(data: bytes, side: int) -> bytes:
    at = data.index(b"WMPHOTO\0") + 12
    return data[:at] + struct.pack(">HH", side - 1, side - 1) + data[at + 4 :]


def webp_of(data: bytes, side: int) -> bytes:
    at = data.index(b"VP8L") + 9
    bits = int.from_bytes(data[at : at + 4], "little") & ~((1 << 28) - 1)
    return data[:at] + (bits | (side - 1) << 14 | side - 1).to_bytes(4, "little") + data[at + 4 :]


def jpegxl_of(_: bytes, side: int) -> bytes:
    """Return the start of a JPEG XL codestream of a square size (ratio 1:1)."""
    bits = 0 | 3 << 1 | (side - 1) << 3 | 1 << 33
    return b"\xff\x0a" + bits.to_bytes(5, "little") + bytes(500)


J2K = bytes(imagecodecs.jpeg2k_encode(field(), level=0, codecformat="j2k"))
CODECS: dict[str, tuple[int, bytes, Change]] = {
    "jpeg 2000": (34712, J2K, jpeg2000_of),
    "aperio": (33003, J2K, jpeg2000_of),
    "jpeg": (7, encoded(), jpeg_of),
    "progressive jpeg": (7, encoded(progressive=True), jpeg_of),
    "jpeg xl": (50002, b"", jpegxl_of),
    "jpeg xr": (34934, bytes(imagecodecs.jpegxr_encode(field())), jpegxr_of),
    "png": (34933, png(), png_of),
    "webp": (50001, bytes(imagecodecs.webp_encode(field(), lossless=True)), webp_of),
}


def strip(path: Path, codec: str, side: int) -> None:
    """Write a TIFF of 400 x 400 px around a strip whose own header states a larger size."""
    compression, data, change = CODECS[codec]
    write_tiff(path, [change(data, side)], compression=compression, size=SMALL, rows=400)


def expanding(path: Path, compression: int) -> None:
    """Write a strip that expands to 100 MB of zeros in a TIFF of 400 x 400 px."""
    encode: dict[int, Callable[[], bytes]] = {
        8: lambda: zlib.compress(bytes(10**8), level=1),
        32773: lambda: b"\x81\0" * (10**8 // 128),
        50000: lambda: bytes(imagecodecs.zstd_encode(bytes(10**8))),
    }
    data = encode[compression]()
    write_tiff(path, [data], compression=compression, size=SMALL, rows=400)


def zstd_that_states(path: Path) -> None:
    """Write a zstd frame whose header states 16 GiB."""
    frame = b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 2**34) + b"\x01\0\0"
    write_tiff(path, [frame], compression=50000, size=SMALL, rows=400)


def stated(path: Path, side: int) -> None:
    write_tiff(path, [bytes(1000)], size=(side, side), rows=side)


def tiles(path: Path, side: int) -> None:
    """Write a TIFF of 400 x 400 px with one tile of a large size."""
    data = zlib.compress(bytes(1000))
    tags = [(322, LONG, [side]), (323, LONG, [side]), (324, LONG, [8]), (325, LONG, [len(data)])]
    write_tiff(path, [data], *tags, compression=8, size=SMALL)


def large_tag(path: Path) -> None:
    """Write a sparse file whose tag StripOffsets has 100 million values."""
    write_tiff(path, [bytes(1000)], (273, LONG, [8] * 10), size=SMALL, rows=40)
    data = bytearray(path.read_bytes())
    entry = data.index(struct.pack("<HHI", 273, LONG, 10))
    data[entry + 4 : entry + 8] = struct.pack("<I", 100_000_000)
    path.write_bytes(data)
    with path.open("r+b") as file:
        file.truncate(450_000_000)


def page_loop(path: Path) -> None:
    """Write a page that names itself as the next one."""
    write_tiff(path, [field().tobytes()])
    data = bytearray(path.read_bytes())
    directory = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, directory)[0]
    struct.pack_into("<I", data, directory + 2 + 12 * count, directory)
    path.write_bytes(data)


def many_scans(path: Path) -> None:
    """Write a progressive JPEG of 3000 scans."""
    data = encoded(progressive=True)
    last = data.rindex(b"\xff\xda")
    path.write_bytes(data[:-2] + data[last:-2] * 3000 + b"\xff\xd9")


def whole(path: Path, codec: str, side: int) -> None:
    """Write a JPEG or PNG whose header states a larger size."""
    _, data, change = CODECS[codec]
    path.write_bytes(change(data, side))


def many_comments(path: Path) -> None:
    path.write_bytes(START + segment(0xFE, b"x") * 200_000 + encoded()[2:-5000])


def slide(path: Path) -> None:
    """Write an SVS whose tiles are JPEG 2000 of 65,000 x 65,000 px by their own headers."""
    aperio(path, compression=33005)
    data = path.read_bytes()
    size = struct.pack(">II", 128, 128)
    start = b"\xff\x4f\xff\x51"
    parts = data.split(start)
    huge = struct.pack(">II", HUGE, HUGE)
    path.write_bytes(start.join([parts[0], *(part.replace(size, huge, 2) for part in parts[1:])]))


CASES = (
    *(
        Case(f"strip of {codec}.tif", partial(strip, codec=codec, side=SIDE), DAMAGED)
        for codec in CODECS
    ),
    *(
        Case(f"huge strip of {codec}.tif", partial(strip, codec=codec, side=HUGE), DAMAGED)
        for codec in CODECS
        if codec not in ("webp", "progressive jpeg")
    ),
    Case("deflate bomb.tif", partial(expanding, compression=8), DAMAGED),
    Case("zstd bomb.tif", partial(expanding, compression=50000), DAMAGED),
    Case("packbits bomb.tif", partial(expanding, compression=32773), DAMAGED),
    Case("zstd of 16 gib.tif", zstd_that_states, DAMAGED),
    Case("tiff of 100000 px.tif", partial(stated, side=100_000), TOO_LARGE),
    Case("tiff of 10000 px.tif", partial(stated, side=10_000), DAMAGED),
    Case("tile of 9000 px.tif", partial(tiles, side=8992), DAMAGED),
    Case(
        "tile of 65000 px.tif",
        partial(tiles, side=64_992),
        Refused(Reason.TOO_LARGE, "tiles of 256 x 256 px"),
    ),
    Case("large tag.tif", large_tag, DAMAGED),
    Case("page loop.tif", page_loop, DAMAGED),
    Case("many scans.jpg", many_scans, DAMAGED),
    Case("many comments.jpg", many_comments, DAMAGED),
    Case("jpeg of 65000 px.jpg", partial(whole, codec="jpeg", side=HUGE), TOO_LARGE),
    Case("jpeg of 9000 px.jpg", partial(whole, codec="jpeg", side=SIDE), DAMAGED),
    Case("png of 65000 px.png", partial(whole, codec="png", side=HUGE), TOO_LARGE),
    Case("png of 9000 px.png", partial(whole, codec="png", side=SIDE), DAMAGED),
    Case("slide of jpeg 2000.svs", slide, DAMAGED),
)
