"""How sure and how specific: p, q and z of antibodies against those known not to stain.

Pure functions on arrays; NaN stands for "unknown" on the way in and on the way out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cacl.image.tile_stats import ratio
from cacl.stats.intervals import ratio_interval

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

MIN_NEGATIVES = 5
MAD_TO_SIGMA = 1.4826
MEAN_DEVIATION_TO_SIGMA = 1.2533


def pooled_ratio(
    stained: NDArray[np.int64], cell: NDArray[np.int64], patients: NDArray[np.str_]
) -> tuple[float | None, float | None, float | None]:
    """Pool images: the ratio of their summed areas, with its 95 % interval over patients.

    Parameters
    ----------
    stained, cell
        Areas per image (n,), in analysis pixels.
    patients
        Patient per image (n,), empty where unknown. A patient's images resemble each other and
        count as one; where the patient of any image is unknown, each image counts by itself.

    Returns
    -------
    Ratio, lower and upper end (`intervals.ratio_interval`). All None where the cell area is 0; the
    ends None for a single patient, whose spread to others nothing can tell, and where nothing is
    stained.
    """
    pooled = ratio(int(stained.sum()), int(cell.sum()))
    units = patients if (patients != "").all() else np.arange(stained.size)
    return pooled, *ratio_interval(stained, cell, units)


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
