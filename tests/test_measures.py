from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cacl import measures
from cacl.grid import TileGrid
from cacl.measures import Flag

TILE = 32
SIDE = 8 * TILE
BROWN = (120, 70, 30)
BLUE = (110, 110, 170)


def core(seed: int = 0, *, radius: float = 0.45) -> tuple[np.ndarray, np.ndarray]:
    """A sharp blue core on white glass: (3, y, x) and its cell mask."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    cell = np.hypot(y - SIDE / 2, x - SIDE / 2) < radius * SIDE
    rgb = np.full((3, SIDE, SIDE), 245.0)
    rgb[:, cell] = np.array(BLUE)[:, None] + rng.normal(0, 25, cell.sum())
    return np.clip(rgb, 0, 255).astype(np.uint8), cell


def scan(rgb: np.ndarray, cell: np.ndarray, stained: np.ndarray | None = None) -> list:
    mask = np.zeros_like(cell) if stained is None else stained
    return [
        measures.scan_band(rgb[:, top : top + TILE], cell[top : top + TILE], mask[top : top + TILE])
        for top in range(0, cell.shape[0], TILE)
    ]


def flags(rgb: np.ndarray, cell: np.ndarray) -> list[Flag]:
    height, width = cell.shape
    return measures.quality(scan(rgb, cell), TileGrid(height, width, TILE, TILE))


def test_areas_of_a_known_band() -> None:
    cell = np.zeros((TILE, 2 * TILE), dtype=bool)
    cell[:16] = True
    stained = np.zeros_like(cell)
    stained[:24, :8] = True
    rgb = np.full((3, *cell.shape), 250, dtype=np.uint8)
    rgb[:, :4, :8] = np.array(BROWN)[:, None, None]
    rgb[:, 2:4, 40:44] = np.array(BROWN)[:, None, None]
    rgb[:, 20:24, :8] = np.array(BROWN)[:, None, None]
    band = measures.scan_band(rgb, cell, stained)
    assert band.cell.tolist() == [16 * TILE, 16 * TILE]
    assert band.stained.tolist() == [16 * 8, 0]
    assert band.dab.tolist() == [4 * 8, 2 * 4]
    assert band.both.tolist() == [4 * 8, 0]


def test_ratio_and_border_share() -> None:
    assert measures.ratio(25, 100) == 0.25
    assert measures.ratio(0, 100) == 0.0
    assert measures.ratio(0, 0) is None
    assert measures.border_share(32, 40) == 0.8
    assert measures.border_share(0, 0) is None


def test_interval_of_equal_tiles_is_a_point() -> None:
    low, high = measures.bootstrap_interval(np.full(9, 20), np.full(9, 100), seed=1)
    assert (low, high) == (pytest.approx(0.2), pytest.approx(0.2))


def test_interval_agrees_with_scipy() -> None:
    from scipy import stats

    rng = np.random.default_rng(3)
    whole = rng.integers(100, 1000, 60)
    part = rng.binomial(whole, rng.beta(2, 8, 60))
    low, high = measures.bootstrap_interval(part, whole, seed=5, draws=20_000)
    expected = stats.bootstrap(
        (part, whole),
        lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis),
        paired=True,
        method="percentile",
        n_resamples=20_000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert (low, high) == (
        pytest.approx(expected.low, abs=2e-3),
        pytest.approx(expected.high, abs=2e-3),
    )


def test_interval_is_a_function_of_tiles_and_seed_alone() -> None:
    rng = np.random.default_rng(0)
    whole = rng.integers(1, 100, 30)
    part = rng.integers(0, whole + 1)
    order = rng.permutation(30)
    interval = measures.bootstrap_interval(part, whole, seed=7)
    assert measures.bootstrap_interval(part[order], whole[order], seed=7) == interval
    assert measures.bootstrap_interval(part, whole, seed=8) != interval


def test_interval_of_nothing_is_unknown() -> None:
    empty = np.array([], dtype=np.int64)
    assert measures.bootstrap_interval(empty, empty, seed=0) == (None, None)
    assert measures.bootstrap_interval(np.zeros(3, int), np.zeros(3, int), seed=0) == (None, None)


def test_many_tiles_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    whole = rng.integers(1, 100, 50)
    part = whole // 3
    at_once = measures.bootstrap_interval(part, whole, seed=2)
    monkeypatch.setattr(measures, "MAX_DRAWN_AT_ONCE", 7 * 50)
    assert measures.bootstrap_interval(part, whole, seed=2) == at_once


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(np.int64, st.integers(1, 20), elements=st.integers(0, 500)),
    st.integers(0, 2**32 - 1),
)
def test_interval_lies_within_0_and_1(whole: np.ndarray, seed: int) -> None:
    low, high = measures.bootstrap_interval(whole // 2, whole, seed=seed, draws=50)
    if whole.any():
        assert low is not None
        assert high is not None
        assert 0.0 <= low <= high <= 0.5


def test_seed_depends_on_name_and_seed() -> None:
    assert measures.seed_of("a", 0) == measures.seed_of("a", 0)
    assert len({measures.seed_of(name, seed) for name in "ab" for seed in (0, 1)}) == 4


def test_words_are_joined_in_a_fixed_order() -> None:
    assert measures.joined(["nuclear", "", "cytoplasmic", "nuclear"]) == "cytoplasmic; nuclear"
    assert measures.joined([]) == ""


def test_a_good_core_has_no_flag() -> None:
    assert flags(*core()) == []


def test_blurred_core_is_flagged() -> None:
    rgb, cell = core()
    coarse = np.stack([cv2.resize(part[::8, ::8], (SIDE, SIDE)) for part in rgb])
    blurred = np.stack([cv2.GaussianBlur(part, (0, 0), 4) for part in coarse])
    assert flags(blurred, cell) == [Flag.BLUR]


def test_fold_is_flagged_but_strong_dab_is_not() -> None:
    rgb, cell = core()
    folded = rgb.copy()
    strip = np.s_[:, 100:124, 60:200]
    folded[strip] = np.clip(256.0 * (rgb[strip] / 256.0) ** 2.4, 0, 255)
    assert flags(folded, cell) == [Flag.FOLD]
    stained = rgb.copy()
    stained[strip] = np.clip(rgb[strip] * np.array([0.8, 0.5, 0.25])[:, None, None], 0, 255)
    assert Flag.FOLD not in flags(stained, cell)


def test_little_tissue_is_flagged() -> None:
    rgb, cell = core()
    ring = cell.copy()
    ring[12:-12, 12:-12] = False
    found = flags(rgb, ring)
    assert ring.sum() < measures.MIN_TISSUE_TILES * TILE**2
    assert Flag.LITTLE_TISSUE in found


def test_black_pixels_are_flagged() -> None:
    rgb, cell = core()
    rgb[2, 120:140, 100:160] = 0
    assert Flag.SATURATED in flags(rgb, cell)
    rgb, cell = core()
    rgb[:, :20, :20] = 0
    assert Flag.SATURATED not in flags(rgb, cell)


def test_small_core_and_oblong_image_are_flagged() -> None:
    assert flags(*core(radius=0.25)) == [Flag.UNUSUAL_SIZE]
    rgb, cell = core()
    twice = np.concatenate([rgb, rgb], axis=2)
    assert flags(twice, np.concatenate([cell, cell], axis=1)) == [Flag.UNUSUAL_SIZE]


def test_empty_image_is_flagged_for_tissue_only() -> None:
    rgb = np.full((3, SIDE, SIDE), 250, dtype=np.uint8)
    assert flags(rgb, np.zeros((SIDE, SIDE), dtype=bool)) == [Flag.LITTLE_TISSUE]


def test_real_cores_are_sharp_and_turn_blurred(shared_data: object) -> None:
    from pathlib import Path

    from cacl import stain

    path = Path(str(shared_data)) / "cores" / "55449_A_1_2.jpg"
    picture = cv2.resize(cv2.imread(str(path)), (1024, 1024), interpolation=cv2.INTER_AREA)
    rgb = np.ascontiguousarray(picture[..., ::-1].transpose(2, 0, 1))
    grid = TileGrid(3000, 3000, 375, 128)
    for sigma, expected in ((0, []), (3, [Flag.BLUR])):
        seen = np.stack([cv2.GaussianBlur(part, (0, 0), sigma) for part in rgb]) if sigma else rgb
        cell = stain.cell_mask(seen)
        bands = [
            measures.scan_band(seen[:, y : y + 128], cell[y : y + 128], cell[y : y + 128])
            for y in range(0, 1024, 128)
        ]
        assert measures.quality(bands, grid) == expected
