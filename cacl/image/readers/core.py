"""Cores: JPEG, PNG and TIFF files, decoded at once."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image, JpegImagePlugin, PngImagePlugin

from cacl.errors import ImageError, Reason
from cacl.image.readers import tiff
from cacl.image.readers.downsample import downsample_area
from cacl.image.readers.files import check_pixels, damaged, read_core, unsupported
from cacl.image.readers.source import WHITE, Pixels, Source
from cacl.image.tile_grid import TileGrid

JPEG_MAGIC = b"\xff\xd8\xff"
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
PNG_HEADER = struct.Struct(">16xIIBB")

EXIF_ORIENTATION = 0x0112

PILLOW_ERRORS = (OSError, SyntaxError, ValueError, KeyError, TypeError, IndexError, struct.error)
"""What Pillow raises for invalid data."""


class CoreSource(Source):
    """A decoded core: uint8 `(height, width, 3)` in memory."""

    def __init__(self, pixels: Pixels, mpp: float | None) -> None:
        super().__init__(pixels.shape[0], pixels.shape[1], mpp)
        self._pixels = pixels

    def _tile(self, grid: TileGrid, row: int, col: int) -> Pixels:
        block = self._block(grid, range(row, row + 1), range(col, col + 1))
        return block.transpose(1, 2, 0)

    def _block(self, grid: TileGrid, rows: range, cols: range) -> Pixels:
        side = grid.source_px
        block = self._pixels[rows.start * side : rows.stop * side]
        block = block[:, cols.start * side : cols.stop * side]
        size = len(rows) * side, len(cols) * side
        if block.shape[:2] != size:
            padded = np.full((*size, 3), WHITE, np.uint8)
            padded[: block.shape[0], : block.shape[1]] = block
            block = padded
        return downsample_area(block, side, grid.tile_px)


def decode(path: Path, head: bytes) -> CoreSource:
    """Decode a core; see `cacl.image.readers.open_source`.

    Parameters
    ----------
    path
        The file.
    head
        Its first bytes, which determine the format.
    """
    if head.startswith(JPEG_MAGIC):
        return CoreSource(_decode_jpeg(path, read_core(path)), None)
    if head.startswith(PNG_MAGIC):
        return CoreSource(_decode_png(path, read_core(path)), None)
    if head.startswith(tiff.MAGICS):
        return CoreSource(*tiff.decode(path))
    raise ImageError(
        Reason.NOT_AN_IMAGE,
        f"{path} is {_describe(head)}; use a JPEG, PNG or TIFF, or a slide that OpenSlide reads",
    )


def on_white(image: Image.Image) -> Pixels:
    """Return an image of any colour mode as uint8 `(height, width, 3)`, composited on white."""
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB"))
    layer = image.convert("RGBA")
    canvas = Image.new("RGB", image.size, (WHITE, WHITE, WHITE))
    canvas.paste(layer, mask=layer.getchannel("A"))
    return np.asarray(canvas)


def _decode_jpeg(path: Path, data: bytes) -> Pixels:
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        check_pixels(path, height, width)
        if colours not in ("YCbCr", "RGB"):
            raise unsupported(path, f"{'grey' if colours == 'Gray' else colours} pixels")
        pixels: Pixels = simplejpeg.decode_jpeg(data, "RGB")
    except ValueError as error:
        if "data precision" in str(error):
            raise unsupported(path, "more than 8 bits a channel") from error
        raise damaged(path, error) from error
    return tiff.upright(pixels, _exif_orientation(data))


def _decode_png(path: Path, data: bytes) -> Pixels:
    try:
        width, height, bits, colours = PNG_HEADER.unpack_from(data)
        check_pixels(path, height, width)
        if bits == 16:
            raise unsupported(path, "16 bits a channel")
        if colours in (0, 4):
            raise unsupported(path, "grey pixels")
        with PngImagePlugin.PngImageFile(io.BytesIO(data)) as image:
            image.load()
            return tiff.upright(on_white(image), _orientation(image))
    except PILLOW_ERRORS as error:
        raise damaged(path, error) from error


def _exif_orientation(data: bytes) -> int:
    # The plug-in is used directly: Image.open warns of sizes that check_pixels accepts.
    try:
        with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as image:
            return _orientation(image)
    except PILLOW_ERRORS:
        return 1


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(EXIF_ORIENTATION, 1)
    except PILLOW_ERRORS:
        return 1
    return value if isinstance(value, int) else 1


def _describe(head: bytes) -> str:
    start = head.lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        return "a web page or XML, not an image"
    if head.isascii() and all(byte >= 32 or byte in b"\t\r\n\f" for byte in head):
        return "text, not an image"
    return "not in a supported image format"
