from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from cacl.stats import agreement

NAN = np.nan


def test_tissue_tau_by_hand() -> None:
    # Both ends of the scale, and (0.5 + 0.75 + 1 + 0) / 3.
    assert agreement.tissue_tau(np.array([0.2, 0.2, 0.2])) == 0.0
    assert agreement.tissue_tau(np.array([0.0, 0.4, 0.0])) == 1.0
    assert agreement.tissue_tau(np.array([0.2, 0.1, 0.0, 0.4])) == pytest.approx(2.25 / 3)


@pytest.mark.parametrize("ratios", [[], [0.3], [0.0, 0.0]])
def test_tissue_tau_needs_two_tissues_and_some_stain(ratios: list[float]) -> None:
    assert agreement.tissue_tau(np.array(ratios)) is None


def test_agreement_by_hand() -> None:
    # Ranks 1 to 4: the mean distance of the six pairs is 10 / 6.
    alpha = agreement.agreement_within(np.array([0.1, 0.2, 0.7, 0.9]), ["a", "a", "b", "b"])
    assert alpha == {"a": pytest.approx(1 - 0.6), "b": pytest.approx(1 - 0.6)}
    alpha = agreement.agreement_within(np.array([0.1, 0.2, 0.7, 0.9]), ["a", "b", "b", "a"])
    assert alpha == {"a": pytest.approx(1 - 1.8), "b": pytest.approx(1 - 0.6)}


def test_agreement_is_one_for_equal_ratios_and_zero_by_chance() -> None:
    values = np.array([0.5, 0.5, 0.5, 0.1, 0.2])
    assert agreement.agreement_within(values, ["a", "a", "a", "b", "c"]) == {"a": 1.0}
    rng = np.random.default_rng(0)
    genes = [str(number // 3) for number in range(6000)]
    alpha = agreement.agreement_within(rng.lognormal(size=6000), genes)
    assert len(alpha) == 2000
    assert np.mean(list(alpha.values())) == pytest.approx(0.0, abs=0.03)


def test_agreement_ignores_unknown_values_and_groups() -> None:
    values = np.array([0.1, NAN, 0.3, 0.4, 0.5])
    assert set(agreement.agreement_within(values, ["a", "a", "b", "b", ""])) == {"b"}
    assert agreement.agreement_within(np.array([0.2, 0.2]), ["a", "a"]) == {}
    assert agreement.agreement_within(np.array([]), []) == {}


def test_alpha_is_the_mean_agreement_weighted_by_members() -> None:
    distances = agreement.rank_distances(
        np.array([0.1, 0.2, 0.7, 0.9, 0.8]), ["a", "a", "b", "b", "b"]
    )
    assert distances is not None
    # The mean distance of ranks 1 to 5 is 2; 1 within a, and 4 / 3 within b (3, 4, 5).
    assert distances.alpha(np.arange(2)) == pytest.approx(1 - (2 * 1 + 3 * 4 / 3) / 5 / 2)


def mean_distance_of_pairs(ranks: np.ndarray) -> float:
    return float(np.mean([abs(a - b) for a, b in itertools.combinations(ranks, 2)]))


def test_rank_distances_are_those_of_all_pairs() -> None:
    rng = np.random.default_rng(3)
    values = rng.integers(0, 30, 80) * np.float64(0.1)
    values[rng.random(80) < 0.1] = NAN
    groups = [f"g{number}" if number else "" for number in rng.integers(0, 15, 80)]
    distances = agreement.rank_distances(values, groups)
    assert distances is not None
    ranks = stats.rankdata(values, nan_policy="omit")
    known = ~np.isnan(values)
    members = {
        name: ranks[known & (np.array(groups) == name)] for name in sorted(set(groups) - {""})
    }
    several = {name: group for name, group in members.items() if len(group) > 1}
    assert distances.names == tuple(several)
    assert distances.size.tolist() == [len(group) for group in several.values()]
    expected = [mean_distance_of_pairs(group) for group in several.values()]
    np.testing.assert_allclose(distances.within, expected, rtol=1e-12)
    assert distances.expected == pytest.approx(mean_distance_of_pairs(ranks[known]), rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_resampled_spearman_agrees_with_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 9, 60) * np.float64(0.1), rng.integers(0, 4, 60).astype(np.float64)
    rho = agreement.resampled_spearman(x, y)
    for indices in (np.arange(60), rng.integers(0, 60, 60)):
        expected = stats.spearmanr(x[indices], y[indices]).statistic
        assert rho(indices) == pytest.approx(expected, rel=1e-12)
    assert np.isnan(rho(np.zeros(60, dtype=np.intp)))
    assert np.isnan(agreement.resampled_spearman(x, np.ones(60))(np.arange(60)))


@pytest.mark.parametrize("seed", range(5))
def test_resampled_auroc_agrees_with_mann_and_whitney(seed: int) -> None:
    rng = np.random.default_rng(seed)
    positive = rng.random(70) < 0.3
    values = np.round(rng.normal(size=70) + positive, 1)
    auroc = agreement.resampled_auroc(values, positive)
    for indices in (np.arange(70), rng.integers(0, 70, 70)):
        x, is_positive = values[indices], positive[indices]
        wins = stats.mannwhitneyu(x[is_positive], x[~is_positive]).statistic
        pairs = is_positive.sum() * (~is_positive).sum()
        assert auroc(indices) == pytest.approx(wins / pairs, rel=1e-12)
    assert np.isnan(auroc(np.zeros(70, dtype=np.intp)))
    one_class = np.ones(70, dtype=bool)
    assert np.isnan(agreement.resampled_auroc(values, one_class)(np.arange(70)))


def test_auroc_of_separated_classes_is_1() -> None:
    auroc = agreement.resampled_auroc(np.array([1.0, 2.0, 3.0]), np.array([False, True, True]))
    assert auroc(np.arange(3)) == 1.0
