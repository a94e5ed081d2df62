"""The interface of an open image: its size, its resolution, and tiles at analysis scale."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt

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
        Side of a source pixel in um; None if the file does not state a plausible value.
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

        An analysis pixel is the mean of the source area that it covers; pixels outside the image
        are white. Each tile depends on its own window alone, so that different blocks give
        identical pixels.

        Parameters
        ----------
        grid
            The tiles of this image.
        rows, cols
            Rows and columns of tiles, each a contiguous range.

        Returns
        -------
        numpy.ndarray
            uint8 RGB `(3, n_rows * tile_px, n_cols * tile_px)`.

        Raises
        ------
        ValueError
            The grid belongs to an image of another size, or rows or columns lie outside the grid.
        ImageError
            With the reason `damaged` if a whole slide cannot be decoded.
        """
        if (grid.source_height, grid.source_width) != (self.height, self.width):
            raise ValueError(
                f"the grid is for an image of {grid.source_width} x {grid.source_height} px, this "
                f"one has {self.width} x {self.height} px"
            )
        row_range, col_range = (
            _as_range(rows, grid.rows, "rows"),
            _as_range(cols, grid.cols, "cols"),
        )
        return self._block(grid, row_range, col_range)

    def _block(self, grid: TileGrid, rows: range, cols: range) -> Pixels:
        """Return a block of tiles, uint8 `(3, y, x)`."""
        side = grid.tile_px
        block = np.empty((3, len(rows) * side, len(cols) * side), np.uint8)
        for y, row in enumerate(rows):
            for x, col in enumerate(cols):
                tile = block[:, y * side : (y + 1) * side, x * side : (x + 1) * side]
                tile[:] = self._tile(grid, row, col).transpose(2, 0, 1)
        return block


def plausible_mpp(x: float, y: float) -> float | None:
    """Return the side of a pixel in um, or None for a value that no microscope has.

    Plausible are sides of `MPP_MIN` to `MPP_MAX` um that differ by at most a tenth. Screen and
    print resolutions (72 or 300 dpi) are outside this range.
    """
    if not (MPP_MIN <= x <= MPP_MAX and MPP_MIN <= y <= MPP_MAX) or abs(x - y) > 0.1 * x:
        return None
    return (x + y) / 2


def _as_range(selection: slice | range, count: int, name: str) -> range:
    indices = range(count)[selection] if isinstance(selection, slice) else selection
    inside = len(indices) == 0 or (indices[0] >= 0 and indices[-1] < count)
    if indices.step != 1 or not inside:
        raise ValueError(
            f"{name} must be a contiguous range within 0 - {count}, got {selection}; choose rows "
            "and columns of the grid"
        )
    return indices
