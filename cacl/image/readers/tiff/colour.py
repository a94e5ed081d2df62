"""Conversion of decoded samples to RGB: YCbCr without JPEG, and transparency."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import tifffile

from cacl.image.readers.source import WHITE, Pixels

REC_601 = (0.299, 0.587, 0.114)
FULL_RANGE = (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)

BAND_PX = 2**20
"""Pixels converted at a time, so that temporary arrays stay small."""

ALPHA = (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)


def ycbcr_to_rgb(
    pixels: Pixels,
    coefficients: tuple[float, ...] = REC_601,
    reference: tuple[float, ...] = FULL_RANGE,
) -> None:
    """Convert YCbCr to RGB in place (TIFF 6.0, sections 20 and 21).

    Parameters
    ----------
    pixels
        uint8 `(height, width, 3)`.
    coefficients
        YCbCrCoefficients: the weights of red, green and blue in Y.
    reference
        ReferenceBlackWhite: codes of black and white of Y, Cb and Cr.

    Raises
    ------
    ValueError
        The tags have values that no picture can have.
    """
    red, green, blue = coefficients
    black, white = np.array(reference[0::2]), np.array(reference[1::2])
    usable = np.isfinite([*coefficients, *reference]).all() and (white > black).all()
    if not (usable and min(red, green, blue) > 0):
        raise ValueError(f"YCbCrCoefficients {coefficients}, ReferenceBlackWhite {reference}")
    scale = np.array([255.0, 127.0, 127.0]) / (white - black)
    to_red, to_blue = 2 - 2 * red, 2 - 2 * blue
    from_ycc = np.array(
        [
            [1.0, 1.0, 1.0],
            [0.0, -blue * to_blue / green, to_blue],
            [to_red, -red * to_red / green, 0.0],
        ]
    )
    matrix = (scale[:, None] * from_ycc).astype(np.float32)
    offset = (-black @ (scale[:, None] * from_ycc)).astype(np.float32)
    for rows in _bands(pixels):
        band = pixels[rows].astype(np.float32) @ matrix + offset
        pixels[rows] = np.clip(np.rint(band), 0, WHITE)


def unpack_subsampled(
    data: bytes | bytearray, rows: int, cols: int, subsampling: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    """Return the data units of subsampled YCbCr as pixels, with each chroma sample repeated.

    Parameters
    ----------
    data
        At least `packed_size` bytes: for each block the samples of Y, then Cb, then Cr.
    rows, cols
        Size of the strip or tile.
    subsampling
        YCbCrSubSampling: pixels per chroma sample, across and down.

    Returns
    -------
    numpy.ndarray
        uint8 `(rows, cols, 3)`.
    """
    across, down = subsampling
    high, wide = -(-rows // down), -(-cols // across)
    size = across * down
    units = np.frombuffer(data, np.uint8, high * wide * (size + 2))
    units = units.reshape(high, wide, size + 2)
    pixels = np.empty((high * down, wide * across, 3), np.uint8)
    luma = units[..., :size].reshape(high, wide, down, across).swapaxes(1, 2)
    pixels[..., 0] = luma.reshape(high * down, wide * across)
    for channel in (1, 2):
        chroma = units[..., size + channel - 1]
        pixels[..., channel] = chroma.repeat(down, axis=0).repeat(across, axis=1)
    return pixels[:rows, :cols]


def packed_size(rows: int, cols: int, subsampling: tuple[int, int]) -> int:
    """Return the bytes of the data units of a strip or tile."""
    across, down = subsampling
    return -(-rows // down) * -(-cols // across) * (across * down + 2)


def flatten(pixels: Pixels, extrasamples: tuple[int, ...]) -> Pixels:
    """Composite on white with an alpha channel (TIFF 6.0, section 18); drop any other channel."""
    if not extrasamples or extrasamples[0] not in ALPHA:
        return np.ascontiguousarray(pixels[..., :3])
    flat = np.empty((*pixels.shape[:2], 3), np.uint8)
    for rows in _bands(pixels):
        band = pixels[rows].astype(np.float32)
        alpha = band[..., 3:] / WHITE
        weight = 1.0 if extrasamples[0] == tifffile.EXTRASAMPLE.ASSOCALPHA else alpha
        composite = band[..., :3] * weight + WHITE * (1 - alpha)
        flat[rows] = np.clip(np.rint(composite), 0, WHITE)
    return flat


def _bands(pixels: Pixels) -> Iterator[slice]:
    step = max(1, BAND_PX // max(1, pixels.shape[1]))
    for first in range(0, pixels.shape[0], step):
        yield slice(first, first + step)
