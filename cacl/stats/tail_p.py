"""p values beyond the highest ratio of few antibodies annotated as not stained.

Pure functions on arrays; NaN stands for "unknown" in arguments and results.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cacl.stats.significance import empirical_p

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

MIN_RATIO = 0.001
"""Smaller ratios count as equal: a few components of the mask, or none."""
MAX_EXCEEDANCES = 5
"""Number of negatives that describe the tail, or half of the negatives if that is less."""
MIN_SCALE = 1.0
"""Lower limit of the weighted sum of the negatives' log ratios; 1 is a factor of e."""
MAX_EXTRAPOLATION = 1000.0
"""No p is smaller than the smallest empirical p divided by this."""


def one_sided_p(ratios: Float64, is_negative: Bool) -> Float64:
    """Return one-sided p values against the negatives, extrapolated beyond the highest of them.

    Parameters
    ----------
    ratios
        Stained-to-cell ratios (n,), 0-1; NaN if unknown.
    is_negative
        Which of them are annotated as not stained, (n,).

    Returns
    -------
    p values (n,), in (0, 1]. `cacl.stats.significance.empirical_p` for negatives, for ratios up to
    the highest of the m negatives, and where it is NaN. Above, it is multiplied by a factor that
    falls with the ratio from 1 to 1 / `MAX_EXTRAPOLATION`.

    Notes
    -----
    Let y be the logarithm of a ratio, at least that of `MIN_RATIO`; y_1 >= y_2 >= ... those of the
    negatives; u the (k + 1)-th of them, with k = min(`MAX_EXCEEDANCES`, ceil(m / 2)). Only the
    negatives above u count: k is smaller if some are equal to u. A new negative has the highest y
    of all with probability 1 / (m + 1). If logarithms above u are exponential, which is a power law
    of the ratios (Pareto), the normalised spacings j (y_(j) - y_(j+1)) are independent and
    exponential with one scale (Rényi, Acta Math Hungar 1953). The k spacings below the new value
    have the weighted sum S = sum_j (y_j - u) + (y_1 - u), a gamma variable, so that

        P(y - y_1 > d | y is the highest) = (1 + d / S)^-k,

    whatever the scale. This is the predictive distribution, with the uncertainty of the estimated
    tail. p is the product of both probabilities.

    Assumption: above u and `MIN_RATIO`, the hazard rate of the log ratio does not fall, that is,
    the tail of the negatives' ratios is at most as heavy as a power law of any index. Then
    P(p <= a) <= a for every number of negatives: exactly a for a power law, and less for
    log-normal, gamma and beta distributions, also with any fraction of zeros, because the highest
    spacing is then smaller relative to those below it (Barlow & Proschan, Ann Math Stat 1966). A
    generalised Pareto fit (Knijnenburg et al., Bioinformatics 2009) needs many more values.

    Without any negative above `MIN_RATIO` (or with equal highest ones) there is no spacing: k is 1
    and S is `MIN_SCALE`, which further assumes a mean log excess of at most 1. S is never smaller.

    Without the assumption, as with rare artefacts of a much higher ratio than the others,
    P(p <= a) is still at most `MAX_EXTRAPOLATION` times a: only one of m + 1 exchangeable values
    is the highest. Simulated: at most 1.0 times a with the assumption; up to 3.8 times with log-t
    tails, up to 8.0 times if 3 % or 10 % have a much higher ratio, for a from 0.05 to 0.00001
    (`benchmarks/results/p_calibration.md`).

    Cores of an antibody are no further negatives: they share its background. They enter by the
    ratio that they are pooled to. As for `empirical_p`, the numbers of cores of the antibodies
    compared should have the same distribution.
    """
    p_values = empirical_p(ratios, is_negative)
    if np.isnan(p_values).all():
        return p_values
    logs = np.log(np.maximum(ratios, MIN_RATIO))
    reference = np.sort(logs[is_negative & ~np.isnan(ratios)])[::-1]
    beyond = ~is_negative & (logs > reference[0])
    factor = _tail_probability(logs[beyond] - reference[0], reference)
    p_values[beyond] *= np.maximum(factor, 1.0 / MAX_EXTRAPOLATION)
    return p_values


def _tail_probability(distance: Float64, reference: Float64) -> Float64:
    """Return the probability of a larger distance from the highest negative, given that it is one.

    Parameters
    ----------
    distance
        Log ratio above that of the highest negative, (values,), positive.
    reference
        Log ratios of the negatives, falling, (m,).
    """
    exceedances = min(MAX_EXCEEDANCES, -(-reference.size // 2))
    excess = reference[:exceedances] - max(reference[exceedances], np.log(MIN_RATIO))
    count = max(int((excess > 0.0).sum()), 1)
    scale = max(float(excess.sum() + excess[0]), MIN_SCALE)
    return np.asarray((1.0 + distance / scale) ** -count, np.float64)
