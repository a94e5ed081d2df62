"""How sure and how specific: p, q and z of antibodies against those known not to stain.

Pure functions on arrays; NaN stands for "unknown" on the way in and on the way out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cacl.measures import bootstrap_interval, ratio, seed_of

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

MIN_NEGATIVES = 5
MAD_TO_SIGMA = 1.4826
MEAN_DEVIATION_TO_SIGMA = 1.2533


def pooled_ratio(
    stained: NDArray[np.int64],
    cell: NDArray[np.int64],
    patients: NDArray[np.str_],
    *,
    name: str,
    seed: int,
) -> tuple[float | None, float | None, float | None]:
    """Pool images: the ratio of their summed areas, with a 95 % bootstrap interval.

    Parameters
    ----------
    stained, cell
        Areas per image (n,), in analysis pixels.
    patients
        Patient per image (n,), empty where unknown. Whole patients are drawn where there are at
        least two and every image has one, as a patient's images resemble each other; else images.
    name, seed
        What is pooled, and the run's seed; together they seed the resampling.

    Returns
    -------
    Ratio, lower and upper end. All None where the cell area is 0; the ends None for a single
    image, whose spread between patients nothing can tell.
    """
    pooled = ratio(int(stained.sum()), int(cell.sum()))
    known = np.unique(patients)
    if known.size > 1 and "" not in known:
        stained = np.array([stained[patients == patient].sum() for patient in known])
        cell = np.array([cell[patients == patient].sum() for patient in known])
    if stained.size < 2:
        return pooled, None, None
    return pooled, *bootstrap_interval(stained, cell, seed=seed_of(name, seed))


def empirical_p(values: Float64, is_negative: Bool) -> Float64:
    """Return one-sided p values against the empirical distribution of the negatives.

    Parameters
    ----------
    values
        Ratios (n,), NaN where unknown.
    is_negative
        Which of them are known not to stain. A negative is compared with the other ones.

    Returns
    -------
    `(1 + #{negatives >= value}) / (1 + #negatives)`, (n,); the smallest p possible is therefore
    `1 / (1 + #negatives)`. NaN where the value is, and everywhere with fewer than
    `MIN_NEGATIVES` negatives.

    References
    ----------
    Phipson & Smyth, Stat Appl Genet Mol Biol 2010, on why 1 is added.
    """
    known = ~np.isnan(values)
    reference = np.sort(values[is_negative & known])
    result = np.full(values.shape, np.nan)
    if reference.size < MIN_NEGATIVES:
        return result
    itself = (is_negative & known)[known].astype(np.int64)
    at_least = reference.size - np.searchsorted(reference, values[known], side="left") - itself
    result[known] = (1 + at_least) / (1 + reference.size - itself)
    return result


def benjamini_hochberg(p_values: Float64) -> Float64:
    """Return q values (false discovery rate) of the p values that are known, NaN elsewhere.

    References
    ----------
    Benjamini & Hochberg, J R Stat Soc B 1995; `scipy.stats.false_discovery_control`.
    """
    known = ~np.isnan(p_values)
    result = np.full(p_values.shape, np.nan)
    if known.any():
        result[known] = stats.false_discovery_control(p_values[known], method="bh")
    return result


def robust_z(values: Float64, is_negative: Bool) -> Float64:
    """Return how many robust standard deviations a value lies above the negatives' median.

    Parameters
    ----------
    values
        Ratios (n,), NaN where unknown.
    is_negative
        Which of them are known not to stain.

    Returns
    -------
    `(value - median) / (1.4826 MAD)`, (n,). Where more than half of the negatives are equal, so
    that MAD is 0, their mean deviation from the median times 1.2533 takes its place. NaN where the
    value is, with fewer than `MIN_NEGATIVES` negatives, and where all of them are equal.

    References
    ----------
    Iglewicz & Hoaglin, How to Detect and Handle Outliers, 1993.
    """
    reference = values[is_negative & ~np.isnan(values)]
    if reference.size < MIN_NEGATIVES:
        return np.full(values.shape, np.nan)
    center = np.median(reference)
    deviations = np.abs(reference - center)
    spread = MAD_TO_SIGMA * np.median(deviations)
    if spread == 0.0:
        spread = MEAN_DEVIATION_TO_SIGMA * deviations.mean()
    if spread == 0.0:
        return np.full(values.shape, np.nan)
    result: Float64 = (values - center) / spread
    return result
