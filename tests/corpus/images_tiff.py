"""TIFF: compressions, layouts and colours, as R, Python, ImageJ, Photoshop and scanners write."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, ImageCms

from cacl.errors import Reason
from tests.corpus.images_field import (
    HEIGHT,
    JPEG_READ,
    NO_COLOUR,
    READ,
    SAVE_AS_RGB,
    WIDTH,
    Case,
    Measured,
    Pixels,
    Refused,
    field,
    ycbcr,
)
from tests.corpus.images_tiff_writer import LONG, RATIONAL, SHORT, rationals, write_tiff

ROUNDED = Measured(tolerance=2.0)
"""YCbCr of 8 bits is rounded."""


def rgb(path: Path, **options: Any) -> None:
    """Write the field with tifffile."""
    tifffile.imwrite(path, field(), **({"photometric": "rgb"} | options))


def planar(path: Path, **options: Any) -> None:
    pixels = np.moveaxis(field(), -1, 0)
    tifffile.imwrite(path, pixels, photometric="rgb", planarconfig="separate", **options)


def pillow(path: Path, mode: str = "RGB", **options: Any) -> None:
    Image.fromarray(field()).convert(mode).save(path, **options)


def array(path: Path, pixels: np.ndarray, **options: Any) -> None:
    tifffile.imwrite(path, pixels, **options)


def rgba(path: Path, kind: str) -> None:
    """Write the field with a fourth channel; its last rows are transparent."""
    pixels = np.dstack([field(), np.full((HEIGHT, WIDTH), 255, np.uint8)])
    pixels[396:] = (0, 0, 0, 0)
    tifffile.imwrite(path, pixels, photometric="rgb", extrasamples=[kind])


def unspecified(path: Path) -> None:
    pixels = np.dstack([field(), np.zeros((HEIGHT, WIDTH), np.uint8)])
    tifffile.imwrite(path, pixels, photometric="rgb", extrasamples=["unspecified"])


def stored(path: Path, orientation: int, **options: Any) -> None:
    """Write the field so that a viewer that obeys the tag Orientation shows it upright."""
    turns: dict[int, Pixels] = {
        2: field()[:, ::-1],
        3: field()[::-1, ::-1],
        5: field().swapaxes(0, 1),
        6: np.rot90(field()),
        8: np.rot90(field(), -1),
    }
    pixels = np.ascontiguousarray(turns[orientation])
    extratags = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(path, pixels, photometric="rgb", extratags=extratags, **options)


def packed(pixels: Pixels, across: int, down: int) -> bytes:
    """Return YCbCr as the data units of TIFF 6.0, section 21: each sample of chroma is a mean."""
    high, wide = pixels.shape[0] // down, pixels.shape[1] // across
    blocks = pixels.reshape(high, down, wide, across, 3).swapaxes(1, 2)
    luma = blocks[..., 0].reshape(high, wide, -1)
    chroma = np.rint(blocks[..., 1:].mean(axis=(2, 3))).astype(np.uint8)
    return np.concatenate([luma, chroma], axis=-1).tobytes()


def subsampled(path: Path, across: int, down: int, compression: int = 1) -> None:
    encoders: dict[int, Callable[[bytes], bytes | bytearray]] = {
        1: bytes,
        5: imagecodecs.lzw_encode,
        8: imagecodecs.zlib_encode,
    }
    encode = encoders[compression]
    pixels = ycbcr(field())
    strips = [encode(packed(pixels[row : row + 80], across, down)) for row in range(0, HEIGHT, 80)]
    tag = (530, SHORT, [across, down])
    write_tiff(path, strips, tag, compression=compression, photometric=6, rows=80)


def default_subsampling(path: Path) -> None:
    """Without the tag YCbCrSubSampling, which then is 2 x 2."""
    write_tiff(path, [packed(ycbcr(field()), 2, 2)], photometric=6)


def rec_709(path: Path) -> None:
    weights = (0.2126, 0.7152, 0.0722)
    tag = (529, RATIONAL, rationals(weights))
    write_tiff(path, [ycbcr(field(), weights).tobytes()], tag, (530, SHORT, [1, 1]), photometric=6)


def studio_range(path: Path) -> None:
    """Y of 16 - 235 and chroma of 16 - 240, as video has."""
    full = ycbcr(field()).astype(float)
    studio = np.stack(
        [full[..., 0] * 219 / 255 + 16, *((full[..., n] - 128) * 112 / 127 + 128 for n in (1, 2))],
        axis=-1,
    )
    tag = (532, RATIONAL, rationals((16, 235, 128, 240, 128, 240)))
    data = np.rint(studio).astype(np.uint8).tobytes()
    write_tiff(path, [data], tag, (530, SHORT, [1, 1]), photometric=6)


def jpeg2000(path: Path, compression: int, photometric: int, *, is_ycbcr: bool) -> None:
    pixels = ycbcr(field()) if is_ycbcr else field()
    data = imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k", mct=False)
    write_tiff(path, [data], compression=compression, photometric=photometric)


def old_jpeg(path: Path) -> None:
    data = imagecodecs.jpeg8_encode(field())
    tags = [(513, LONG, [8]), (514, LONG, [len(data)])]
    write_tiff(path, [data], *tags, compression=6, photometric=6)


def reversed_bits(path: Path) -> None:
    data = imagecodecs.bitorder_encode(imagecodecs.lzw_encode(field().tobytes()))
    write_tiff(path, [data], (266, SHORT, [2]), compression=5)


def photoshop(path: Path, mode: str = "RGB") -> None:
    """Write layers (tag 37724) and resources (34377), of which the composite is the page."""
    layers = b"Adobe Photoshop Document Data Block\0MIB8nrTM" + bytes(50_000)
    pixels = np.asarray(Image.fromarray(field()).convert(mode))
    tifffile.imwrite(
        path,
        pixels,
        photometric="rgb" if mode == "RGB" else "separated",
        compression="lzw",
        predictor=True,
        resolution=(300, 300),
        extratags=[
            (37724, 7, len(layers), layers, True),
            (34377, 1, 12, b"8BIM\x04\x04\0\0\0\0\0\0", True),
        ],
    )


def with_profile(path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(field()).save(path, icc_profile=profile, compression="tiff_lzw")


GREY = field()[..., 1]
RGB_16 = field().astype(np.uint16) * 257
TILED: dict[str, Any] = {"tile": (128, 128)}
JPEG_OPTIONS: dict[str, Any] = {"compressionargs": {"level": 95}}

LAYOUTS = (
    Case("tifffile raw.tif", rgb, READ),
    Case("imagej lzw.tif", partial(rgb, compression="lzw", byteorder=">"), READ),
    Case("pillow lzw.tif", partial(pillow, compression="tiff_lzw"), READ),
    Case("pillow packbits.tiff", partial(pillow, compression="packbits"), READ),
    Case("r-ebimage deflate.tif", partial(pillow, compression="tiff_adobe_deflate"), READ),
    Case("skimage predictor.tif", partial(rgb, compression="zlib", predictor=True), READ),
    Case("zstd.tif", partial(rgb, compression="zstd", rowsperstrip=33), READ),
    Case("lzma.tif", partial(rgb, compression="lzma"), READ),
    Case("one row per strip.tif", partial(rgb, rowsperstrip=1), READ),
    Case("big endian.tif", partial(rgb, byteorder=">", rowsperstrip=7), READ),
    Case("bigtiff.btf", partial(rgb, bigtiff=True), READ),
    Case("planar.tif", planar, READ),
    Case("planar deflate.tif", partial(planar, compression="zlib", predictor=True), READ),
    Case("reversed bits.tif", reversed_bits, READ),
    Case("tiled raw.tif", partial(rgb, **TILED), READ),
    Case("tiled lzw.tif", partial(rgb, compression="lzw", predictor=True, **TILED), READ),
    Case(
        "vips tiled deflate bigtiff.tif",
        partial(rgb, compression="zlib", bigtiff=True, **TILED),
        READ,
    ),
    Case("jpeg ycbcr.tif", partial(rgb, compression="jpeg", **JPEG_OPTIONS), JPEG_READ),
    Case(
        "jpeg 420.tif",
        partial(rgb, compression="jpeg", subsampling=(2, 2), rowsperstrip=64, **JPEG_OPTIONS),
        JPEG_READ,
    ),
    Case("libtiff jpeg tables.tif", partial(pillow, compression="jpeg", quality=95), JPEG_READ),
    Case("tiled jpeg.tif", partial(rgb, compression="jpeg", **JPEG_OPTIONS, **TILED), JPEG_READ),
    Case("webp.tif", partial(rgb, compression="webp", compressionargs={"lossless": True}), READ),
    Case("png.tif", partial(rgb, compression="png"), READ),
    Case(
        "jpeg xl.tif", partial(rgb, compression="jpegxl", compressionargs={"lossless": True}), READ
    ),
    Case("jpeg xr.tif", partial(rgb, compression="jpegxr", compressionargs={"level": 1.0}), READ),
    Case(
        "tiled jpeg xl.tif",
        partial(rgb, compression="jpegxl", compressionargs={"lossless": True}, **TILED),
        READ,
    ),
    Case(
        "jpeg 2000.tif", partial(jpeg2000, compression=34712, photometric=2, is_ycbcr=False), READ
    ),
    Case("photoshop layers.tif", photoshop, READ),
    Case("icc profile.tif", with_profile, READ),
    Case("alpha.tif", partial(rgba, kind="unassalpha"), READ),
    Case("premultiplied alpha.tif", partial(rgba, kind="assocalpha"), READ),
    Case("pillow rgba.tif", partial(pillow, mode="RGBA"), READ),
    Case("fourth channel.tif", unspecified, READ),
    *(Case(f"orientation {n}.tif", partial(stored, orientation=n), READ) for n in (2, 3, 5, 6, 8)),
    Case(
        "turned tiles.tif",
        partial(stored, orientation=6, **TILED),
        Refused(Reason.UNSUPPORTED_PIXELS, "save it upright"),
    ),
)

YCBCR = (
    Case("pillow ycbcr.tif", partial(pillow, mode="YCbCr"), ROUNDED),
    Case("pillow ycbcr lzw.tif", partial(pillow, mode="YCbCr", compression="tiff_lzw"), ROUNDED),
    Case(
        "ycbcr deflate.tif",
        partial(
            array, pixels=ycbcr(field()), photometric="ycbcr", compression="zlib", predictor=True
        ),
        ROUNDED,
    ),
    Case(
        "ycbcr zstd.tif",
        partial(array, pixels=ycbcr(field()), photometric="ycbcr", compression="zstd"),
        ROUNDED,
    ),
    Case(
        "ycbcr tiled.tif",
        partial(array, pixels=ycbcr(field()), photometric="ycbcr", compression="zlib", **TILED),
        ROUNDED,
    ),
    Case(
        "ycbcr planar.tif",
        partial(
            array,
            pixels=np.moveaxis(ycbcr(field()), -1, 0),
            photometric="ycbcr",
            planarconfig="separate",
        ),
        ROUNDED,
    ),
    Case("ycbcr 2x1.tif", partial(subsampled, across=2, down=1), ROUNDED),
    Case("ycbcr 2x2.tif", partial(subsampled, across=2, down=2), ROUNDED),
    Case("ycbcr 4x2 lzw.tif", partial(subsampled, across=4, down=2, compression=5), ROUNDED),
    Case("ycbcr 2x2 deflate.tif", partial(subsampled, across=2, down=2, compression=8), ROUNDED),
    Case("ycbcr default.tif", default_subsampling, ROUNDED),
    Case("ycbcr rec 709.tif", rec_709, ROUNDED),
    Case("ycbcr studio range.tif", studio_range, Measured(tolerance=2.5)),
    Case(
        "aperio 33003.tif",
        partial(jpeg2000, compression=33003, photometric=6, is_ycbcr=True),
        ROUNDED,
    ),
    Case(
        "aperio 33003 tagged rgb.tif",
        partial(jpeg2000, compression=33003, photometric=2, is_ycbcr=True),
        ROUNDED,
    ),
    Case(
        "aperio 33005.tif",
        partial(jpeg2000, compression=33005, photometric=2, is_ycbcr=False),
        READ,
    ),
    Case(
        "aperio 33005 tagged ycbcr.tif",
        partial(jpeg2000, compression=33005, photometric=6, is_ycbcr=False),
        SAVE_AS_RGB,
    ),
    Case(
        "jpeg 2000 ycbcr.tif",
        partial(jpeg2000, compression=34712, photometric=6, is_ycbcr=True),
        ROUNDED,
    ),
)

OTHER_COLOURS = (
    Case("grey.tif", partial(pillow, mode="L"), NO_COLOUR),
    Case(
        "white is zero.tif", partial(array, pixels=255 - GREY, photometric="miniswhite"), NO_COLOUR
    ),
    Case("grey tiles.tif", partial(array, pixels=GREY, **TILED), NO_COLOUR),
    Case("fax.tif", partial(pillow, mode="1", compression="group4"), SAVE_AS_RGB),
    Case("palette.tif", partial(pillow, mode="P"), SAVE_AS_RGB),
    Case("cmyk.tif", partial(pillow, mode="CMYK"), SAVE_AS_RGB),
    Case("photoshop cmyk.tif", partial(photoshop, mode="CMYK"), SAVE_AS_RGB),
    Case("cielab.tif", partial(array, pixels=field(), photometric="cielab"), SAVE_AS_RGB),
    Case("icclab.tif", partial(array, pixels=field(), photometric="icclab"), SAVE_AS_RGB),
    Case(
        "cielab tiles.tif",
        partial(array, pixels=field(), photometric="cielab", **TILED),
        SAVE_AS_RGB,
    ),
    Case("nikon 16 bit.tif", partial(array, pixels=RGB_16, photometric="rgb"), SAVE_AS_RGB),
    Case(
        "16 bit tiles.tif", partial(array, pixels=RGB_16, photometric="rgb", **TILED), SAVE_AS_RGB
    ),
    Case(
        "float.tif",
        partial(array, pixels=field().astype(np.float32) / 255, photometric="rgb"),
        SAVE_AS_RGB,
    ),
    Case(
        "signed.tif",
        partial(array, pixels=(field() // 2).astype(np.int8), photometric="rgb"),
        SAVE_AS_RGB,
    ),
    Case(
        "five channels.tif",
        partial(array, pixels=np.dstack([field(), field()[..., :2]]), photometric="rgb"),
        SAVE_AS_RGB,
    ),
    Case(
        "old jpeg.tif", old_jpeg, Refused(Reason.UNSUPPORTED_PIXELS, "save it with LZW or deflate")
    ),
    Case(
        "lerc.tif",
        partial(rgb, compression="lerc"),
        Refused(Reason.UNSUPPORTED_PIXELS, "save it with LZW or deflate"),
    ),
)

CASES = (*LAYOUTS, *YCBCR, *OTHER_COLOURS)
