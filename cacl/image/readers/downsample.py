"""Shrink tiles to the mean of the area that each pixel covers, fast.

OpenCV's `INTER_AREA` gives the same pixels but takes every sample of the source through a scalar
loop. Here rows are averaged first, many at a time with vector instructions, so that only a third
of the samples is left for it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Means = npt.NDArray[np.float32]

CHANNELS = 3
BAND_TILES = 4
"""Rows of tiles at a time: few enough for their means to stay in the processor's cache."""


def area_means(pixels: Pixels, source_px: int, tile_px: int) -> Pixels:
    """Shrink a block of whole tiles.

    Each tile is computed from its own window alone, so that blocks cut differently give the same
    pixels, bit by bit.

    Parameters
    ----------
    pixels
        uint8 `(rows * source_px, cols * source_px, 3)`.
    source_px, tile_px
        Side of a tile before and after; it may not grow.

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
    means = np.empty((min(rows, BAND_TILES), tile_px, tiles.shape[2]), np.float32)
    # Column by column, unless the width in tiles cannot change how its quotient is rounded.
    at_once = cols if tile_px & (tile_px - 1) == 0 else 1
    for row in range(0, rows, BAND_TILES):
        band = _row_means(tiles[row : row + BAND_TILES], means)
        band = band.reshape(-1, cols * source_px, CHANNELS)
        place = small[:, row * tile_px : row * tile_px + len(band)]
        for col in range(0, cols, at_once):
            window = band[:, col * source_px : (col + at_once) * source_px]
            size = at_once * tile_px, len(band)
            shrunk = cv2.resize(window, size, interpolation=cv2.INTER_AREA)
            across = slice(col * tile_px, (col + at_once) * tile_px)
            place[:, :, across] = cv2.convertScaleAbs(shrunk).transpose(2, 0, 1)
    return small


def _row_means(tiles: Pixels, means: Means) -> Means:
    """Average the rows of each of `(tiles, source_px, samples)` into `(tiles, tile_px, samples)`.

    `means` is room for at least as many tiles; what is returned is its beginning.
    """
    means = means[: len(tiles)]
    for row, parts in enumerate(_coverage(tiles.shape[1], means.shape[1])):
        mean = means[:, row]
        covered = 0
        for source_row, part in parts:
            covered += part
            if covered == part:
                mean[:] = tiles[:, source_row]
            else:
                cv2.accumulateWeighted(tiles[:, source_row], mean, part / covered)
    return means


@functools.cache
def _coverage(source_px: int, tile_px: int) -> Sequence[Sequence[tuple[int, int]]]:
    """Return which pixels of a tile each pixel covers, and how much of each, in 1 / `tile_px`."""
    whole = []
    for place in range(tile_px):
        low, high = place * source_px, (place + 1) * source_px
        covered = range(low // tile_px, -(-high // tile_px))
        whole.append(
            [(at, min(high, (at + 1) * tile_px) - max(low, at * tile_px)) for at in covered]
        )
    return whole
