"""Tissue specificity (tau) and agreement: Krippendorff's alpha, Spearman's rho, AUROC.

Pure functions on arrays; NaN stands for "unknown" in arguments. Every statistic is available as a
function of resampled indices for `cacl.stats.intervals.bootstrap_ci`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]
Indices = NDArray[np.intp]
Statistic = Callable[[Indices], float]
"""From indices of the resampled units to a number, NaN if the resample has none."""


def tissue_tau(ratios: Float64) -> float | None:
    """Return the tissue specificity of one antibody: 0 = equal in all tissues, 1 = in one only.

    Parameters
    ----------
    ratios
        Its ratio in each tissue (tissues,), all of them known.

    Returns
    -------
    `sum(1 - x / max(x)) / (n - 1)`; None with fewer than two tissues, or if nothing is stained in
    any of them.

    References
    ----------
    Yanai et al., Bioinformatics 2005. Ratios enter without the logarithm that is usual for RNA
    counts: areas do not span orders of magnitude by chance.
    """
    highest = ratios.max(initial=0.0)
    if ratios.size < 2 or highest <= 0.0:
        return None
    return float((1.0 - ratios / highest).sum() / (ratios.size - 1))


def agreement_within(values: Float64, groups: Sequence[str]) -> dict[str, float]:
    """Return the agreement of the members of each group, such as the antibodies of a gene.

    Parameters
    ----------
    values
        One ratio per antibody (n,), NaN if unknown.
    groups
        The gene of each antibody, (n,), empty if unknown.

    Returns
    -------
    By group with at least two known values: 1 - (mean rank distance of two of its members) / (mean
    rank distance of any two antibodies). 1 = equal ranks, 0 = as far apart as two random
    antibodies, down to -2 if one is first and the other last. Empty if all ranks are equal, as
    agreement is not defined then.

    Notes
    -----
    This is Krippendorff's alpha of one unit with the distance of ranks as metric (Krippendorff,
    Content Analysis, 2004, chapter 11). A correlation or an intraclass correlation needs many
    genes. Alpha is defined from two antibodies up and is on the same scale for two and for four;
    unlike a coefficient of variation it does not depend on how strongly the gene's antibodies
    stain; and its expectation by chance is 0.
    """
    distances = rank_distances(values, groups)
    if distances is None:
        return {}
    agreement = 1.0 - distances.within / distances.expected
    return dict(zip(distances.names, agreement.tolist(), strict=True))


@dataclass(frozen=True)
class RankDistances:
    """Mean rank distances within groups, and of any two values.

    Parameters
    ----------
    names
        Groups of at least two members, sorted.
    within
        Mean distance of two members of each group, (groups,).
    size
        Number of members of each group, (groups,).
    expected
        Mean distance of any two values.
    """

    names: tuple[str, ...]
    within: Float64
    size: Float64
    expected: float

    def alpha(self, indices: Indices) -> float:
        """Return Krippendorff's alpha over the groups with these indices."""
        size = self.size[indices]
        return float(1.0 - (self.within[indices] * size).sum() / size.sum() / self.expected)


def rank_distances(values: Float64, groups: Sequence[str]) -> RankDistances | None:
    """Return the rank distances behind `agreement_within`; None if all ranks are equal."""
    known = ~np.isnan(values)
    ranks = stats.rankdata(values[known])
    (expected,) = _mean_distances(ranks, np.zeros(ranks.size, dtype=np.intp), 1)
    if expected == 0.0:
        return None
    group_of_rank = np.asarray(groups, dtype=np.str_)[known]
    named = group_of_rank != ""
    names, code, size = np.unique(group_of_rank[named], return_inverse=True, return_counts=True)
    several = size > 1
    return RankDistances(
        names=tuple(names[several].tolist()),
        within=_mean_distances(ranks[named], code, names.size)[several],
        size=size[several].astype(np.float64),
        expected=float(expected),
    )


def _mean_distances(ranks: Float64, group: Indices, n_groups: int) -> Float64:
    """Return the mean distance of all pairs in each group (n_groups,); 0 below two members.

    The sum over pairs is a weighted sum of the sorted values. Ranks are multiples of 1/2, so that
    all sums are exact in any order.
    """
    order = np.lexsort((ranks, group))
    ranks, group = ranks[order], group[order]
    size = np.bincount(group, minlength=n_groups)
    position = np.arange(ranks.size) - (np.cumsum(size) - size)[group]
    weights = 2.0 * position - size[group] + 1.0
    pairs = size * (size - 1) / 2
    distance_sum = np.bincount(group, weights=ranks * weights, minlength=n_groups)
    return np.asarray(distance_sum / np.maximum(pairs, 1.0), np.float64)


def resampled_spearman(x: Float64, y: Float64) -> Statistic:
    """Return Spearman's rank correlation as a function of resampled indices.

    Ties have their mean rank; the correlation is NaN if `x` or `y` is constant. A resample takes
    linear time: its ranks follow from the counts of the values in their order, without sorting.
    """
    _, x_code = np.unique(x, return_inverse=True)
    _, y_code = np.unique(y, return_inverse=True)

    def statistic(indices: Indices) -> float:
        counts = np.bincount(indices, minlength=x.size)
        mean_rank = (indices.size + 1) / 2.0
        x_rank = _resampled_ranks(x_code, counts) - mean_rank
        y_rank = _resampled_ranks(y_code, counts) - mean_rank
        scale = np.sqrt((counts * x_rank**2).sum() * (counts * y_rank**2).sum())
        return float((counts * x_rank * y_rank).sum() / scale) if scale > 0 else float("nan")

    return statistic


def resampled_auroc(values: Float64, is_positive: Bool) -> Statistic:
    """Return the area under the ROC curve as a function of resampled indices.

    It is the probability that a positive has the higher value, where ties count half: the
    Mann-Whitney U statistic over the number of pairs (Hanley & McNeil, Radiology 1982). NaN if one
    class is empty. A resample takes linear time, see `resampled_spearman`.
    """
    _, code = np.unique(values, return_inverse=True)

    def statistic(indices: Indices) -> float:
        counts = np.bincount(indices, minlength=values.size)
        positives = int(counts[is_positive].sum())
        negatives = indices.size - positives
        if not positives or not negatives:
            return float("nan")
        ranks = _resampled_ranks(code, counts)
        wins = (counts * ranks)[is_positive].sum() - positives * (positives + 1) / 2
        return float(wins / (positives * negatives))

    return statistic


def _resampled_ranks(code: Indices, counts: Indices) -> Float64:
    """Return each value's mean rank in a resample.

    Parameters
    ----------
    code
        Position of each value among the distinct values, (n,).
    counts
        How often the resample contains each value, (n,).
    """
    per_code = np.bincount(code, weights=counts)
    ranks: Float64 = (np.cumsum(per_code) - per_code + (per_code + 1.0) / 2.0)[code]
    return ranks
