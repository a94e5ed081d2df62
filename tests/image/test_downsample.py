from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cacl.image.readers.downsample import area_means


def drawn(rows: int, cols: int, source_px: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (rows * source_px, cols * source_px, 3), dtype=np.uint8)


def test_a_pixel_is_the_mean_of_what_it_covers() -> None:
    source = np.zeros((3, 3, 3), np.uint8)
    source[..., 0] = [[0, 90, 180], [0, 90, 180], [0, 90, 180]]
    source[..., 1] = [[200, 200, 200], [100, 100, 100], [0, 0, 0]]
    red, green, blue = area_means(source, 3, 2)
    np.testing.assert_array_equal(red, [[30, 150], [30, 150]])
    np.testing.assert_array_equal(green, [[167, 167], [33, 33]])
    np.testing.assert_array_equal(blue, np.zeros((2, 2)))


@pytest.mark.parametrize(("source_px", "tile_px"), [(375, 128), (60, 20), (75, 32), (50, 49)])
def test_pixels_are_those_of_opencv_tile_by_tile(source_px: int, tile_px: int) -> None:
    source = drawn(5, 3, source_px)
    small = area_means(source, source_px, tile_px)
    for row in range(5):
        for col in range(3):
            window = source[row * source_px :, col * source_px :][:source_px, :source_px]
            wanted = cv2.resize(window, (tile_px, tile_px), interpolation=cv2.INTER_AREA)
            found = small[:, row * tile_px :, col * tile_px :][:, :tile_px, :tile_px]
            difference = np.abs(wanted.transpose(2, 0, 1).astype(int) - found)
            assert difference.max() <= 1
            assert difference.mean() < 1e-3


def test_tiles_of_the_same_size_are_left_as_they_are() -> None:
    source = drawn(2, 2, 8)
    np.testing.assert_array_equal(area_means(source, 8, 8), source.transpose(2, 0, 1))


@settings(max_examples=40, deadline=None)
@given(
    source_px=st.integers(2, 40),
    share=st.floats(0.05, 1.0),
    rows=st.integers(1, 6),
    cols=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_blocks_cut_differently_give_the_same_pixels(
    source_px: int, share: float, rows: int, cols: int, seed: int
) -> None:
    tile_px = max(1, round(share * source_px))
    source = drawn(rows, cols, source_px, seed)
    whole = area_means(source, source_px, tile_px)
    for row in range(rows):
        for col in range(cols):
            window = source[row * source_px :, col * source_px :][:source_px, :source_px]
            found = whole[:, row * tile_px :, col * tile_px :][:, :tile_px, :tile_px]
            alone = area_means(np.ascontiguousarray(window), source_px, tile_px)
            np.testing.assert_array_equal(found, alone)
