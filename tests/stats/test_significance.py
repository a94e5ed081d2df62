from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cacl.stats import significance

NAN = np.nan


def test_empirical_p_counts_negatives_without_the_antibody_itself() -> None:
    values = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.25, 0.5, NAN])
    negative = np.array([True] * 5 + [False] * 3)
    expected = [5 / 5, 4 / 5, 3 / 5, 2 / 5, 1 / 5, 3 / 6, 1 / 6, NAN]
    np.testing.assert_allclose(significance.empirical_p(values, negative), expected)


def test_empirical_p_counts_ties() -> None:
    values = np.array([0.1] * 5 + [0.1])
    p_values = significance.empirical_p(values, np.array([True] * 5 + [False]))
    np.testing.assert_allclose(p_values, 1.0)


def test_p_values_of_negatives_are_uniform() -> None:
    values = np.random.default_rng(0).normal(size=400)
    p_values = significance.empirical_p(values, np.ones(400, dtype=bool))
    assert stats.kstest(p_values, "uniform").pvalue > 0.9


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
    q_values = significance.benjamini_hochberg(np.insert(p_values, 3, NAN))
    assert np.isnan(q_values[3])
    q_values = np.delete(q_values, 3)
    np.testing.assert_allclose(q_values, stats.false_discovery_control(p_values))
    assert (q_values <= 0.05).sum() == 4


def test_robust_z_is_in_units_of_the_scaled_mad() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 100.0, 6.0, NAN])
    negative = np.array([True] * 5 + [False, False])
    scale = stats.median_abs_deviation(values[:5], scale="normal")
    z_values = significance.robust_z(values, negative)
    np.testing.assert_allclose(z_values[:6], (values[:6] - 3.0) / scale, rtol=1e-4)
    assert np.isnan(z_values[6])


def test_robust_z_uses_the_mean_deviation_if_the_mad_is_0() -> None:
    values = np.array([0.0, 0.0, 0.0, 0.0, 0.5, 1.0])
    negative = np.array([True] * 5 + [False])
    z_values = significance.robust_z(values, negative)
    assert z_values[5] == pytest.approx(1.0 / (1.2533 * 0.1))
    assert np.isnan(significance.robust_z(np.zeros(6), negative)).all()
