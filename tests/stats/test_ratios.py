from __future__ import annotations

import numpy as np
import pytest

from cacl.stats import ratios
from cacl.stats.intervals import ratio_ci


def test_ratio_is_none_for_a_zero_denominator() -> None:
    assert ratios.ratio(25, 100) == 0.25
    assert ratios.ratio(0, 100) == 0.0
    assert ratios.ratio(0, 0) is None
    assert ratios.dab_fraction_in_mask(32, 40) == 0.8
    assert ratios.dab_fraction_in_mask(0, 0) is None
    assert ratios.mean_stained_od(0.0, 0) is None


def test_h_score_is_0_to_300_or_none() -> None:
    assert ratios.h_score(0.0, 0.0, 0.0) == 0.0
    assert ratios.h_score(0.0, 0.0, 1.0) == 300.0
    assert ratios.h_score(0.2, 0.3, 0.1) == pytest.approx(110.0)
    assert ratios.intensity_fractions(np.zeros(3, dtype=np.int64), 0) == (None, None, None)
    assert ratios.h_score(None, None, None) is None


def test_pooled_ratio_is_that_of_the_sums() -> None:
    stained, cell = np.array([10, 90, 0]), np.array([100, 200, 100])
    pooled, low, high = ratios.pooled_ratio(stained, cell, np.array(["1", "2", "3"]))
    assert pooled == 0.25
    assert (low, high) == ratio_ci(stained, cell, np.arange(3))
    assert low is not None


def test_images_of_one_patient_form_one_group() -> None:
    stained, cell = np.array([0, 100, 30]), np.array([100, 100, 100])
    _, low, high = ratios.pooled_ratio(stained, cell, np.array(["1", "1", "2"]))
    merged = ratio_ci(np.array([100, 30]), np.array([200, 100]), np.arange(2))
    assert (low, high) == merged
    with_unknown = ratios.pooled_ratio(stained, cell, np.array(["1", "", "2"]))
    assert with_unknown[1:] == ratio_ci(stained, cell, np.arange(3))


def test_single_patient_has_a_ratio_without_interval() -> None:
    single = ratios.pooled_ratio(np.array([5]), np.array([20]), np.array(["1"]))
    assert single == (0.25, None, None)
    two_images = ratios.pooled_ratio(np.array([5, 9]), np.array([20, 36]), np.array(["1", "1"]))
    assert two_images == (0.25, None, None)
    empty = ratios.pooled_ratio(np.array([0, 0]), np.array([0, 0]), np.array(["", ""]))
    assert empty == (None, None, None)
