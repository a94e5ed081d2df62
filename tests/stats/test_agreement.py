from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cacl.hpa import annotation_scales
from cacl.stats import agreement

NAN = np.nan


def test_tau_of_yanai() -> None:
    # The definition's own ends, and its formula by hand: (0.5 + 0.75 + 1 + 0) / 3.
    assert agreement.tissue_tau(np.array([0.2, 0.2, 0.2])) == 0.0
    assert agreement.tissue_tau(np.array([0.0, 0.4, 0.0])) == 1.0
    assert agreement.tissue_tau(np.array([0.2, 0.1, 0.0, 0.4])) == pytest.approx(2.25 / 3)


@pytest.mark.parametrize("ratios", [[], [0.3], [0.0, 0.0]])
def test_tau_needs_two_tissues_and_some_stain(ratios: list[float]) -> None:
    assert agreement.tissue_tau(np.array(ratios)) is None


def test_agreement_by_hand() -> None:
    # Ranks 1 to 4: the six pairs are 10 / 6 apart on average.
    found = agreement.agreement_within(np.array([0.1, 0.2, 0.7, 0.9]), ["a", "a", "b", "b"])
    assert found == {"a": pytest.approx(1 - 0.6), "b": pytest.approx(1 - 0.6)}
    found = agreement.agreement_within(np.array([0.1, 0.2, 0.7, 0.9]), ["a", "b", "b", "a"])
    assert found == {"a": pytest.approx(1 - 1.8), "b": pytest.approx(1 - 0.6)}


def test_agreement_is_one_for_equal_ratios_and_zero_by_chance() -> None:
    values = np.array([0.5, 0.5, 0.5, 0.1, 0.2])
    assert agreement.agreement_within(values, ["a", "a", "a", "b", "c"]) == {"a": 1.0}
    rng = np.random.default_rng(0)
    genes = [str(number // 3) for number in range(6000)]
    found = agreement.agreement_within(rng.lognormal(size=6000), genes)
    assert len(found) == 2000
    assert np.mean(list(found.values())) == pytest.approx(0.0, abs=0.03)


def test_agreement_leaves_out_what_is_unknown() -> None:
    values = np.array([0.1, NAN, 0.3, 0.4, 0.5])
    assert set(agreement.agreement_within(values, ["a", "a", "b", "b", ""])) == {"b"}
    assert agreement.agreement_within(np.array([0.2, 0.2]), ["a", "a"]) == {}
    assert agreement.agreement_within(np.array([]), []) == {}


def test_alpha_is_the_mean_agreement_weighted_by_members() -> None:
    distances = agreement.distances_within(
        np.array([0.1, 0.2, 0.7, 0.9, 0.8]), ["a", "a", "b", "b", "b"]
    )
    assert distances is not None
    # Mean distance of ranks 1 to 5 is 2; within a 1, within b (3, 4, 5) 4 / 3.
    assert distances.alpha(np.arange(2)) == pytest.approx(1 - (2 * 1 + 3 * 4 / 3) / 5 / 2)


def test_spearman_agrees_with_scipy() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 9, 60) * 0.1, rng.integers(0, 4, 60) * 1.0
    assert agreement.spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert np.isnan(agreement.spearman(x, np.ones(60)))


def test_auroc_agrees_with_mann_and_whitney() -> None:
    rng = np.random.default_rng(2)
    positive = rng.random(70) < 0.3
    values = np.round(rng.normal(size=70) + positive, 1)
    wins = stats.mannwhitneyu(values[positive], values[~positive]).statistic
    expected = wins / (positive.sum() * (~positive).sum())
    assert agreement.auroc(values, positive) == pytest.approx(expected)
    assert agreement.auroc(np.array([1.0, 2.0, 3.0]), np.array([False, True, True])) == 1.0
    assert np.isnan(agreement.auroc(values, np.ones(70, dtype=bool)))


@pytest.mark.parametrize(
    ("words", "scale", "level"),
    [
        ("high", annotation_scales.STAINING, 3.0),
        ("Not detected", annotation_scales.STAINING, 0.0),
        ("low; medium", annotation_scales.STAINING, 1.5),
        ("ascending", annotation_scales.STAINING, None),
        ("ascending; high", annotation_scales.STAINING, 3.0),
        ("", annotation_scales.STAINING, None),
        ("75%-25%", annotation_scales.QUANTITY, 3.0),
        ("strong", annotation_scales.INTENSITY, 3.0),
    ],
)
def test_words_have_levels(words: str, scale: dict[str, float], level: float | None) -> None:
    assert annotation_scales.level(words, scale) == level


@pytest.mark.parametrize("seed", range(5))
def test_a_draw_has_the_statistic_of_its_values(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 9, 40).astype(float), rng.normal(size=40)
    positive = rng.random(40) < 0.3
    chosen = rng.integers(0, 40, 40)
    drawn = agreement.resampled_spearman(x, y)(chosen)
    assert drawn == pytest.approx(agreement.spearman(x[chosen], y[chosen]))
    drawn = agreement.resampled_auroc(x, positive)(chosen)
    assert drawn == pytest.approx(agreement.auroc(x[chosen], positive[chosen]))
    alike = np.zeros(40, dtype=np.intp)
    assert np.isnan(agreement.resampled_spearman(x, y)(alike))
    assert np.isnan(agreement.resampled_auroc(x, positive)(alike))
