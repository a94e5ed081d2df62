"""How specific and how consistent: tau over tissues, agreement of a gene's antibodies.

Pure functions on arrays; NaN stands for "unknown" on the way in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]
Statistic = Callable[[NDArray[np.intp]], float]


def tissue_tau(ratios: Float64) -> float | None:
    """Return the tissue specificity of one antibody: 0 = alike in all tissues, 1 = in one only.

    Parameters
    ----------
    ratios
        Its ratio in each tissue (tissues,), none of them unknown.

    Returns
    -------
    `sum(1 - x / max(x)) / (n - 1)`; None with fewer than two tissues, or where nothing is stained
    in any of them.

    References
    ----------
    Yanai et al., Bioinformatics 2005. Ratios are taken as they are, without the logarithm that
    is usual for RNA counts: areas do not span orders of magnitude by chance.
    """
    highest = ratios.max(initial=0.0)
    if ratios.size < 2 or highest <= 0.0:
        return None
    return float((1.0 - ratios / highest).sum() / (ratios.size - 1))


def agreement_within(values: Float64, groups: Sequence[str]) -> dict[str, float]:
    """Return how well the members of each group agree, such as the antibodies of a gene.

    Parameters
    ----------
    values
        One ratio an antibody (n,), NaN where unknown.
    groups
        The gene of each, (n,).

    Returns
    -------
    By group with at least two known values: 1 - (mean distance of the ranks of two of its
    members) / (mean distance of the ranks of any two antibodies). 1 = the same rank, 0 = as far
    apart as two antibodies taken blindly, down to -2 where one is first and the other last.
    Empty where all ranks are equal, so that agreement would be no merit.

    Notes
    -----
    This is Krippendorff's alpha of one unit, with the distance of ranks as metric (Krippendorff,
    Content Analysis, 2004, chapter 11). A correlation or an intraclass correlation needs many
    genes; this is defined from two antibodies up, for two to four on the same scale, does not
    depend on how strongly the gene's antibodies stain as a coefficient of variation does, and
    counts chance as 0.
    """
    distances = distances_within(values, groups)
    if distances is None:
        return {}
    agreement = 1.0 - distances.within / distances.expected
    return dict(zip(distances.names, agreement.tolist(), strict=True))


@dataclass(frozen=True)
class Distances:
    """How far apart the ranks of the members of each group are.

    Parameters
    ----------
    names
        Groups of at least two members.
    within
        Mean distance of two members of each, (groups,).
    size
        Members of each, (groups,).
    expected
        Mean distance of any two values.
    """

    names: tuple[str, ...]
    within: Float64
    size: Float64
    expected: float

    def alpha(self, chosen: NDArray[np.intp]) -> float:
        """Return Krippendorff's alpha over the groups of these indices."""
        size = self.size[chosen]
        return float(1.0 - (self.within[chosen] * size).sum() / size.sum() / self.expected)


def distances_within(values: Float64, groups: Sequence[str]) -> Distances | None:
    """Return the distances that `agreement_within` is made of; None where all ranks are equal."""
    known = np.flatnonzero(~np.isnan(values))
    ranks = np.full(values.shape, np.nan)
    ranks[known] = mean_ranks(values[known])
    expected = _mean_distance(ranks[known])
    if expected == 0.0:
        return None
    members: dict[str, list[int]] = {}
    for index in known.tolist():
        if groups[index]:
            members.setdefault(groups[index], []).append(index)
    several = {name: places for name, places in sorted(members.items()) if len(places) > 1}
    return Distances(
        names=tuple(several),
        within=np.array([_mean_distance(ranks[places]) for places in several.values()]),
        size=np.array([len(places) for places in several.values()], dtype=np.float64),
        expected=expected,
    )


def mean_ranks(values: Float64) -> Float64:
    """Return ranks from 1, ties with their mean rank."""
    _, of, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Float64 = (counts.cumsum() - (counts - 1) / 2.0)[of]
    return ranks


def spearman(x: Float64, y: Float64) -> float:
    """Return Spearman's rank correlation, ties with their mean rank; NaN where one is constant."""
    ranks = np.stack([mean_ranks(x), mean_ranks(y)])
    ranks -= ranks.mean(axis=1, keepdims=True)
    spread = np.sqrt((ranks**2).sum(axis=1).prod())
    return float((ranks[0] * ranks[1]).sum() / spread) if spread > 0 else float("nan")


def resampled_spearman(x: Float64, y: Float64) -> Statistic:
    """Return `spearman` of the values at given indices, in linear time for every draw.

    How often each value was drawn, summed up along the values' order, gives the ranks of a draw
    without sorting it.
    """
    _, of_x = np.unique(x, return_inverse=True)
    _, of_y = np.unique(y, return_inverse=True)

    def statistic(chosen: NDArray[np.intp]) -> float:
        times = np.bincount(chosen, minlength=x.size)
        middle = (chosen.size + 1) / 2.0
        left = _ranks_of_draw(of_x, times) - middle
        right = _ranks_of_draw(of_y, times) - middle
        spread = np.sqrt((times * left**2).sum() * (times * right**2).sum())
        return float((times * left * right).sum() / spread) if spread > 0 else float("nan")

    return statistic


def resampled_auroc(values: Float64, is_positive: Bool) -> Statistic:
    """Return `auroc` of the values at given indices, as `resampled_spearman` does."""
    _, of = np.unique(values, return_inverse=True)

    def statistic(chosen: NDArray[np.intp]) -> float:
        times = np.bincount(chosen, minlength=values.size)
        positives = int(times[is_positive].sum())
        negatives = chosen.size - positives
        if not positives or not negatives:
            return float("nan")
        ranks = _ranks_of_draw(of, times)
        wins = (times * ranks)[is_positive].sum() - positives * (positives + 1) / 2
        return float(wins / (positives * negatives))

    return statistic


def _ranks_of_draw(of: NDArray[np.intp], times: NDArray[np.intp]) -> Float64:
    """Return the mean rank that each value has in a draw, from how often each was drawn."""
    drawn = np.bincount(of, weights=times)
    ranks: Float64 = (np.cumsum(drawn) - drawn + (drawn + 1.0) / 2.0)[of]
    return ranks


def auroc(values: Float64, is_positive: Bool) -> float:
    """Return the area under the ROC curve: chance that a positive has the higher value.

    Ties count half; NaN where one class is empty. It is the Mann-Whitney U statistic over the
    number of pairs (Hanley & McNeil, Radiology 1982).
    """
    positives = int(is_positive.sum())
    negatives = values.size - positives
    if not positives or not negatives:
        return float("nan")
    ranks = mean_ranks(values)
    wins = ranks[is_positive].sum() - positives * (positives + 1) / 2
    return float(wins / (positives * negatives))


def _mean_distance(ranks: Float64) -> float:
    """Return the mean distance of all pairs; 0 with fewer than two values."""
    count = ranks.size
    if count < 2:
        return 0.0
    weights = 2.0 * np.arange(count) - count + 1.0
    return float((np.sort(ranks) * weights).sum() / (count * (count - 1) / 2))
