from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cacl.stats import intervals, significance

NAN = np.nan


def test_pooled_ratio_is_that_of_the_sums() -> None:
    stained, cell = np.array([10, 90, 0]), np.array([100, 200, 100])
    patients = np.array(["1", "2", "3"])
    pooled, low, high = significance.pooled_ratio(stained, cell, patients)
    assert pooled == 0.25
    assert (low, high) == intervals.ratio_interval(stained, cell, np.arange(3))
    assert low is not None


def test_patients_are_taken_whole() -> None:
    stained, cell = np.array([0, 100, 30]), np.array([100, 100, 100])
    _, low, high = significance.pooled_ratio(stained, cell, np.array(["1", "1", "2"]))
    merged = intervals.ratio_interval(np.array([100, 30]), np.array([200, 100]), np.arange(2))
    assert (low, high) == merged
    unknown = significance.pooled_ratio(stained, cell, np.array(["1", "", "2"]))
    assert unknown[1:] == intervals.ratio_interval(stained, cell, np.arange(3))


def test_one_patient_has_a_ratio_but_no_interval() -> None:
    one = significance.pooled_ratio(np.array([5]), np.array([20]), np.array(["1"]))
    assert one == (0.25, None, None)
    twice = significance.pooled_ratio(np.array([5, 9]), np.array([20, 36]), np.array(["1", "1"]))
    assert twice == (0.25, None, None)
    empty = significance.pooled_ratio(np.array([0, 0]), np.array([0, 0]), np.array(["", ""]))
    assert empty == (None, None, None)


def test_empirical_p_counts_negatives_and_leaves_itself_out() -> None:
    values = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.25, 0.5, NAN])
    negative = np.array([True] * 5 + [False] * 3)
    found = significance.empirical_p(values, negative)
    expected = [5 / 5, 4 / 5, 3 / 5, 2 / 5, 1 / 5, 3 / 6, 1 / 6, NAN]
    np.testing.assert_allclose(found, expected)


def test_empirical_p_counts_ties() -> None:
    values = np.array([0.1] * 5 + [0.1])
    found = significance.empirical_p(values, np.array([True] * 5 + [False]))
    np.testing.assert_allclose(found, 1.0)


def test_p_of_negatives_is_uniform() -> None:
    values = np.random.default_rng(0).normal(size=400)
    found = significance.empirical_p(values, np.ones(400, dtype=bool))
    assert stats.kstest(found, "uniform").pvalue > 0.9


def test_too_few_negatives_give_neither_p_nor_z() -> None:
    values = np.arange(10.0)
    negative = np.arange(10) < significance.MIN_NEGATIVES - 1
    assert np.isnan(significance.empirical_p(values, negative)).all()
    assert np.isnan(significance.robust_z(values, negative)).all()
    assert np.isnan(significance.benjamini_hochberg(np.full(10, NAN))).all()


def test_q_values_of_benjamini_and_hochberg_1995() -> None:
    # Table 1 of the paper rejects the first four of its fifteen hypotheses at 0.05.
    smallest = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    p_values = np.array([*smallest, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0])
    found = significance.benjamini_hochberg(np.insert(p_values, 3, NAN))
    assert np.isnan(found[3])
    found = np.delete(found, 3)
    np.testing.assert_allclose(found, stats.false_discovery_control(p_values))
    assert (found <= 0.05).sum() == 4


def test_robust_z_is_in_units_of_the_scaled_mad() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 100.0, 6.0, NAN])
    negative = np.array([True] * 5 + [False, False])
    scale = stats.median_abs_deviation(values[:5], scale="normal")
    found = significance.robust_z(values, negative)
    np.testing.assert_allclose(found[:6], (values[:6] - 3.0) / scale, rtol=1e-4)
    assert np.isnan(found[6])


def test_robust_z_when_most_negatives_are_equal() -> None:
    values = np.array([0.0, 0.0, 0.0, 0.0, 0.5, 1.0])
    negative = np.array([True] * 5 + [False])
    found = significance.robust_z(values, negative)
    assert found[5] == pytest.approx(1.0 / (1.2533 * 0.1))
    assert np.isnan(significance.robust_z(np.zeros(6), negative)).all()
