"""Files that are no JPEG, PNG or TIFF, and paths that are no file."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image

from cacl.errors import Reason
from tests.corpus.images_field import (
    DAMAGED,
    JPEG_READ,
    READ,
    Case,
    Refused,
    Writer,
    field,
)
from tests.corpus.images_jpeg import encoded, png, written
from tests.corpus.images_tiff import rgb

SAVE_AS_PNG = Refused(Reason.NOT_AN_IMAGE, "save it as PNG or TIFF")
EXPORT_SLIDE = Refused(Reason.NOT_AN_IMAGE, "export it as a pyramidal OME-TIFF")
GET_AGAIN = Refused(Reason.NOT_AN_IMAGE, "copy or download the image again")
UNPACK = Refused(Reason.NOT_AN_IMAGE, "unpack it")
USE_OTHER = Refused(Reason.NOT_AN_IMAGE, "use a JPEG, PNG or TIFF")
MISSING = Refused(Reason.NOT_FOUND, "correct")
NO_FILE = Refused(Reason.NOT_AN_IMAGE, "correct image_path")


def saved(image_format: str, **options: Any) -> Writer:
    return lambda path: Image.fromarray(field()).save(path, image_format, **options)


def content(data: bytes | bytearray) -> Writer:
    return partial(written, data=data)


def codec(encode: Callable[..., bytes | bytearray], **options: Any) -> Writer:
    return lambda path: path.write_bytes(encode(field(), **options))


def archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("core.jpg", encoded())


def folder(path: Path) -> None:
    path.mkdir()
    (path / "core.jpg").write_bytes(encoded())


def link_to_image(path: Path) -> None:
    target = path.with_name("linked original.png")
    target.write_bytes(png())
    path.symlink_to(target)


def links(path: Path, count: int) -> None:
    """Write a chain of links to an image; Linux follows 40."""
    folder = path.with_name(f"{path.stem} chain")
    folder.mkdir()
    (folder / "0.png").write_bytes(png())
    for number in range(1, count):
        (folder / f"{number}.png").symlink_to(f"{number - 1}.png")
    path.symlink_to(folder / f"{count - 1}.png")


def circle(path: Path) -> None:
    other = path.with_name("other end.jpg")
    other.symlink_to(path.name)
    path.symlink_to(other.name)


def sparse(path: Path) -> None:
    """Write a JPEG that a failed copy has made 500 MB long, without taking disk space."""
    path.write_bytes(encoded())
    os.truncate(path, 500_000_000)


def tiny(path: Path) -> None:
    Image.fromarray(np.ascontiguousarray(field()[:1, :1])).save(path)


def without_tissue(path: Path) -> None:
    Image.new("RGB", (480, 400), (244, 244, 246)).save(path)


def cut_tiff(path: Path, fraction: float, **options: Any) -> None:
    stream = io.BytesIO()
    rgb(stream, **options)  # type: ignore[arg-type]
    path.write_bytes(stream.getvalue()[: int(len(stream.getvalue()) * fraction)])


def mirax_without_folder(path: Path) -> None:
    path.write_bytes(encoded())


FTYP = b"\0\0\0\x18ftyp"

FORMATS = (
    Case("web.webp", saved("WEBP"), SAVE_AS_PNG),
    Case("windows.bmp", saved("BMP"), SAVE_AS_PNG),
    Case("web.gif", saved("GIF"), SAVE_AS_PNG),
    Case("scanner.jp2", codec(imagecodecs.jpeg2k_encode, codecformat="jp2"), SAVE_AS_PNG),
    Case("scanner.j2k", codec(imagecodecs.jpeg2k_encode, codecformat="j2k"), SAVE_AS_PNG),
    Case("new.jxl", codec(imagecodecs.jpegxl_encode), SAVE_AS_PNG),
    Case("zeiss.wdp", codec(imagecodecs.jpegxr_encode), SAVE_AS_PNG),
    Case("phone.avif", saved("AVIF"), SAVE_AS_PNG),
    Case("phone.heic", content(FTYP + b"heic\0\0\0\0mif1heic" + bytes(500)), SAVE_AS_PNG),
    Case("phone.mp4", content(FTYP + b"isom\0\0\2\0isomiso2" + bytes(500)), SAVE_AS_PNG),
    Case("targa.tga", saved("TGA"), USE_OTHER),
    Case("portable.ppm", saved("PPM"), USE_OTHER),
    Case("icon.ico", saved("ICO"), USE_OTHER),
    Case("article.pdf", saved("PDF"), Refused(Reason.NOT_AN_IMAGE, "pdfimages")),
    Case(
        "layers.psd",
        content(b"8BPS\0\1" + bytes(100)),
        Refused(Reason.NOT_AN_IMAGE, "Photoshop as TIFF"),
    ),
    Case("zeiss.czi", content(b"ZISRAWFILE" + bytes(600)), DAMAGED),
    Case("nikon.nd2", content(b"\xda\xce\xbe\x0a" + bytes(600)), EXPORT_SLIDE),
    Case("imaris.ims", content(b"\x89HDF\r\n\x1a\n" + bytes(600)), EXPORT_SLIDE),
    Case("plot.svg", content(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), GET_AGAIN),
    Case("error page.jpg", content(b"\n<!DOCTYPE html><html>404</html>"), GET_AGAIN),
    Case("error with mark.jpg", content(b"\xef\xbb\xbf<html>404</html>"), GET_AGAIN),
    Case("error.json.jpg", content(b'{"error": "rate limit"}'), USE_OTHER),
    Case("table.tif", content(b"image_id,label\n1,positive\n"), USE_OTHER),
    Case("archive.jpg", archive, UNPACK),
    Case("packed.tif", content(b"\x1f\x8b\x08\0" + bytes(50)), UNPACK),
    Case(
        "git lfs.tif",
        content(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
        Refused(Reason.NOT_AN_IMAGE, "git lfs pull"),
    ),
    Case(
        "._mac.jpg",
        content(b"\0\x05\x16\x07\0\2\0\0Mac OS X" + bytes(100)),
        Refused(Reason.NOT_AN_IMAGE, "leading ._"),
    ),
    Case("zeros.tif", content(bytes(5000)), GET_AGAIN),
    Case("empty.png", content(b""), Refused(Reason.NOT_AN_IMAGE, "copy")),
    Case("png named.jpg", content(png()), READ),
    Case("jpeg named.png", content(encoded()), JPEG_READ),
    Case("tiff named.jpg", rgb, READ),
    Case("jpeg xl named.jpg", codec(imagecodecs.jpegxl_encode), SAVE_AS_PNG),
    Case(
        "jpeg in jpeg xl named.jpg", content(imagecodecs.jpegxl_encode_jpeg(encoded())), SAVE_AS_PNG
    ),
    Case("heif named.jpg", content(FTYP + b"heix\0\0\0\0mif1heix" + bytes(500)), SAVE_AS_PNG),
    Case("avif named.jpg", saved("AVIF"), SAVE_AS_PNG),
    Case("NO EXTENSION", content(png()), READ),
    Case("pr\u00e4parat \u2116 1.png", content(png()), READ),
)

PATHS = (
    Case("missing.jpg", lambda path: None, MISSING),
    Case("folder.tif", folder, NO_FILE),
    Case("pipe.jpg", os.mkfifo, NO_FILE),
    Case("loop.jpg", lambda path: path.symlink_to(path), MISSING),
    Case("dangling.jpg", lambda path: path.symlink_to("nowhere.jpg"), MISSING),
    Case("link.png", link_to_image, READ),
    Case("chain of 40 links.png", partial(links, count=40), READ),
    Case("chain of 41 links.png", partial(links, count=41), MISSING),
    Case("circle of links.jpg", circle, MISSING),
    Case("link to a folder.jpg", lambda path: path.symlink_to("."), NO_FILE),
    Case("sparse.jpg", sparse, Refused(Reason.TOO_LARGE, "tiled pyramidal TIFF")),
    Case("pixel.png", tiny, Refused(Reason.TOO_SMALL, "use a larger image")),
    Case("blank.png", without_tissue, Refused(Reason.NO_TISSUE, "check the image")),
    Case("slide.mrxs", mirax_without_folder, Refused(Reason.NOT_FOUND, "copy the folder as well")),
    Case("cut raw.tif", partial(cut_tiff, fraction=0.5), DAMAGED),
    Case(
        "cut deflate.tif",
        partial(cut_tiff, fraction=0.5, compression="zlib", rowsperstrip=16),
        DAMAGED,
    ),
    Case("cut tiles.tif", partial(cut_tiff, fraction=0.5, tile=(128, 128)), DAMAGED),
    Case("header alone.tif", partial(cut_tiff, fraction=0.00002), DAMAGED),
)

CASES = (*FORMATS, *PATHS)
