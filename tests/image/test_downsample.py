from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cacl.image.readers.downsample import downsample_area


def random_pixels(rows: int, cols: int, source_px: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (rows * source_px, cols * source_px, 3), dtype=np.uint8)


def test_pixel_is_the_mean_of_the_area_it_covers() -> None:
    source = np.zeros((3, 3, 3), np.uint8)
    source[..., 0] = [[0, 90, 180], [0, 90, 180], [0, 90, 180]]
    source[..., 1] = [[200, 200, 200], [100, 100, 100], [0, 0, 0]]
    red, green, blue = downsample_area(source, 3, 2)
    np.testing.assert_array_equal(red, [[30, 150], [30, 150]])
    np.testing.assert_array_equal(green, [[167, 167], [33, 33]])
    np.testing.assert_array_equal(blue, np.zeros((2, 2)))


@pytest.mark.parametrize(("source_px", "tile_px"), [(375, 128), (60, 20), (75, 32), (50, 49)])
def test_agrees_with_opencv_tile_by_tile(source_px: int, tile_px: int) -> None:
    source = random_pixels(5, 3, source_px)
    small = downsample_area(source, source_px, tile_px)
    for row in range(5):
        for col in range(3):
            window = source[row * source_px :, col * source_px :][:source_px, :source_px]
            expected = cv2.resize(window, (tile_px, tile_px), interpolation=cv2.INTER_AREA)
            tile = small[:, row * tile_px :, col * tile_px :][:, :tile_px, :tile_px]
            difference = np.abs(expected.transpose(2, 0, 1).astype(int) - tile)
            assert difference.max() <= 1
            assert difference.mean() < 1e-3


def test_equal_sizes_only_move_the_channels() -> None:
    source = random_pixels(2, 2, 8)
    np.testing.assert_array_equal(downsample_area(source, 8, 8), source.transpose(2, 0, 1))


@settings(max_examples=40)
@given(
    source_px=st.integers(2, 40),
    scale=st.floats(0.05, 1.0),
    rows=st.integers(1, 6),
    cols=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_pixels_do_not_depend_on_the_block(
    source_px: int, scale: float, rows: int, cols: int, seed: int
) -> None:
    tile_px = max(1, round(scale * source_px))
    source = random_pixels(rows, cols, source_px, seed)
    whole = downsample_area(source, source_px, tile_px)
    for row in range(rows):
        for col in range(cols):
            window = source[row * source_px :, col * source_px :][:source_px, :source_px]
            tile = whole[:, row * tile_px :, col * tile_px :][:, :tile_px, :tile_px]
            alone = downsample_area(np.ascontiguousarray(window), source_px, tile_px)
            np.testing.assert_array_equal(tile, alone)
