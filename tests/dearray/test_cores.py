"""Cores found on slides of phantom cores, at known places."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks._lib.tma_slide import MISSING, SlideSetting, write_slide
from benchmarks.quality.dearray import draw_setting, find_grid, judge
from cacl.dearray.array import number_points
from cacl.dearray.cores import Status, find_cores
from cacl.dearray.overview import read_overview
from cacl.dearray.tissue import tissue_mask
from tests.fixtures.tma import SMALL, small_slide


def test_every_core_is_found_and_placed_on_random_slides(tmp_path: Path) -> None:
    for seed in (1001, 1002, 1003):
        setting = dataclasses.replace(draw_setting(seed), diameter_px=80)
        slide = small_slide(setting, seed)
        path = write_slide(tmp_path / "slide.tif", slide.pixels)
        score = judge(slide, find_grid(path), setting.diameter_px)
        assert (score.found, score.placed, score.false) == (score.cores, score.cores, 0), seed
        assert score.contained > 0.9
        assert score.split_false == 0


@pytest.mark.parametrize("rotation", [-5.0, 0.0, 5.0])
@pytest.mark.parametrize("background", [(255, 255, 255), (228, 222, 205)])
def test_rotation_and_tint_do_not_matter(rotation: float, background: tuple[int, int, int]) -> None:
    setting = dataclasses.replace(SMALL, rotation_deg=rotation, background=background)
    slide = small_slide(setting)
    found = {(core.row, core.col): core for core in find_cores(tissue_mask(slide.pixels))}
    assert found.keys() == {(true.row, true.col) for true in slide.cores}
    for true in slide.cores:
        core = found[true.row, true.col]
        assert (core.status is Status.MISSING) == (true.status == MISSING)
        assert np.hypot(core.x - true.x, core.y - true.y) < 0.25 * setting.diameter_px
        assert 0.85 < core.diameter / setting.diameter_px < 1.15


def test_split_cores_are_marked_with_all_parts_inside() -> None:
    setting = dataclasses.replace(SMALL, split=0.5, touching=0, missing=0, faint=0, debris=0)
    slide = small_slide(setting)
    found = {(core.row, core.col): core for core in find_cores(tissue_mask(slide.pixels))}
    truth = {(true.row, true.col): true.status == "split" for true in slide.cores}
    marked = {place: core.status is Status.SPLIT for place, core in found.items()}
    assert sum(truth.values()) > 5
    assert sum(truth[place] and marked[place] for place in truth) >= 0.7 * sum(truth.values())
    assert not any(marked[place] and not truth[place] for place in truth)


def test_gap_between_blocks_is_no_missing_column() -> None:
    setting = dataclasses.replace(SMALL, block_cols=3, block_gap=0.6)
    found = find_cores(tissue_mask(small_slide(setting).pixels))
    assert max(core.col for core in found) == setting.cols - 1


def test_marker_beside_the_array_is_no_row() -> None:
    setting = SlideSetting(rows=4, cols=6, diameter_px=90, missing=0, debris=0, margin=2.5)
    slide = small_slide(setting)
    pixels = slide.pixels.copy()
    cv2.circle(pixels, (120, 90), 40, (120, 90, 140), -1)
    assert {(core.row, core.col) for core in find_cores(tissue_mask(pixels))} == {
        (true.row, true.col) for true in slide.cores
    }


def test_area_that_was_not_scanned_is_no_background() -> None:
    slide = small_slide(dataclasses.replace(SMALL, background=(228, 222, 205)))
    pixels = np.pad(slide.pixels, ((300, 300), (300, 300), (0, 0)), constant_values=255)
    assert len(find_cores(tissue_mask(pixels))) == SMALL.rows * SMALL.cols


@pytest.mark.parametrize("kind", ["empty", "white", "black", "noise", "one core", "tiny"])
def test_image_without_array_has_no_cores(kind: str) -> None:
    rng = np.random.default_rng(0)
    one = cv2.circle(np.full((400, 600, 3), 240, np.uint8), (300, 200), 90, (9, 9, 9), -1)
    pixels = {
        "empty": np.full((400, 600, 3), 240, np.uint8),
        "white": np.full((400, 600, 3), 255, np.uint8),
        "black": np.zeros((400, 600, 3), np.uint8),
        "noise": rng.normal(240, 3, (400, 600, 3)).clip(0, 255).astype(np.uint8),
        "one core": one,
        "tiny": np.full((3, 2, 3), 240, np.uint8),
    }[kind]
    assert find_cores(tissue_mask(np.asarray(pixels, np.uint8))) == []


def test_points_of_a_bent_array_are_numbered() -> None:
    col, row = np.meshgrid(np.arange(9.0), np.arange(5.0))
    bent = np.stack([100 * col + 4 * row, 100 * row + 3 * (col - 4) ** 2], axis=-1).reshape(-1, 2)
    array = number_points(bent, np.array([100.0, 0.0]), np.array([4.0, 100.0]))
    assert array is not None
    assert array.places.shape == (5, 9, 2)
    assert array.index.tolist() == list(range(45))


def test_empty_row_inside_is_counted() -> None:
    col, row = (each.ravel() for each in np.meshgrid(np.arange(6.0), np.array([0.0, 1, 3, 4])))
    points = np.stack([50 * col, 50 * row], axis=1)
    array = number_points(points, np.array([50.0, 0.0]), np.array([0.0, 50.0]))
    assert array is not None
    assert array.places.shape == (5, 6, 2)
    assert set(array.index // 6) == {0, 1, 3, 4}


def test_overview_has_the_scale_of_the_slide(tmp_path: Path) -> None:
    pixels = np.full((1500, 5000, 3), 240, np.uint8)
    pixels[600:900, 2400:2700] = 90
    overview = read_overview(write_slide(tmp_path / "slide.tif", pixels, mpp=0.5), max_side=1000)
    assert (overview.height, overview.width, overview.scale) == (1500, 5000, 5.0)
    assert overview.pixels.shape == (300, 1000, 3)
    assert overview.mpp == pytest.approx(0.5)
    assert overview.pixels[150, 510].max() < 100
    assert overview.pixels[150, 550].min() > 230
