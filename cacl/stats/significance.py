"""Significance of an antibody's ratio against antibodies annotated as not stained: p, q and z.

Pure functions on arrays; NaN stands for "unknown" in arguments and results.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

MIN_NEGATIVES = 5
MAD_TO_SIGMA = 1.4826
MEAN_DEVIATION_TO_SIGMA = 1.2533


def empirical_p(values: Float64, is_negative: Bool) -> Float64:
    """Return one-sided p values against the empirical distribution of the negatives.

    Parameters
    ----------
    values
        Ratios (n,), NaN if unknown.
    is_negative
        Which of them are annotated as not stained, (n,). A negative is compared with the other
        negatives.

    Returns
    -------
    `(1 + #{negatives >= value}) / (1 + #negatives)`, (n,); the smallest possible p is therefore
    `1 / (1 + #negatives)`. NaN for unknown values, and for all with fewer than `MIN_NEGATIVES`
    negatives.

    References
    ----------
    Phipson & Smyth, Stat Appl Genet Mol Biol 2010, on why 1 is added.
    """
    known = ~np.isnan(values)
    reference = np.sort(values[is_negative & known])
    p_values = np.full(values.shape, np.nan)
    if reference.size < MIN_NEGATIVES:
        return p_values
    itself = is_negative[known].astype(np.int64)
    at_least = reference.size - np.searchsorted(reference, values[known], side="left") - itself
    p_values[known] = (1 + at_least) / (1 + reference.size - itself)
    return p_values


def benjamini_hochberg(p_values: Float64) -> Float64:
    """Return q values (false discovery rate) of the known p values, NaN for the others.

    References
    ----------
    Benjamini & Hochberg, J R Stat Soc B 1995; `scipy.stats.false_discovery_control`.
    """
    known = ~np.isnan(p_values)
    q_values = np.full(p_values.shape, np.nan)
    if known.any():
        q_values[known] = stats.false_discovery_control(p_values[known], method="bh")
    return q_values


def robust_z(values: Float64, is_negative: Bool) -> Float64:
    """Return the distance from the negatives' median in robust standard deviations.

    Parameters
    ----------
    values
        Ratios (n,), NaN if unknown.
    is_negative
        Which of them are annotated as not stained, (n,).

    Returns
    -------
    `(value - median) / (1.4826 MAD)`, (n,). If more than half of the negatives are equal, so that
    the MAD is 0, 1.2533 times their mean absolute deviation from the median replaces it. NaN for
    unknown values, and for all with fewer than `MIN_NEGATIVES` negatives or equal negatives.

    References
    ----------
    Iglewicz & Hoaglin, How to Detect and Handle Outliers, 1993.
    """
    reference = values[is_negative & ~np.isnan(values)]
    if reference.size < MIN_NEGATIVES:
        return np.full(values.shape, np.nan)
    median = np.median(reference)
    sigma = MAD_TO_SIGMA * stats.median_abs_deviation(reference)
    if sigma == 0.0:
        sigma = MEAN_DEVIATION_TO_SIGMA * np.abs(reference - median).mean()
    if sigma == 0.0:
        return np.full(values.shape, np.nan)
    z_values: Float64 = (values - median) / sigma
    return z_values
