"""Cores: JPEG, PNG and TIFF files, decoded at once."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image, JpegImagePlugin, PngImagePlugin

from cacl.errors import ImageError, Reason
from cacl.image.readers import jpeg, png, tiff
from cacl.image.readers.downsample import downsample_area
from cacl.image.readers.files import (
    SAVE_IN_COLOUR,
    check_pixels,
    damaged,
    read_core,
    several_images,
    unsupported,
)
from cacl.image.readers.other_formats import describe
from cacl.image.readers.source import WHITE, Pixels, Source
from cacl.image.region import Region, check_inside
from cacl.image.tile_grid import TileGrid

EXIF_ORIENTATION = 0x0112

JPEG_CHANNELS = {1: ("grey pixels", SAVE_IN_COLOUR), 4: ("CMYK pixels",)}

PILLOW_ERRORS = (
    AssertionError,
    OSError,
    SyntaxError,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    struct.error,
)
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


def decode(path: Path, head: bytes, region: Region | None = None) -> CoreSource:
    """Decode a core; see `cacl.image.readers.open_source`.

    Parameters
    ----------
    path
        The file.
    head
        Its first bytes, which determine the format.
    region
        The part that is kept; None for the whole image.
    """
    pixels, mpp = _decode(path, head)
    if region is not None:
        check_inside(path, region, *pixels.shape[:2])
        rows = slice(region.y, region.y + region.height)
        pixels = pixels[rows, region.x : region.x + region.width].copy()
    return CoreSource(pixels, mpp)


def _decode(path: Path, head: bytes) -> tuple[Pixels, float | None]:
    """Return the pixels of a core, and the side of a pixel in um if the file states it."""
    if head.startswith(jpeg.MAGIC):
        return _decode_jpeg(path, read_core(path)), None
    if head.startswith(png.MAGIC):
        return _decode_png(path, read_core(path)), None
    if head.startswith(tiff.MAGICS):
        return tiff.decode(path)
    content, remedy = describe(head)
    raise ImageError(Reason.NOT_AN_IMAGE, f"{path} is {content}; {remedy}")


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
        image = jpeg.parse(data)
        check_pixels(path, image.height, image.width)
        if image.process not in jpeg.READ_PROCESSES:
            raise unsupported(path, *_process(image.process))
        if image.bits != 8:
            raise unsupported(path, f"{image.bits} bits a channel")
        if image.channels != 3:
            raise unsupported(path, *JPEG_CHANNELS.get(image.channels, ("pixels of 2 channels",)))
        return tiff.upright(jpeg.decode(image), _exif_orientation(image.data))
    except ValueError as error:
        raise damaged(path, error) from error


def _decode_png(path: Path, data: bytes) -> Pixels:
    try:
        width, height, bits, colours = png.HEADER.unpack_from(data)
        check_pixels(path, height, width)
        if bits == 16:
            raise unsupported(path, "16 bits a channel")
        if colours in (0, 4):
            raise unsupported(path, "grey pixels", SAVE_IN_COLOUR)
        if (frames := png.frame_count(data)) > 1:
            raise several_images(path, f"{frames} frames of an animation")
        with PngImagePlugin.PngImageFile(io.BytesIO(png.relevant_bytes(data))) as image:
            image.load()
            return tiff.upright(on_white(image), orientation_of(image))
    except PILLOW_ERRORS as error:
        raise damaged(path, error) from error


def _process(marker: int) -> tuple[str, str]:
    """Return what a JPEG of an unread process contains, and the remedy."""
    name = "JPEG-LS" if marker == jpeg.JPEG_LS else f"the rare JPEG process ff{marker:02x}"
    return f"pixels in {name}", "save it as PNG or TIFF in the program that wrote it"


def _exif_orientation(data: bytes) -> int:
    # The plug-in is used directly: Image.open warns of sizes that check_pixels accepts.
    try:
        with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as image:
            return orientation_of(image)
    except PILLOW_ERRORS:
        return 1


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation of an open image, 1 to 8; 1 if it states none that is valid."""
    try:
        value = image.getexif().get(EXIF_ORIENTATION, 1)
    except PILLOW_ERRORS:
        return 1
    return value if isinstance(value, int) else 1
