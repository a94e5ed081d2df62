"""p values beyond the highest negative: known answers, agreement with counting, and size."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from cacl.stats import significance, tail_p

NAN = np.nan
Float64 = NDArray[np.float64]


def p_of(ratios: list[float] | Float64, negatives: list[float] | Float64) -> Float64:
    """Return the p values of ratios that are not labelled negative."""
    values = np.concatenate([np.asarray(ratios, float), np.asarray(negatives, float)])
    is_negative = np.arange(values.size) >= len(ratios)
    return tail_p.one_sided_p(values, is_negative)[: len(ratios)]


def test_tail_has_the_predictive_distribution_of_three_spacings() -> None:
    # Logs 4, 3, 1 above the fourth of five, so S = 4 + 3 + 1 + 4 = 12; distance 6: (1 + 6/12)^-3.
    negatives = 0.002 * np.exp([4.0, 3.0, 1.0, 0.0, -9.0])
    expected = 1 / 6 * 1.5**-3
    np.testing.assert_allclose(p_of([0.002 * np.exp(10.0)], negatives), expected)


def test_tail_begins_at_the_smallest_ratio_that_counts() -> None:
    # All but the highest are below MIN_RATIO: one spacing, of log 10, with weight 2.
    p_value = p_of([0.1], [0.01, 0.0009, 1e-5, 0.0, 0.0])
    np.testing.assert_allclose(p_value, 1 / 6 / (1.0 + np.log(10.0) / (2.0 * np.log(10.0))))


@pytest.mark.parametrize("level", [0.0, 0.0005, 0.02])
def test_equal_negatives_use_the_lower_limit_of_the_scale(level: float) -> None:
    distance = np.log(0.3 / max(level, tail_p.MIN_RATIO))
    np.testing.assert_allclose(p_of([0.3], [level] * 16), 1 / 17 / (1.0 + distance))


def test_close_negatives_use_the_lower_limit_of_the_scale() -> None:
    negatives = 0.01 * np.exp(-0.001 * np.arange(16))
    np.testing.assert_allclose(p_of([0.02], negatives), 1 / 17 * (1.0 + np.log(2.0)) ** -5)


def test_within_the_range_of_the_negatives_p_is_empirical() -> None:
    rng = np.random.default_rng(0)
    values = np.round(rng.lognormal(-6.0, 1.0, 80), 4)
    values[:3] = NAN
    is_negative = np.arange(80) % 2 == 0
    highest = np.nanmax(values[is_negative])
    inside = ~(values > highest)
    p_values, counted = (
        function(values, is_negative) for function in (tail_p.one_sided_p, significance.empirical_p)
    )
    np.testing.assert_array_equal(p_values[inside], counted[inside])
    assert (p_values[~inside] < counted[~inside]).all()


def test_p_of_the_highest_negative_is_not_extrapolated() -> None:
    values = np.array([0.9, 0.001, 0.001, 0.001, 0.002, 0.8])
    p_values = tail_p.one_sided_p(values, np.array([True] * 5 + [False]))
    np.testing.assert_allclose(p_values[[0, 5]], [1 / 5, 2 / 6])


def test_p_falls_with_the_ratio_without_a_jump_up_to_its_limit() -> None:
    negatives = np.random.default_rng(1).lognormal(-6.0, 0.7, 16)
    ratios = np.linspace(0.0, 1.0, 20001)
    p_values = p_of(ratios, negatives)
    assert (np.diff(p_values) <= 0.0).all()
    assert (p_values > 0.0).all()
    assert (p_values <= 1.0).all()
    above = p_of([np.nextafter(negatives.max(), 1.0)], negatives)
    np.testing.assert_allclose(above, 1 / 17)
    separated = p_values[ratios > negatives.max()]
    limit = 1 / 17 / tail_p.MAX_EXTRAPOLATION
    assert (np.diff(separated[separated > limit]) < 0.0).all()
    assert p_of([1.0], 1e-4 * negatives / negatives.max() + 1e-3) == pytest.approx(limit)


def test_unknown_ratios_and_too_few_negatives_have_no_p() -> None:
    p_values = p_of([NAN, 0.5], [0.01, 0.02, 0.03, 0.04, 0.05, NAN])
    assert np.isnan(p_values[0])
    assert 0.0 < p_values[1] < 1 / 6
    assert np.isnan(p_of([0.5, NAN], [0.01] * (significance.MIN_NEGATIVES - 1))).all()
    assert tail_p.one_sided_p(np.zeros(0), np.zeros(0, dtype=bool)).size == 0


def test_p_is_uniform_for_a_power_law_beyond_the_negatives() -> None:
    # Exact for any index of the power law if the scale is above its lower limit.
    rng = np.random.default_rng(2)
    ratios = 1e-3 * np.exp(0.5 * rng.exponential(size=(20000, 17)))
    p_values = np.array([p_of(row[:1], row[1:])[0] for row in ratios])
    beyond = p_values[p_values < 1 / 17]
    assert beyond.size == pytest.approx(20000 / 17, rel=0.1)
    assert stats.kstest(17 * beyond, "uniform").pvalue > 0.01


@pytest.mark.parametrize("zeros", [0.0, 0.7])
@pytest.mark.parametrize("negatives", [5, 16, 50])
def test_size_is_below_nominal_for_log_normal_ratios(negatives: int, zeros: float) -> None:
    rng = np.random.default_rng(3)
    shape = (3000, negatives + 1)
    ratios = np.where(rng.random(shape) < zeros, 0.0, rng.lognormal(np.log(0.002), 1.0, shape))
    p_values = np.array([p_of(row[:1], row[1:])[0] for row in np.minimum(ratios, 1.0)])
    for level in (0.05, 0.01, 0.001):
        error = 3.0 * np.sqrt(level / len(p_values))
        assert (p_values <= level).mean() <= level + error


def test_stained_antibodies_are_separated_where_counting_saturates() -> None:
    rng = np.random.default_rng(4)
    negatives, stained = rng.lognormal(np.log(0.003), 0.5, 16), np.linspace(0.03, 0.12, 24)
    values = np.concatenate([stained, negatives])
    is_negative = np.arange(40) >= 24
    counted = significance.benjamini_hochberg(significance.empirical_p(values, is_negative))
    p_values = tail_p.one_sided_p(values, is_negative)
    q_values = significance.benjamini_hochberg(p_values)
    np.testing.assert_allclose(counted[:24], 40 / 24 / 17)
    assert (np.diff(p_values[:24]) < 0.0).all()
    assert (q_values[:24] < 0.05).all()
