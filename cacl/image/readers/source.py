"""What an open image offers: its size, its resolution, and tiles at analysis scale."""

from __future__ import annotations

from abc import ABC, abstractmethod

import cv2
import numpy as np
import numpy.typing as npt
from scipy import sparse

from cacl.image.tile_grid import TileGrid

Pixels = npt.NDArray[np.uint8]

WHITE = 255

MPP_MIN = 0.05
MPP_MAX = 5.0


class Source(ABC):
    """An open image.

    Parameters
    ----------
    height, width
        Size in source pixels, as a viewer shows it.
    mpp
        Side of a source pixel in um, if the file says so credibly.
    """

    def __init__(self, height: int, width: int, mpp: float | None) -> None:
        self.height = height
        self.width = width
        self.mpp = mpp

    @abstractmethod
    def _tile(self, grid: TileGrid, row: int, col: int) -> Pixels:
        """Return one tile, uint8 `(tile_px, tile_px, 3)`."""

    def read(self, grid: TileGrid, rows: slice | range, cols: slice | range) -> Pixels:
        """Read a block of tiles at analysis scale.

        An analysis pixel is the mean of the source area that it covers; what lies outside the
        image is white. Each tile is computed from its own window alone, so blocks cut differently
        give the same pixels, bit by bit.

        Parameters
        ----------
        grid
            The tiles of this image.
        rows, cols
            Rows and columns of tiles, each without gaps.

        Returns
        -------
        numpy.ndarray
            uint8 RGB `(3, n_rows * tile_px, n_cols * tile_px)`.

        Raises
        ------
        ValueError
            A grid of another image, or rows or columns outside the grid.
        ImageError
            With the reason `damaged` where a whole slide cannot be decoded.
        """
        if (grid.source_height, grid.source_width) != (self.height, self.width):
            raise ValueError(
                f"the grid is for an image of {grid.source_width} x {grid.source_height} px, this "
                f"one has {self.width} x {self.height} px"
            )
        return self._block(grid, _span(rows, grid.rows, "rows"), _span(cols, grid.cols, "cols"))

    def _block(self, grid: TileGrid, rows: range, cols: range) -> Pixels:
        """Return a block of tiles, uint8 `(3, y, x)`."""
        side = grid.tile_px
        block = np.empty((3, len(rows) * side, len(cols) * side), np.uint8)
        for y, row in enumerate(rows):
            for x, col in enumerate(cols):
                place = block[:, y * side : (y + 1) * side, x * side : (x + 1) * side]
                place[:] = self._tile(grid, row, col).transpose(2, 0, 1)
        return block


def shrink(window: Pixels, tile_px: int) -> Pixels:
    """Average a square window uint8 `(s, s, 3)` down to uint8 `(tile_px, tile_px, 3)`."""
    if window.shape[0] == tile_px:
        return window
    resized = cv2.resize(window, (tile_px, tile_px), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.uint8)


def shrink_fraction(
    window: Pixels, tile_px: int, *, offset: tuple[float, float], side: tuple[float, float]
) -> Pixels:
    """Average a part of a window whose edges lie between pixels.

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
        uint8 `(tile_px, tile_px, 3)`; each pixel the mean of the area it covers, where a pixel of
        the window counts by its share in it.
    """
    part: npt.NDArray[np.float32] = window.astype(np.float32)
    for axis in (0, 1):
        size = part.shape[0]
        weights = _coverage(offset[axis], side[axis], size, tile_px)
        flat = weights @ part.reshape(size, -1)
        part = flat.reshape(tile_px, *part.shape[1:]).swapaxes(0, 1)
    return np.clip(np.rint(part), 0, WHITE).astype(np.uint8)


def credible_mpp(x: float, y: float) -> float | None:
    """Return the side of a pixel in um, or None for a value that no microscope gives.

    Screen and print resolutions (72 or 300 dpi) fall outside 0.05 - 5 um/px; so do pixels whose
    sides differ by more than a tenth.
    """
    if not (MPP_MIN <= x <= MPP_MAX and MPP_MIN <= y <= MPP_MAX) or abs(x - y) > 0.1 * x:
        return None
    return (x + y) / 2


def _coverage(offset: float, side: float, size: int, count: int) -> sparse.csr_array:
    edges = offset + np.arange(count + 1) * (side / count)
    pixels = np.arange(size)
    shared = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return sparse.csr_array((np.clip(shared, 0, None) * (count / side)).astype(np.float32))


def _span(part: slice | range, count: int, name: str) -> range:
    span = range(count)[part] if isinstance(part, slice) else part
    inside = len(span) == 0 or (span[0] >= 0 and span[-1] < count)
    if span.step != 1 or not inside:
        raise ValueError(f"{name} must be a range without gaps within 0 - {count}, got {part}")
    return span
