"""Strips and tiles: decoded one by one, none to more bytes than the tags of the page state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile

from cacl.image.readers import jpeg
from cacl.image.readers.files import damaged, unsupported
from cacl.image.readers.source import Pixels
from cacl.image.readers.tiff import codestream, colour
from cacl.image.readers.tiff.tags import tag

Encoded = bytes
Codec = tuple[Callable[[Encoded], codestream.Size], Callable[..., Pixels]]

BYTE_CODECS: dict[int, Callable[..., bytes | bytearray]] = {
    5: imagecodecs.lzw_decode,
    8: imagecodecs.zlib_decode,
    32946: imagecodecs.zlib_decode,
    32773: imagecodecs.packbits_decode,
    34925: imagecodecs.lzma_decode,
    34926: imagecodecs.zstd_decode,
    50000: imagecodecs.zstd_decode,
}
IMAGE_CODECS: dict[int, Codec] = {
    22610: (codestream.jpegxr_size, imagecodecs.jpegxr_decode),
    33003: (codestream.jpeg2000_size, imagecodecs.jpeg2k_decode),
    33004: (codestream.jpeg2000_size, imagecodecs.jpeg2k_decode),
    33005: (codestream.jpeg2000_size, imagecodecs.jpeg2k_decode),
    34712: (codestream.jpeg2000_size, imagecodecs.jpeg2k_decode),
    34927: (codestream.webp_size, imagecodecs.webp_decode),
    34933: (codestream.png_size, imagecodecs.png_decode),
    34934: (codestream.jpegxr_size, imagecodecs.jpegxr_decode),
    50001: (codestream.webp_size, imagecodecs.webp_decode),
    50002: (codestream.jpegxl_size, imagecodecs.jpegxl_decode),
    52546: (codestream.jpegxl_size, imagecodecs.jpegxl_decode),
}
UNCOMPRESSED, JPEG = 1, 7
APERIO_YCBCR, JPEG_2000 = 33003, (33004, 34712)
"""Aperio's JPEG 2000 of YCbCr, whatever its photometric tag states (as OpenSlide reads it)."""

NO_PREDICTOR, HORIZONTAL = 1, 2
SUBSAMPLINGS = (1, 2, 4)
ADOBE = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0"
"""Segment of a JPEG that states its colours, before the last byte: 0 is RGB, 1 is YCbCr."""


@dataclass(frozen=True)
class Segment:
    """The place of a strip or tile in the page, without its padding."""

    y: int
    x: int
    rows: int
    cols: int
    plane: int


class PageReader:
    """Decodes the strips or tiles of a page whose format `decode.check_format` accepts."""

    def __init__(self, path: Path, page: tifffile.TiffPage) -> None:
        self.path = path
        self.page = page
        self.is_planar = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
        self.samples = 1 if self.is_planar else page.samplesperpixel
        self.height = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
        self.width = page.tilewidth if page.is_tiled else page.imagewidth
        self.is_ycbcr = page.photometric == tifffile.PHOTOMETRIC.YCBCR
        across, down = tag(page, "YCbCrSubSampling", (2, 2))
        is_subsampled = self.is_ycbcr and page.compression in (UNCOMPRESSED, *BYTE_CODECS)
        self.subsampling = (int(across), int(down)) if is_subsampled else (1, 1)

    def check(self) -> None:
        """Check that the compression and its options are read.

        Raises
        ------
        ImageError
            With the reason `unsupported_pixels`.
        """
        compression = self.page.compression
        name = getattr(compression, "name", str(compression))
        if compression not in (UNCOMPRESSED, JPEG, *BYTE_CODECS, *IMAGE_CODECS):
            raise unsupported(
                self.path, f"pixels in the compression {name}", "save it with LZW or deflate"
            )
        if compression not in BYTE_CODECS and compression != UNCOMPRESSED:
            if self.is_planar:
                raise unsupported(
                    self.path, f"one {name} per channel", "save it with interleaved channels"
                )
            if self.is_ycbcr and compression not in (JPEG, APERIO_YCBCR, *JPEG_2000):
                raise unsupported(self.path, f"{name} of YCbCr pixels")
        elif self.page.predictor not in (NO_PREDICTOR, HORIZONTAL):
            raise unsupported(self.path, f"pixels with the predictor {self.page.predictor}")
        if self.subsampling != (1, 1):
            if not set(self.subsampling) <= set(SUBSAMPLINGS) or self.is_planar:
                raise unsupported(self.path, f"YCbCr pixels with subsampling {self.subsampling}")
            if self.page.predictor != NO_PREDICTOR:
                raise unsupported(self.path, "subsampled YCbCr pixels with a predictor")

    def read(self) -> Pixels:
        """Return the page as RGB, uint8 `(height, width, 3)`.

        Raises
        ------
        ImageError
            With the reason `damaged`: a strip or tile is missing, cannot be decoded, or has another
            size than the tags state.
        """
        page = self.page
        pixels = np.empty((page.imagelength, page.imagewidth, page.samplesperpixel), np.uint8)
        places = self._segments()
        if len(places) != len(page.dataoffsets):
            raise damaged(
                self.path, f"{len(page.dataoffsets)} strips or tiles, expected {len(places)}"
            )
        file = page.parent.filehandle
        for place, offset, count in zip(places, page.dataoffsets, page.databytecounts, strict=True):
            file.seek(offset)
            block = self._decode(file.read(count), place)
            target = pixels[place.y : place.y + place.rows, place.x : place.x + place.cols]
            block = block[: place.rows, : place.cols]
            if self.is_planar:
                target[..., place.plane] = block[..., 0]
            else:
                target[:] = block
        if page.compression == APERIO_YCBCR:
            colour.ycbcr_to_rgb(pixels)
        elif self.is_ycbcr and page.compression != JPEG:
            self._convert_ycbcr(pixels)
        return colour.flatten(pixels, page.extrasamples)

    def _segments(self) -> list[Segment]:
        height, width = self.page.imagelength, self.page.imagewidth
        return [
            Segment(y, x, min(self.height, height - y), min(self.width, width - x), plane)
            for plane in range(self.page.samplesperpixel if self.is_planar else 1)
            for y in range(0, height, self.height)
            for x in range(0, width, self.width)
        ]

    def _decode(self, data: Encoded, place: Segment) -> Pixels:
        if self.page.compression == JPEG:
            block = self._decode_jpeg(data)
        elif self.page.compression in IMAGE_CODECS:
            block = self._decode_image(data, place)
        else:
            block = self._decode_bytes(data, place)
        return block

    def _decode_jpeg(self, data: Encoded) -> Pixels:
        tables = self.page.jpegtables or b""
        if tables:
            data = tables.removesuffix(jpeg.END) + data.removeprefix(jpeg.START)
        image = jpeg.parse(data)
        if not image.states_colours:
            data = image.data
            transform = bytes([self.is_ycbcr])
            image = jpeg.parse(jpeg.START + ADOBE + transform + data.removeprefix(jpeg.START))
        if (image.channels, image.bits) != (3, 8):
            raise ValueError(f"a JPEG of {image.channels} channels of {image.bits} bits")
        self._check_size((image.height, image.width))
        return jpeg.decode(image)

    def _decode_image(self, data: Encoded, place: Segment) -> Pixels:
        size_of, decode = IMAGE_CODECS[self.page.compression]
        size = size_of(data)
        self._check_size(size)
        block = np.asarray(decode(data))
        if block.shape == (*size, 3) and self.samples == 4:
            # WebP leaves an alpha channel out that is opaque everywhere.
            block = np.dstack([block, np.full(size, 255, np.uint8)])
        if block.dtype != np.uint8 or block.shape != (*size, self.samples):
            raise ValueError(f"decoded to {block.dtype} {block.shape} at row {place.y}")
        return block

    def _check_size(self, size: codestream.Size) -> None:
        """Check a header against the tags; a last strip may be lower than the others."""
        height, width = size
        rest = self.page.imagelength % self.height
        heights = (self.height,) if self.page.is_tiled or not rest else (self.height, rest)
        if width != self.width or height not in heights:
            raise ValueError(
                f"a strip or tile of {width} x {height} px, {self.width} x {self.height} px stated"
            )

    def _decode_bytes(self, data: Encoded, place: Segment) -> Pixels:
        height = self.height if self.page.is_tiled else place.rows
        decoded: bytes | bytearray = data
        if self.page.fillorder == tifffile.FILLORDER.LSB2MSB:
            decoded = imagecodecs.bitorder_decode(data)
        if self.page.compression in BYTE_CODECS:
            # The last strip of some writers is as long as the others.
            limit = self._bytes(self.height)
            decoded = BYTE_CODECS[self.page.compression](decoded, out=limit)
        needed = self._bytes(height)
        if len(decoded) < needed:
            raise ValueError(f"{len(decoded):,} bytes at row {place.y}, expected {needed:,}")
        if self.subsampling != (1, 1):
            return colour.unpack_subsampled(decoded, height, self.width, self.subsampling)
        block = np.frombuffer(decoded, np.uint8, needed).reshape(height, self.width, self.samples)
        if self.page.predictor == HORIZONTAL:
            block = np.cumsum(block, axis=1, dtype=np.uint8)
        return block

    def _bytes(self, height: int) -> int:
        if self.subsampling != (1, 1):
            return colour.packed_size(height, self.width, self.subsampling)
        return height * self.width * self.samples

    def _convert_ycbcr(self, pixels: Pixels) -> None:
        coefficients = _ratios(tag(self.page, "YCbCrCoefficients", None), colour.REC_601)
        reference = _ratios(tag(self.page, "ReferenceBlackWhite", None), colour.FULL_RANGE)
        colour.ycbcr_to_rgb(pixels, coefficients, reference)


def _ratios(value: tuple[float, ...] | None, default: tuple[float, ...]) -> tuple[float, ...]:
    """Return a tag of rational numbers, which tifffile reads as (numerator, denominator, ...)."""
    if value is None:
        return default
    if len(value) == 2 * len(default):
        value = tuple(value[i] / value[i + 1] for i in range(0, len(value), 2))
    if len(value) != len(default):
        raise ValueError(f"a tag of {len(value)} values, expected {len(default)}")
    return tuple(map(float, value))
