"""Files that users really have and that no image can be read from, each with its reason.

Every function writes one file into a folder and returns its path.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from pictures import jpeg, picture, png, tiff
from PIL import Image

from cacl.errors import Reason

Writer = Callable[[Path], Path]


@dataclass(frozen=True)
class BadImage:
    """A file that `open_source` refuses: how to write it, and why it is refused."""

    name: str
    reason: Reason
    write: Writer


def missing(folder: Path) -> Path:
    return folder / "missing.jpg"


def below_a_file(folder: Path) -> Path:
    return jpeg(folder) / "core.jpg"


def impossible_name(folder: Path) -> Path:
    return folder / "core\0.jpg"


def long_name(folder: Path) -> Path:
    return folder / ("x" * 300 + ".jpg")


def empty(folder: Path) -> Path:
    path = folder / "empty.jpg"
    path.touch()
    return path


def text(folder: Path) -> Path:
    path = folder / "text.jpg"
    path.write_text("image_id,label\nHPA000001/1,positive\n")
    return path


def html(folder: Path) -> Path:
    path = folder / "html.jpg"
    path.write_text("\n<!DOCTYPE html>\n<html><body>404 Not Found</body></html>")
    return path


def other_format(folder: Path) -> Path:
    path = folder / "other.jpg"
    Image.fromarray(picture()).save(path, format="GIF")
    return path


def folder_for_a_file(folder: Path) -> Path:
    path = folder / "folder.jpg"
    path.mkdir()
    return path


def pipe(folder: Path) -> Path:
    path = folder / "pipe.jpg"
    os.mkfifo(path)
    return path


def socket(folder: Path) -> Path:
    path = folder / "socket.jpg"
    os.mknod(path, stat.S_IFSOCK | 0o600)
    return path


def device(_: Path) -> Path:
    return Path("/dev/zero")


def link_to_itself(folder: Path) -> Path:
    path = folder / "loop.jpg"
    path.symlink_to(path)
    return path


def _cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def truncated_jpeg(folder: Path) -> Path:
    return _cut(jpeg(folder, "truncated.jpg"), 0.6)


def jpeg_without_its_end(folder: Path) -> Path:
    path = jpeg(folder, "endless.jpg")
    path.write_bytes(path.read_bytes()[:-2])
    return path


def jpeg_of_a_few_bytes(folder: Path) -> Path:
    return _cut(jpeg(folder, "stub.jpg"), 0.002)


def truncated_progressive_jpeg(folder: Path) -> Path:
    return _cut(jpeg(folder, "progressive.jpg", progressive=True), 0.5)


def truncated_png(folder: Path) -> Path:
    return _cut(png(folder, "truncated.png"), 0.6)


def png_of_a_few_bytes(folder: Path) -> Path:
    path = png(folder, "stub.png")
    path.write_bytes(path.read_bytes()[:20])
    return path


def png_with_a_wrong_checksum(folder: Path) -> Path:
    path = png(folder, "checksum.png")
    data = bytearray(path.read_bytes())
    data[29] ^= 255
    path.write_bytes(data)
    return path


def truncated_tiff(folder: Path) -> Path:
    return _cut(tiff(folder, "truncated.tif"), 0.6)


def truncated_compressed_tiff(folder: Path) -> Path:
    return _cut(tiff(folder, "deflate.tif", compression="deflate", rowsperstrip=16), 0.6)


def tiff_of_a_few_bytes(folder: Path) -> Path:
    path = tiff(folder, "stub.tif")
    path.write_bytes(path.read_bytes()[:12])
    return path


def grey_jpeg(folder: Path) -> Path:
    path = folder / "grey.jpg"
    Image.fromarray(picture()).convert("L").save(path)
    return path


def grey_png(folder: Path) -> Path:
    path = folder / "grey.png"
    Image.fromarray(picture()).convert("L").save(path)
    return path


def grey_alpha_png(folder: Path) -> Path:
    path = folder / "greyalpha.png"
    Image.fromarray(picture()).convert("LA").save(path)
    return path


def grey_tiff(folder: Path) -> Path:
    path = folder / "grey.tif"
    tifffile.imwrite(path, picture()[..., 0])
    return path


def grey_tiled_tiff(folder: Path) -> Path:
    path = folder / "greytiled.tif"
    tifffile.imwrite(path, picture()[..., 0], tile=(128, 128))
    return path


def cmyk_jpeg(folder: Path) -> Path:
    path = folder / "cmyk.jpg"
    Image.fromarray(picture()).convert("CMYK").save(path)
    return path


def cmyk_tiff(folder: Path) -> Path:
    path = folder / "cmyk.tif"
    Image.fromarray(picture()).convert("CMYK").save(path)
    return path


def palette_tiff(folder: Path) -> Path:
    path = folder / "palette.tif"
    Image.fromarray(picture()).quantize(64).save(path)
    return path


def deep_jpeg(folder: Path) -> Path:
    path = folder / "deep.jpg"
    path.write_bytes(imagecodecs.jpeg8_encode(picture().astype(np.uint16) * 16, bitspersample=12))
    return path


def deep_png(folder: Path) -> Path:
    path = folder / "deep.png"
    path.write_bytes(imagecodecs.png_encode(picture().astype(np.uint16) * 257))
    return path


def deep_tiff(folder: Path) -> Path:
    path = folder / "deep.tif"
    tifffile.imwrite(path, picture().astype(np.uint16) * 257, photometric="rgb")
    return path


def deep_tiled_tiff(folder: Path) -> Path:
    path = folder / "deeptiled.tif"
    deep = picture().astype(np.uint16) * 257
    tifffile.imwrite(path, deep, photometric="rgb", tile=(128, 128))
    return path


def float_tiff(folder: Path) -> Path:
    path = folder / "float.tif"
    tifffile.imwrite(path, picture().astype(np.float32) / 255, photometric="rgb")
    return path


def many_channels_tiff(folder: Path) -> Path:
    path = folder / "channels.tif"
    tifffile.imwrite(path, np.dstack([picture(), picture()]), photometric="rgb")
    return path


def turned_tiled_tiff(folder: Path) -> Path:
    return tiff(folder, "turned.tif", tile=(128, 128), extratags=[(274, "H", 1, 6, True)])


def jpeg_header_bomb(folder: Path) -> Path:
    path = jpeg(folder, "bomb.jpg")
    data = bytearray(path.read_bytes())
    frame = data.index(b"\xff\xc0")
    struct.pack_into(">HH", data, frame + 5, 65_500, 65_500)
    path.write_bytes(data)
    return path


def jpeg_of_too_many_bytes(folder: Path) -> Path:
    """Write a JPEG followed by 500 MB that a sparse file does not occupy."""
    path = jpeg(folder, "long.jpg")
    os.truncate(path, 500_000_000)
    return path


def png_header_bomb(folder: Path) -> Path:
    path = png(folder, "bomb.png")
    data = bytearray(path.read_bytes())
    struct.pack_into(">II", data, 16, 100_000, 100_000)
    struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    path.write_bytes(data)
    return path


def _overwrite(path: Path, **tags: int) -> Path:
    with tifffile.TiffFile(path, mode="r+b") as file:
        for name, value in tags.items():
            file.pages[0].tags[name].overwrite(value)
    return path


def tiff_header_bomb(folder: Path) -> Path:
    return _overwrite(tiff(folder, "bomb.tif"), ImageWidth=100_000, ImageLength=100_000)


def large_strips(folder: Path) -> Path:
    """Write a TIFF of 20,000 x 20,000 px in strips: sound, but it cannot be read in blocks."""
    return _overwrite(tiff(folder, "strips.tif"), ImageWidth=20_000, ImageLength=20_000)


def slide_header_bomb(folder: Path) -> Path:
    """Write a tiled TIFF of a few KB that claims 320,000 x 320,000 px."""
    path = folder / "slidebomb.tif"
    side, tile = 320_000, 10_000
    tiles = (side // tile) ** 2
    tags = 9
    bits = 8 + 2 + tags * 12 + 4
    offsets = bits + 6
    counts = offsets + 4 * tiles
    entries = [
        (256, 4, 1, side),
        (257, 4, 1, side),
        (258, 3, 3, bits),
        (262, 3, 1, 2),
        (277, 3, 1, 3),
        (322, 4, 1, tile - tile % 16),
        (323, 4, 1, tile - tile % 16),
        (324, 4, tiles, offsets),
        (325, 4, tiles, counts),
    ]
    path.write_bytes(
        struct.pack("<2sHIH", b"II", 42, 8, tags)
        + b"".join(struct.pack("<HHII", *entry) for entry in entries)
        + struct.pack("<I3H", 0, 8, 8, 8)
        + struct.pack(f"<{tiles}I", *[8] * tiles)
        + struct.pack(f"<{tiles}I", *[100] * tiles)
    )
    return path


def huge_tiles(folder: Path) -> Path:
    path = tiff(folder, "tiles.tif", tile=(128, 128))
    return _overwrite(path, TileWidth=32_768, TileLength=32_768)


def slide_without_its_data(folder: Path) -> Path:
    """Write a MIRAX index (a JPEG by its bytes) without the folder that holds the slide."""
    return jpeg(folder, "slide.mrxs")


BAD_IMAGES = tuple(
    BadImage(write.__name__, reason, write)
    for reason, writers in {
        Reason.NOT_FOUND: (
            missing,
            below_a_file,
            impossible_name,
            long_name,
            link_to_itself,
            slide_without_its_data,
        ),
        Reason.NOT_AN_IMAGE: (
            empty,
            text,
            html,
            other_format,
            folder_for_a_file,
            pipe,
            socket,
            device,
        ),
        Reason.DAMAGED: (
            truncated_jpeg,
            jpeg_without_its_end,
            jpeg_of_a_few_bytes,
            truncated_progressive_jpeg,
            truncated_png,
            png_of_a_few_bytes,
            png_with_a_wrong_checksum,
            truncated_tiff,
            truncated_compressed_tiff,
            tiff_of_a_few_bytes,
        ),
        Reason.UNSUPPORTED_PIXELS: (
            grey_jpeg,
            grey_png,
            grey_alpha_png,
            grey_tiff,
            grey_tiled_tiff,
            cmyk_jpeg,
            cmyk_tiff,
            palette_tiff,
            deep_jpeg,
            deep_png,
            deep_tiff,
            deep_tiled_tiff,
            float_tiff,
            many_channels_tiff,
            turned_tiled_tiff,
        ),
        Reason.TOO_LARGE: (
            jpeg_header_bomb,
            jpeg_of_too_many_bytes,
            png_header_bomb,
            tiff_header_bomb,
            large_strips,
            slide_header_bomb,
            huge_tiles,
        ),
    }.items()
    for write in writers
)
"""Files that `open_source` refuses."""
