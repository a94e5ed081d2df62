from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special, stats

from cacl.stats import intervals


def test_interval_of_three_groups_by_hand() -> None:
    part, whole = np.array([0, 100, 80]), np.array([100, 300, 400])
    low, high = intervals.ratio_interval(part, whole, np.arange(3))
    pooled = 180 / 800
    residuals = part - pooled * whole
    error = np.sqrt(3 / 2 * (residuals**2).sum()) / 800
    reach = 4.302652729911275 * error / (pooled * (1 - pooled))
    expected = special.expit(special.logit(pooled) + np.array([-reach, reach]))
    assert (low, high) == (pytest.approx(expected[0]), pytest.approx(expected[1]))


def test_upper_end_of_skewed_groups_is_that_of_log_normal_ratios_by_hand() -> None:
    """Small ratios of equal areas, so that the logit is the logarithm: modified Cox."""
    part, whole = np.array([10, 20, 160]), np.full(3, 10_000_000)
    low, high = intervals.ratio_interval(part, whole, np.arange(3))
    logs, ratios = np.log(part / whole), part / whole
    variance, quantile = logs.var(ddof=1), 4.302652729911275
    middle = logs.mean() + variance / 2
    error = np.sqrt(variance / 3 + variance**2 / 4)
    assert high == pytest.approx(np.exp(middle + quantile * error), rel=5e-3)
    reach = quantile * ratios.std(ddof=1) / np.sqrt(3) / ratios.mean()
    assert low == pytest.approx(ratios.mean() * np.exp(-reach), rel=1e-4)
    assert high > ratios.mean() * np.exp(reach)


def test_equal_areas_give_the_t_interval_of_a_mean() -> None:
    share = np.array([0.46, 0.5, 0.49, 0.55, 0.52])
    whole = np.full(5, 100_000)
    part = np.rint(share * whole).astype(int)
    low, high = intervals.ratio_interval(part, whole, np.arange(5))
    assert low is not None
    assert high is not None
    expected = stats.t.interval(0.95, 4, share.mean(), stats.sem(share))
    slope = share.mean() * (1 - share.mean())
    found = share.mean() + slope * (special.logit([low, high]) - special.logit(share.mean()))
    assert found[0] == pytest.approx(expected[0], abs=1e-6)
    assert found[1] == pytest.approx(expected[1], abs=2e-3)


def test_units_of_a_group_count_as_one() -> None:
    part, whole = np.array([1, 2, 30, 4]), np.array([10, 20, 60, 40])
    apart = intervals.ratio_interval(part, whole, np.array(["a", "a", "b", "c"]))
    merged = intervals.ratio_interval(np.array([3, 30, 4]), np.array([30, 60, 40]), np.arange(3))
    assert apart == pytest.approx(merged)


@pytest.mark.parametrize(
    ("part", "whole"),
    [([], []), ([5], [20]), ([0, 0], [0, 0]), ([0, 0, 0], [9, 9, 9]), ([9, 9], [9, 9])],
)
def test_no_spread_seen_is_no_interval(part: list[int], whole: list[int]) -> None:
    areas = np.array(part, dtype=np.int64), np.array(whole, dtype=np.int64)
    assert intervals.ratio_interval(*areas, np.arange(len(part))) == (None, None)


def test_a_group_without_cells_does_not_count() -> None:
    part, whole = np.array([1, 3, 0]), np.array([10, 10, 0])
    three = intervals.ratio_interval(part, whole, np.arange(3))
    assert three == intervals.ratio_interval(part[:2], whole[:2], np.arange(2))


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.int64, st.integers(2, 12), elements=st.integers(0, 500)), st.integers(0, 9))
def test_interval_holds_the_ratio_in_any_order(whole: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    part = rng.integers(0, whole + 1)
    low, high = intervals.ratio_interval(part, whole, np.arange(whole.size))
    if low is None or high is None:
        return
    assert 0.0 <= low <= part.sum() / whole.sum() + 1e-12
    assert part.sum() / whole.sum() - 1e-12 <= high <= 1.0
    order = rng.permutation(whole.size)
    again = intervals.ratio_interval(part[order], whole[order], np.arange(whole.size))
    assert again == (pytest.approx(low), pytest.approx(high))


def grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    rows, cols = np.indices((side, side)).reshape(2, -1)
    return rows, cols


def test_neighbours_that_resemble_each_other_say_less() -> None:
    rows, cols = grid(8)
    whole = np.full(64, 10_000)
    smooth = 200 + 100 * rows
    shuffled = np.random.default_rng(0).permutation(smooth)
    low, high = intervals.spatial_ci(smooth, whole, rows, cols)
    apart = intervals.spatial_ci(shuffled, whole, rows, cols)
    assert None not in (low, high, *apart)
    assert low < apart[0] < smooth.sum() / whole.sum() < apart[1] < high
    expected = stats.t.interval(0.95, 63, 0.055, stats.sem(shuffled / whole))
    assert apart == (pytest.approx(expected[0], rel=0.06), pytest.approx(expected[1], rel=0.06))


def test_skewed_tiles_raise_the_upper_end_and_others_lower_the_lower_end() -> None:
    rows, cols = grid(8)
    whole = np.full(64, 1_000_000)
    normal = np.random.default_rng(1).permutation(stats.norm.ppf((np.arange(64) + 0.5) / 64))
    skewed = np.rint(20_000 * np.exp(normal)).astype(np.int64)
    mirrored = np.rint(150_000 - 10_000 * np.exp(normal)).astype(np.int64)
    for part, is_upper in ((skewed, True), (mirrored, False)):
        low, high = intervals.spatial_ci(part, whole, rows, cols)
        assert low is not None
        assert high is not None
        middle = special.logit(part.sum() / whole.sum())
        below, above = middle - special.logit(low), special.logit(high) - middle
        plain, moved = (below, above) if is_upper else (above, below)
        deviation = stats.sem(part / whole) / (
            part.mean() / whole[0] * (1 - part.mean() / whole[0])
        )
        quantile = stats.t.ppf(1 - intervals.CALIBRATION * 0.025, 63)
        assert plain == pytest.approx(quantile * deviation, rel=0.15)
        assert moved > 1.02 * plain


def test_tiles_apart_have_the_calibrated_t_interval_by_hand() -> None:
    """Tiles too far apart to resemble each other: every reach gives the same variance."""
    share = np.array([0.46, 0.5, 0.49, 0.55, 0.52, 0.48])
    whole = np.full(6, 100_000)
    part = np.rint(share * whole).astype(np.int64)
    far = 1000 * np.arange(6)
    low, high = intervals.spatial_ci(part, whole, far, far)
    assert low is not None
    assert high is not None
    quantile = stats.t.ppf(1 - intervals.CALIBRATION * 0.025, 5)
    reach = quantile * stats.sem(share) / (share.mean() * (1 - share.mean()))
    middle = special.logit(share.mean())
    assert middle - special.logit(low) == pytest.approx(reach, rel=1e-4)
    ends = special.logit(high) - middle, reach
    assert ends[0] >= ends[1] * (1 - 1e-4)
    wider = intervals.spatial_ci(part, whole, far, far, level=0.99)
    assert wider[0] < low < high < wider[1]


def test_normal_scores_are_those_of_blom_and_rounding_makes_no_order() -> None:
    values = np.array([0.3, 0.1, 0.2, 0.1000001])
    expected = stats.norm.ppf((np.array([4, 1.5, 3, 1.5]) - 0.375) / 4.25)
    np.testing.assert_allclose(intervals._normal_scores(values, 0.001), expected)


def test_many_tiles_are_merged_by_place() -> None:
    rng = np.random.default_rng(0)
    rows, cols = grid(24)
    whole = rng.integers(1_000, 2_000, rows.size)
    part = rng.binomial(whole, 0.1)
    small_rows, small_cols = grid(12)
    merged = [area.reshape(12, 2, 12, 2).sum(axis=(1, 3)).ravel() for area in (part, whole)]
    assert intervals.spatial_ci(part, whole, rows, cols) == pytest.approx(
        intervals.spatial_ci(*merged, small_rows, small_cols)
    )


@pytest.mark.parametrize(
    ("part", "whole"), [([], []), ([5], [20]), ([0, 0, 0], [9, 9, 9]), ([9, 9], [9, 9])]
)
def test_tiles_without_spread_have_no_interval(part: list[int], whole: list[int]) -> None:
    areas = np.array(part, dtype=np.int64), np.array(whole, dtype=np.int64)
    place = np.arange(len(part))
    assert intervals.spatial_ci(*areas, place, place) == (None, None)


def test_equal_tiles_have_an_interval_of_no_width() -> None:
    rows, cols = grid(3)
    low, high = intervals.spatial_ci(np.full(9, 7), np.full(9, 70), rows, cols)
    assert (low, high) == (pytest.approx(0.1), pytest.approx(0.1))


@pytest.mark.parametrize("patients", [2, 3, 6])
@pytest.mark.parametrize("spread", [0.2, 0.8])
def test_interval_over_patients_covers(patients: int, spread: float) -> None:
    rng = np.random.default_rng(patients)
    held, draws = 0, 2500
    for _ in range(draws):
        cell = rng.integers(200_000, 500_000, patients)
        rate = 0.05 * np.exp(spread * rng.normal(size=patients) - spread**2 / 2)
        low, high = intervals.ratio_interval(
            np.rint(rate * cell).astype(np.int64), cell, np.arange(patients)
        )
        assert low is not None
        assert high is not None
        held += low <= 0.05 <= high
    assert 0.93 <= held / draws <= 0.97


@pytest.mark.parametrize(
    ("reach", "spread"), [(0.0, 0.3), (0.0, 0.6), (0.3, 0.6), (0.5, 0.3), (1.0, 0.3), (1.0, 1.0)]
)
def test_interval_over_tiles_covers(reach: float, spread: float) -> None:
    rng = np.random.default_rng(1)
    rows, cols = grid(8)
    distance = np.hypot(rows[:, None] - rows, cols[:, None] - cols)
    correlation = np.exp(-distance / reach) if reach else np.zeros((64, 64))
    np.fill_diagonal(correlation, 1.0 + 1e-9)
    root = np.linalg.cholesky(correlation)
    held, draws = 0, 1500
    for _ in range(draws):
        cell = rng.integers(4_000, 16_000, 64)
        rate = 0.05 * np.exp(spread * (root @ rng.normal(size=64)) - spread**2 / 2)
        part = np.rint(np.minimum(rate, 1.0) * cell).astype(np.int64)
        low, high = intervals.spatial_ci(part, cell, rows, cols)
        assert low is not None
        assert high is not None
        held += low <= 0.05 <= high
    # 93 to 97 %, and a standard error and a half of 1,500 draws.
    assert 0.92 <= held / draws <= 0.98


def test_bootstrap_of_a_mean_agrees_with_scipy() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=80)
    low, high = intervals.bootstrap_ci(
        lambda chosen: float(values[chosen].mean()), values.size, seed=3, draws=8000
    )
    expected = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=8000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert (low, high) == (
        pytest.approx(expected.low, abs=0.02),
        pytest.approx(expected.high, abs=0.02),
    )


def test_draws_without_a_number_do_not_count() -> None:
    def odd(chosen: np.ndarray) -> float:
        return float("nan") if chosen[0] == 0 else 1.0

    assert intervals.bootstrap_ci(odd, 4, seed=0, draws=50) == (1.0, 1.0)
    assert intervals.bootstrap_ci(lambda _: float("nan"), 4, seed=0, draws=5) == (None, None)


def test_seed_depends_on_name_and_seed() -> None:
    assert intervals.seed_of("a", 0) == intervals.seed_of("a", 0)
    assert len({intervals.seed_of(name, seed) for name in "ab" for seed in (0, 1)}) == 4
