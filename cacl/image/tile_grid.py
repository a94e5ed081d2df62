"""The grid of tiles over an image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class TileGrid:
    """A grid of square tiles laid over an image from its upper left corner.

    Every tile covers `source_px` x `source_px` pixels of the source and is stored as
    `tile_px` x `tile_px` pixels. Tiles at the right and lower edge may extend beyond
    the image; the pixels outside it are white.

    Parameters
    ----------
    source_height, source_width
        Size of the source image in its own pixels.
    source_px
        Side of a tile in pixels of the source.
    tile_px
        Side of a tile in pixels of the store ("analysis pixels"); at most `source_px`.
    origin
        (x, y) of the image's upper left corner in its file, for a region of a slide; None for an
        image that is a whole file.

    Raises
    ------
    ValueError
        A size is below 1, or `tile_px` exceeds `source_px`.
    """

    source_height: int
    source_width: int
    source_px: int = 375
    tile_px: int = 128
    origin: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name in ("source_height", "source_width", "source_px", "tile_px"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.tile_px > self.source_px:
            raise ValueError(
                f"tile_px must be at most source_px ({self.source_px}), got {self.tile_px}: "
                "tiles are downsampled, never enlarged"
            )

    @property
    def rows(self) -> int:
        """Number of tiles from top to bottom."""
        return -(-self.source_height // self.source_px)

    @property
    def cols(self) -> int:
        """Number of tiles from left to right."""
        return -(-self.source_width // self.source_px)

    @property
    def height(self) -> int:
        """Height of the stored image in analysis pixels, padding included."""
        return self.rows * self.tile_px

    @property
    def width(self) -> int:
        """Width of the stored image in analysis pixels, padding included."""
        return self.cols * self.tile_px

    @property
    def downsample(self) -> float:
        """Source pixels per analysis pixel, along one side."""
        return self.source_px / self.tile_px

    def tiles(self) -> Iterator[tuple[int, int]]:
        """Yield (row, col) of every tile, row by row."""
        for row in range(self.rows):
            for col in range(self.cols):
                yield row, col

    def window(self, row: int, col: int) -> tuple[slice, slice]:
        """Return the tile's window in the stored image, as (y, x) slices in analysis pixels."""
        size = self.tile_px
        return slice(row * size, (row + 1) * size), slice(col * size, (col + 1) * size)

    def __str__(self) -> str:
        return (
            f"{self.rows} x {self.cols} tiles of {self.source_px} source px stored as "
            f"{self.tile_px} px ({self.source_width} x {self.source_height} px source)"
        )
