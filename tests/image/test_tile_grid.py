from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cacl.image.tile_grid import TileGrid


def test_hpa_core_has_the_grid_of_the_paper() -> None:
    grid = TileGrid(3000, 3000, 375, 128)
    assert (grid.rows, grid.cols, grid.height, grid.width) == (8, 8, 1024, 1024)
    assert grid.window(2, 5) == (slice(256, 384), slice(640, 768))
    assert str(grid).startswith("8 x 8 tiles of 375 source px stored as 128 px")


@given(
    height=st.integers(1, 5000),
    width=st.integers(1, 5000),
    source_px=st.integers(32, 600),
    data=st.data(),
)
def test_tiles_cover_the_image_without_empty_tiles(
    height: int, width: int, source_px: int, data: st.DataObject
) -> None:
    tile_px = data.draw(st.integers(1, source_px))
    grid = TileGrid(height, width, source_px, tile_px)
    assert (grid.rows - 1) * source_px < height <= grid.rows * source_px
    assert (grid.cols - 1) * source_px < width <= grid.cols * source_px
    assert len(list(grid.tiles())) == grid.rows * grid.cols
    assert (grid.height, grid.width) == (grid.rows * tile_px, grid.cols * tile_px)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0, 10, 8, 4), "source_height must be at least 1, got 0"),
        ((10, 10, 8, 9), "tile_px must be at most source_px"),
    ],
)
def test_rejects_invalid_grids(values: tuple[int, int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TileGrid(*values)
