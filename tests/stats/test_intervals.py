from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special, stats

from cacl.stats import intervals


def test_ratio_ci_of_three_groups_by_hand() -> None:
    numerator, denominator = np.array([0, 100, 80]), np.array([100, 300, 400])
    low, high = intervals.ratio_ci(numerator, denominator, np.arange(3))
    pooled = 180 / 800
    residuals = numerator - pooled * denominator
    error = np.sqrt(3 / 2 * (residuals**2).sum()) / 800
    half_width = 4.302652729911275 * error / (pooled * (1 - pooled))
    expected = special.expit(special.logit(pooled) + np.array([-half_width, half_width]))
    assert (low, high) == pytest.approx((expected[0], expected[1]))


def test_upper_end_of_skewed_groups_is_that_of_log_normal_ratios() -> None:
    """Small ratios of equal areas, so that the logit is the logarithm: modified Cox."""
    numerator, denominator = np.array([10, 20, 160]), np.full(3, 10_000_000)
    low, high = intervals.ratio_ci(numerator, denominator, np.arange(3))
    logs, ratios = np.log(numerator / denominator), numerator / denominator
    variance, quantile = logs.var(ddof=1), 4.302652729911275
    centre = logs.mean() + variance / 2
    error = np.sqrt(variance / 3 + variance**2 / 4)
    assert high == pytest.approx(np.exp(centre + quantile * error), rel=5e-3)
    half_width = quantile * ratios.std(ddof=1) / np.sqrt(3) / ratios.mean()
    assert low == pytest.approx(ratios.mean() * np.exp(-half_width), rel=1e-4)
    assert high > ratios.mean() * np.exp(half_width)


def test_equal_areas_give_the_t_interval_of_a_mean() -> None:
    ratios = np.array([0.46, 0.5, 0.49, 0.55, 0.52])
    denominator = np.full(5, 100_000)
    numerator = np.rint(ratios * denominator).astype(int)
    low, high = intervals.ratio_ci(numerator, denominator, np.arange(5))
    assert low is not None
    assert high is not None
    expected = stats.t.interval(0.95, 4, ratios.mean(), stats.sem(ratios))
    slope = ratios.mean() * (1 - ratios.mean())
    ends = ratios.mean() + slope * (special.logit([low, high]) - special.logit(ratios.mean()))
    assert ends[0] == pytest.approx(expected[0], abs=1e-6)
    assert ends[1] == pytest.approx(expected[1], abs=2e-3)


def test_units_of_one_group_are_merged() -> None:
    numerator, denominator = np.array([1, 2, 30, 4]), np.array([10, 20, 60, 40])
    by_group = intervals.ratio_ci(numerator, denominator, np.array(["a", "a", "b", "c"]))
    merged = intervals.ratio_ci(np.array([3, 30, 4]), np.array([30, 60, 40]), np.arange(3))
    assert by_group == pytest.approx(merged)


@pytest.mark.parametrize(
    ("numerator", "denominator"),
    [([], []), ([5], [20]), ([0, 0], [0, 0]), ([0, 0, 0], [9, 9, 9]), ([9, 9], [9, 9])],
)
def test_ratio_ci_is_none_without_spread(numerator: list[int], denominator: list[int]) -> None:
    areas = np.array(numerator, dtype=np.int64), np.array(denominator, dtype=np.int64)
    assert intervals.ratio_ci(*areas, np.arange(len(numerator))) == (None, None)


def test_group_without_denominator_is_ignored() -> None:
    numerator, denominator = np.array([1, 3, 0]), np.array([10, 10, 0])
    three = intervals.ratio_ci(numerator, denominator, np.arange(3))
    assert three == intervals.ratio_ci(numerator[:2], denominator[:2], np.arange(2))


@settings(max_examples=60)
@given(hnp.arrays(np.int64, st.integers(2, 12), elements=st.integers(0, 500)), st.integers(0, 9))
def test_ratio_ci_contains_the_ratio_in_any_order(denominator: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    numerator = rng.integers(0, denominator + 1)
    low, high = intervals.ratio_ci(numerator, denominator, np.arange(denominator.size))
    if low is None or high is None:
        return
    assert 0.0 <= low <= numerator.sum() / denominator.sum() + 1e-12
    assert numerator.sum() / denominator.sum() - 1e-12 <= high <= 1.0
    order = rng.permutation(denominator.size)
    again = intervals.ratio_ci(numerator[order], denominator[order], np.arange(denominator.size))
    assert again == pytest.approx((low, high))


def ends_of(interval: tuple[float | None, float | None]) -> tuple[float, float]:
    """Return the ends of an interval that exists."""
    low, high = interval
    assert low is not None
    assert high is not None
    return low, high


def grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    rows, cols = np.indices((side, side)).reshape(2, -1)
    return rows, cols


def test_spatial_correlation_widens_the_interval() -> None:
    rows, cols = grid(8)
    denominator = np.full(64, 10_000)
    gradient = 200 + 100 * rows
    shuffled = np.random.default_rng(0).permutation(gradient)
    low, high = ends_of(intervals.spatial_ci(gradient, denominator, rows, cols))
    uncorrelated = ends_of(intervals.spatial_ci(shuffled, denominator, rows, cols))
    assert low < uncorrelated[0] < gradient.sum() / denominator.sum() < uncorrelated[1] < high
    expected = stats.t.interval(0.95, 63, 0.055, stats.sem(shuffled / denominator))
    assert uncorrelated == pytest.approx((expected[0], expected[1]), rel=0.06)


def test_skewness_raises_the_upper_or_lowers_the_lower_end() -> None:
    rows, cols = grid(8)
    denominator = np.full(64, 1_000_000)
    normal = np.random.default_rng(1).permutation(stats.norm.ppf((np.arange(64) + 0.5) / 64))
    skewed = np.rint(20_000 * np.exp(normal)).astype(np.int64)
    mirrored = np.rint(150_000 - 10_000 * np.exp(normal)).astype(np.int64)
    for numerator, is_upper in ((skewed, True), (mirrored, False)):
        low, high = intervals.spatial_ci(numerator, denominator, rows, cols)
        assert low is not None
        assert high is not None
        centre = special.logit(numerator.sum() / denominator.sum())
        below, above = centre - special.logit(low), special.logit(high) - centre
        regular, shifted = (below, above) if is_upper else (above, below)
        deviation = stats.sem(numerator / denominator) / (
            numerator.mean() / denominator[0] * (1 - numerator.mean() / denominator[0])
        )
        quantile = stats.t.ppf(1 - intervals.TAIL_CALIBRATION * 0.025, 63)
        assert regular == pytest.approx(quantile * deviation, rel=0.15)
        assert shifted > 1.02 * regular


def test_distant_tiles_have_the_calibrated_t_interval_by_hand() -> None:
    """Tiles too far apart to be correlated: every length scale gives the same variance."""
    ratios = np.array([0.46, 0.5, 0.49, 0.55, 0.52, 0.48])
    denominator = np.full(6, 100_000)
    numerator = np.rint(ratios * denominator).astype(np.int64)
    far = 1000 * np.arange(6)
    low, high = intervals.spatial_ci(numerator, denominator, far, far)
    assert low is not None
    assert high is not None
    quantile = stats.t.ppf(1 - intervals.TAIL_CALIBRATION * 0.025, 5)
    half_width = quantile * stats.sem(ratios) / (ratios.mean() * (1 - ratios.mean()))
    centre = special.logit(ratios.mean())
    assert centre - special.logit(low) == pytest.approx(half_width, rel=1e-4)
    ends = special.logit(high) - centre, half_width
    assert ends[0] >= ends[1] * (1 - 1e-4)
    wider = ends_of(intervals.spatial_ci(numerator, denominator, far, far, level=0.99))
    assert wider[0] < low < high < wider[1]


def test_normal_scores_are_those_of_blom_with_ties_in_tolerance() -> None:
    values = np.array([0.3, 0.1, 0.2, 0.1000001])
    expected = stats.norm.ppf((np.array([4, 1.5, 3, 1.5]) - 0.375) / 4.25)
    np.testing.assert_allclose(intervals._normal_scores(values, 0.001), expected)


def test_many_tiles_are_merged_four_by_four() -> None:
    rng = np.random.default_rng(0)
    rows, cols = grid(24)
    denominator = rng.integers(1_000, 2_000, rows.size)
    numerator = rng.binomial(denominator, 0.1)
    small_rows, small_cols = grid(12)
    merged_numerator, merged_denominator = (
        area.reshape(12, 2, 12, 2).sum(axis=(1, 3)).ravel() for area in (numerator, denominator)
    )
    assert intervals.spatial_ci(numerator, denominator, rows, cols) == pytest.approx(
        intervals.spatial_ci(merged_numerator, merged_denominator, small_rows, small_cols)
    )


@pytest.mark.parametrize(
    ("numerator", "denominator"), [([], []), ([5], [20]), ([0, 0, 0], [9, 9, 9]), ([9, 9], [9, 9])]
)
def test_spatial_ci_is_none_without_spread(numerator: list[int], denominator: list[int]) -> None:
    areas = np.array(numerator, dtype=np.int64), np.array(denominator, dtype=np.int64)
    position = np.arange(len(numerator))
    assert intervals.spatial_ci(*areas, position, position) == (None, None)


def test_equal_tiles_have_an_interval_of_zero_width() -> None:
    rows, cols = grid(3)
    low, high = intervals.spatial_ci(np.full(9, 7), np.full(9, 70), rows, cols)
    assert (low, high) == pytest.approx((0.1, 0.1))


@pytest.mark.parametrize("patients", [2, 3, 6])
@pytest.mark.parametrize("spread", [0.2, 0.8])
def test_coverage_of_ratio_ci_over_patients(patients: int, spread: float) -> None:
    rng = np.random.default_rng(patients)
    covered, draws = 0, 2500
    for _ in range(draws):
        cell = rng.integers(200_000, 500_000, patients)
        rate = 0.05 * np.exp(spread * rng.normal(size=patients) - spread**2 / 2)
        low, high = intervals.ratio_ci(
            np.rint(rate * cell).astype(np.int64), cell, np.arange(patients)
        )
        assert low is not None
        assert high is not None
        covered += low <= 0.05 <= high
    assert 0.93 <= covered / draws <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize(
    ("length_scale", "spread"),
    [(0.0, 0.3), (0.0, 0.6), (0.3, 0.6), (0.5, 0.3), (1.0, 0.3), (1.0, 1.0)],
)
def test_coverage_of_spatial_ci_over_tiles(length_scale: float, spread: float) -> None:
    rng = np.random.default_rng(1)
    rows, cols = grid(8)
    distance = np.hypot(rows[:, None] - rows, cols[:, None] - cols)
    correlation = np.exp(-distance / length_scale) if length_scale else np.zeros((64, 64))
    np.fill_diagonal(correlation, 1.0 + 1e-9)
    root = np.linalg.cholesky(correlation)
    covered, draws = 0, 1500
    for _ in range(draws):
        cell = rng.integers(4_000, 16_000, 64)
        rate = 0.05 * np.exp(spread * (root @ rng.normal(size=64)) - spread**2 / 2)
        numerator = np.rint(np.minimum(rate, 1.0) * cell).astype(np.int64)
        low, high = intervals.spatial_ci(numerator, cell, rows, cols)
        assert low is not None
        assert high is not None
        covered += low <= 0.05 <= high
    # 93 to 97 %, with a margin of 1.5 standard errors of 1,500 draws.
    assert 0.92 <= covered / draws <= 0.98


def test_bootstrap_ci_of_a_mean_agrees_with_scipy() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=80)
    low, high = intervals.bootstrap_ci(
        lambda chosen: float(values[chosen].mean()), values.size, seed=3, draws=8000
    )
    expected = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=8000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.02)


def test_resamples_without_a_number_are_ignored() -> None:
    def odd(chosen: np.ndarray) -> float:
        return float("nan") if chosen[0] == 0 else 1.0

    assert intervals.bootstrap_ci(odd, 4, seed=0, draws=50) == (1.0, 1.0)
    assert intervals.bootstrap_ci(lambda _: float("nan"), 4, seed=0, draws=5) == (None, None)


def test_seed_depends_on_name_and_seed() -> None:
    assert intervals.seed_of("a", 0) == intervals.seed_of("a", 0)
    assert len({intervals.seed_of(name, seed) for name in "ab" for seed in (0, 1)}) == 4
