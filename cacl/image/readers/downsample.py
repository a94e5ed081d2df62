"""Area downsampling: each pixel of the result is the mean of the source area that it covers.

OpenCV's `INTER_AREA` is exact but processes every sample of the source in a scalar loop.
`downsample_area` first averages rows, many at a time with vector instructions, so that OpenCV
processes only a third of the samples.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from scipy import sparse

Pixels = npt.NDArray[np.uint8]
Means = npt.NDArray[np.float32]

CHANNELS = 3
TILE_ROWS_PER_BATCH = 4
"""Rows of tiles per batch: few enough for their means to fit into the processor's cache."""


def downsample_area(pixels: Pixels, source_px: int, tile_px: int) -> Pixels:
    """Downsample a block of whole tiles.

    Each tile depends on its own window alone, so that different blocks give identical pixels.

    Parameters
    ----------
    pixels
        uint8 `(rows * source_px, cols * source_px, 3)`.
    source_px, tile_px
        Side of a tile before and after; `tile_px` is at most `source_px`.

    Returns
    -------
    numpy.ndarray
        uint8 `(3, rows * tile_px, cols * tile_px)`.
    """
    rows, cols = (size // source_px for size in pixels.shape[:2])
    if source_px == tile_px:
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))
    small = np.empty((CHANNELS, rows * tile_px, cols * tile_px), np.uint8)
    tiles = pixels.reshape(rows, source_px, -1)
    buffer = np.empty((min(rows, TILE_ROWS_PER_BATCH), tile_px, tiles.shape[2]), np.float32)
    # One column of tiles per call, unless `tile_px` is a power of 2: then the scale factor is
    # rounded equally for every width, and all columns give the same pixels in one call.
    cols_per_call = cols if tile_px & (tile_px - 1) == 0 else 1
    for row in range(0, rows, TILE_ROWS_PER_BATCH):
        means = _row_means(tiles[row : row + TILE_ROWS_PER_BATCH], buffer)
        means = means.reshape(-1, cols * source_px, CHANNELS)
        target = small[:, row * tile_px : row * tile_px + len(means)]
        for col in range(0, cols, cols_per_call):
            window = means[:, col * source_px : (col + cols_per_call) * source_px]
            size = cols_per_call * tile_px, len(means)
            resized = cv2.resize(window, size, interpolation=cv2.INTER_AREA)
            across = slice(col * tile_px, (col + cols_per_call) * tile_px)
            target[:, :, across] = cv2.convertScaleAbs(resized).transpose(2, 0, 1)
    return small


def downsample_window(window: Pixels, tile_px: int) -> Pixels:
    """Downsample one square window.

    Parameters
    ----------
    window
        uint8 `(n, n, 3)`.
    tile_px
        Side of the result in pixels, at most `n`.

    Returns
    -------
    numpy.ndarray
        uint8 `(tile_px, tile_px, 3)`.
    """
    if window.shape[0] == tile_px:
        return window
    resized = cv2.resize(window, (tile_px, tile_px), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.uint8)


def downsample_subpixel(
    window: Pixels, tile_px: int, *, offset: tuple[float, float], side: tuple[float, float]
) -> Pixels:
    """Downsample a part of a window with edges inside pixels.

    Parameters
    ----------
    window
        uint8 `(n, m, 3)`.
    tile_px
        Side of the result in pixels.
    offset, side
        Upper left corner and size (y, x) of the part, in pixels of the window.

    Returns
    -------
    numpy.ndarray
        uint8 `(tile_px, tile_px, 3)`; the weight of a window's pixel in a mean is the fraction of
        its area that the pixel of the result covers.
    """
    means: Means = window.astype(np.float32)
    for axis in (0, 1):
        size = means.shape[0]
        weights = _subpixel_weights(offset[axis], side[axis], size, tile_px)
        flat = weights @ means.reshape(size, -1)
        means = flat.reshape(tile_px, *means.shape[1:]).swapaxes(0, 1)
    return np.clip(np.rint(means), 0, 255).astype(np.uint8)


def _row_means(tiles: Pixels, buffer: Means) -> Means:
    """Average the rows of `(tiles, source_px, samples)` into `(tiles, tile_px, samples)`.

    The result is the beginning of `buffer`, which has room for at least as many tiles.
    """
    means = buffer[: len(tiles)]
    for row, contributions in enumerate(_coverage(tiles.shape[1], means.shape[1])):
        mean = means[:, row]
        total = 0
        for source_row, weight in contributions:
            total += weight
            if total == weight:
                mean[:] = tiles[:, source_row]
            else:
                cv2.accumulateWeighted(tiles[:, source_row], mean, weight / total)
    return means


@functools.cache
def _coverage(source_px: int, tile_px: int) -> Sequence[Sequence[tuple[int, int]]]:
    """Return for each row of a tile the source rows it covers, with weights in 1 / `tile_px`."""
    rows = []
    for row in range(tile_px):
        low, high = row * source_px, (row + 1) * source_px
        covered = range(low // tile_px, -(-high // tile_px))
        rows.append(
            [
                (source_row, min(high, (source_row + 1) * tile_px) - max(low, source_row * tile_px))
                for source_row in covered
            ]
        )
    return rows


def _subpixel_weights(offset: float, side: float, size: int, count: int) -> sparse.csr_array:
    """Return the weight of each of `size` pixels in each of `count` means, (count, size)."""
    edges = offset + np.arange(count + 1) * (side / count)
    pixels = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return sparse.csr_array((np.clip(overlap, 0, None) * (count / side)).astype(np.float32))
