"""Confidence intervals: of a ratio over groups, of a ratio over tiles, and by the bootstrap."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, special, stats

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Integers = NDArray[np.integer]
Interval = tuple[float | None, float | None]

BOOTSTRAP_DRAWS = 1000
CONFIDENCE = 0.95
# In tiles. Length scales below 0.6 cannot be distinguished from 0 with the 50 tiles of a core.
LENGTH_SCALES = (0.0, 0.6, 1.2, 2.4, 4.0)
# Prior weights, calibrated by simulation: no correlation is the most likely.
LENGTH_SCALE_PRIOR = (7.0, 1.0, 1.0, 1.0, 1.0)
# Averaging over length scales covers too much without correlation, and enough otherwise.
TAIL_CALIBRATION = 1.2
TIE_TOLERANCE = 0.01
MAX_TILES = 256
MIN_INDEPENDENT_TILES = 4.0
DIAGONAL_JITTER = 1e-6


def seed_of(name: str, seed: int) -> int:
    """Return a seed that depends on a name and the run's seed, and on nothing else."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big")


def ratio_ci(
    numerator: Integers,
    denominator: Integers,
    groups: Int64 | NDArray[np.str_],
    *,
    level: float = CONFIDENCE,
) -> Interval:
    """Return an interval of `sum(numerator) / sum(denominator)` from the spread between groups.

    Parameters
    ----------
    numerator, denominator
        Areas per unit (n,): tiles of an image, or images of an antibody.
    groups
        The group of each unit (n,): units of one group are correlated, groups are independent.
    level
        Confidence, 0-1.

    Returns
    -------
    Lower and upper end, between 0 and 1; None with fewer than two groups with a denominator, and
    for a ratio of 0 or 1, as the sample then shows no spread.

    Notes
    -----
    With k groups of sums (s, c), R = sum s / sum c and residuals e = s - R c, the variance of R is
    k / (k - 1) * sum e^2 / (sum c)^2 (Cochran, Sampling Techniques, 1977, section 6.3). The
    interval is that of Student's t with k - 1 degrees of freedom on the logit of R, where ratios
    are less skewed and remain between 0 and 1. A percentile bootstrap of three patients would
    cover less than 80 %, as three units do not show their spread.

    A few groups rarely include one of the high ratios of a skewed distribution, and then
    underestimate both spread and ratio. The upper end is therefore at least that of log-normal
    ratios (Cox's method with Student's t; Olsson, J Stat Educ 2005), if every group has some stain.

    Coverage: `benchmarks/results/coverage.md`.
    """
    _, code = np.unique(groups, return_inverse=True)
    denominators = np.bincount(code, weights=denominator)
    numerators = np.bincount(code, weights=numerator)[denominators > 0]
    denominators = denominators[denominators > 0]
    pooled = _pooled(numerators, denominators)
    if pooled is None:
        return None, None
    count = denominators.size
    residuals = numerators - pooled * denominators
    deviation = np.sqrt(count / (count - 1) * (residuals**2).sum()) / denominators.sum()
    quantile = float(special.stdtrit(count - 1, 0.5 + level / 2.0))
    half_width = quantile * deviation / (pooled * (1.0 - pooled))
    cox_half_width = _cox_half_width(numerators / denominators, pooled, quantile)
    return _from_logit(pooled, half_width, max(half_width, cox_half_width))


def _cox_half_width(ratios: Float64, pooled: float, quantile: float) -> float:
    """Return the distance on the logit from `pooled` to the upper end of log-normal ratios.

    Modified Cox: the mean of log-normal ratios is exp(mean + variance / 2) of their logs, with
    variance s^2 / k + s^4 / (2 (k - 1)). On the logit, variance / 2 has the weight 1 - 2 `pooled`:
    1 for small ratios, 0 at a ratio of 1/2, where the logit has no curvature.
    """
    if ratios.min() <= 0.0 or ratios.max() >= 1.0:
        return 0.0
    logits, count = special.logit(ratios), ratios.size
    variance, curvature = float(logits.var(ddof=1)), 1.0 - 2.0 * pooled
    error = np.sqrt(variance / count + (curvature * variance) ** 2 / (2.0 * (count - 1)))
    mean = float(logits.mean()) + curvature * variance / 2.0
    return float(mean + quantile * error - special.logit(pooled))


def spatial_ci(
    numerator: Integers,
    denominator: Integers,
    rows: Int64,
    cols: Int64,
    *,
    level: float = CONFIDENCE,
) -> Interval:
    """Return an interval of `sum(numerator) / sum(denominator)` over spatially correlated tiles.

    Parameters
    ----------
    numerator, denominator
        Areas per tile (n,).
    rows, cols
        Position of each tile (n,).
    level
        Confidence, 0-1.

    Returns
    -------
    Lower and upper end, between 0 and 1; None with fewer than two tiles with a denominator, and
    for a ratio of 0 or 1, as the sample then shows no spread.

    Notes
    -----
    The ratios of two tiles have the correlation exp(-distance / length scale). The length scale is
    unknown, so the variance of the ratio is averaged over `LENGTH_SCALES`, each weighted by its
    restricted likelihood (Handcock & Stein, Technometrics 1993: Bayesian kriging of an area's
    mean). The likelihood is that of the ratios' normal scores, in which a few tiles with much
    stain do not hide the correlation of neighbours. The interval is Student's t on the logit of
    the ratio, with tails of `TAIL_CALIBRATION` times the nominal size, as calibrated by simulation
    (Loh, J Am Stat Assoc 1987). More than `MAX_TILES` tiles are first merged four by four.

    The logit suits ratios with the skewness of a log-normal distribution. If the tiles have a
    higher skewness, the upper end is raised; if they have a lower one, the lower end is lowered,
    by at most its distance from the ratio (Hall, The Bootstrap and Edgeworth Expansion, 1992,
    section 2.6). Neither end moves inwards, as a sample's skewness is mostly too small.

    Coverage, and where it is too low: `benchmarks/results/coverage.md`.
    """
    while (used := denominator > 0).sum() > MAX_TILES:
        numerator, denominator, rows, cols = _merge_tiles(
            numerator, denominator, rows // 2, cols // 2
        )
    numerator, denominator, rows, cols = numerator[used], denominator[used], rows[used], cols[used]
    pooled = _pooled(numerator, denominator)
    if pooled is None:
        return None, None
    ratios, weights = numerator / denominator, denominator / denominator.sum()
    distance = np.hypot(rows[:, None] - rows, cols[:, None] - cols)
    scores = _normal_scores(ratios, TIE_TOLERANCE * pooled)
    fits = [_fit(ratios, scores, weights, distance, scale) for scale in LENGTH_SCALES]
    variances, log_likelihoods = np.array(fits).T
    posterior = np.array(LENGTH_SCALE_PRIOR) * np.exp(log_likelihoods - log_likelihoods.max())
    variance = float(posterior @ variances / posterior.sum())
    deviation = np.sqrt(variance) / (pooled * (1.0 - pooled))
    tail = TAIL_CALIBRATION * (1.0 - level) / 2.0
    quantile = float(special.stdtrit(len(ratios) - 1, 1.0 - tail))
    skew = _skewness_correction(ratios, weights, pooled, deviation, quantile)
    half_width = quantile * deviation
    return _from_logit(
        pooled, half_width + min(max(-skew, 0.0), half_width), half_width + max(skew, 0.0)
    )


def _normal_scores(values: Float64, tolerance: float) -> Float64:
    """Return the normal quantiles of the values' ranks (Blom 1958), with ties in `tolerance`.

    Without the tolerance, rounding of areas to pixels would order tiles with equal ratios.
    """
    ranks = stats.rankdata(np.rint(values / tolerance))
    scores: Float64 = special.ndtri((ranks - 0.375) / (values.size + 0.25))
    return scores


def _skewness_correction(
    ratios: Float64, weights: Float64, pooled: float, deviation: float, quantile: float
) -> float:
    """Return how far skewness shifts both ends of an interval, on the logit.

    With skewness g, the number n of independent tiles with the same deviation, and the end at t
    deviations, the shift is g (2 t^2 + 1) / (6 sqrt(n)) deviations, minus the t^2 / 2 squared
    deviations that the curvature of the logarithm accounts for. The skewness has Fisher's
    correction for small samples, sqrt(n (n - 1)) / (n - 2).
    """
    residuals = ratios - pooled
    variance = float(weights @ residuals**2)
    if variance <= 0.0 or deviation <= 0.0:
        return 0.0
    skewness = float(weights @ residuals**3) / variance**1.5
    count = max(variance / (deviation * pooled * (1.0 - pooled)) ** 2, MIN_INDEPENDENT_TILES)
    skewness *= np.sqrt(count * (count - 1.0)) / (count - 2.0)
    edgeworth = skewness * (2.0 * quantile**2 + 1.0) / (6.0 * np.sqrt(count)) * deviation
    return float(edgeworth - (1.0 - 2.0 * pooled) * (quantile * deviation) ** 2 / 2.0)


def _pooled(numerator: Integers | Float64, denominator: Integers | Float64) -> float | None:
    """Return the ratio of sums; None if the sample cannot show its spread."""
    if numerator.size < 2:
        return None
    pooled = float(numerator.sum() / denominator.sum())
    return pooled if 0.0 < pooled < 1.0 else None


def _from_logit(pooled: float, below: float, above: float) -> tuple[float, float]:
    """Return the ratios at the distances `below` and `above` from `pooled` on the logit."""
    centre = special.logit(pooled)
    return float(special.expit(centre - below)), float(special.expit(centre + above))


def _merge_tiles(
    numerator: Integers, denominator: Integers, rows: Int64, cols: Int64
) -> tuple[Int64, Int64, Int64, Int64]:
    """Sum the areas of tiles with equal positions."""
    positions, code = np.unique(np.stack([rows, cols]), axis=1, return_inverse=True)
    numerators, denominators = (np.zeros(positions.shape[1], np.int64) for _ in range(2))
    np.add.at(numerators, code.ravel(), numerator)
    np.add.at(denominators, code.ravel(), denominator)
    return numerators, denominators, positions[0], positions[1]


def _fit(
    ratios: Float64, scores: Float64, weights: Float64, distance: Float64, length_scale: float
) -> tuple[float, float]:
    """Return the variance of the weighted mean ratio for one length scale of the correlation.

    The second value is the restricted log likelihood of the length scale, from the normal scores.
    """
    count = len(ratios)
    correlation = np.exp(-distance / length_scale) if length_scale else np.eye(count)
    correlation[np.diag_indices(count)] += DIAGONAL_JITTER
    factor = linalg.cho_factor(correlation, lower=True)
    values = np.stack([ratios, scores], axis=1)
    ones = linalg.cho_solve(factor, np.ones(count))
    residuals = values - ones @ values / ones.sum()
    squares = (residuals * linalg.cho_solve(factor, residuals)).sum(axis=0)
    ratio_sum, score_sum = np.maximum(squares, np.finfo(float).tiny)
    log_determinant = 2.0 * np.log(np.diag(factor[0])).sum()
    likelihood = -0.5 * (log_determinant + np.log(ones.sum()) + (count - 1) * np.log(score_sum))
    return float(weights @ correlation @ weights * ratio_sum / (count - 1)), float(likelihood)


def bootstrap_ci(
    statistic: Callable[[NDArray[np.intp]], float],
    n_units: int,
    *,
    seed: int,
    draws: int = BOOTSTRAP_DRAWS,
    level: float = CONFIDENCE,
) -> Interval:
    """Return a percentile bootstrap interval of any statistic of resampled units.

    Parameters
    ----------
    statistic
        From indices of the resampled units (n_units,) to a number, NaN if the resample has none.
    n_units
        Number of units; with few of them the interval is too narrow.
    seed
        Seed of the resampling.
    draws
        Number of resamples.
    level
        Confidence, 0-1.

    Returns
    -------
    Lower and upper end over the resamples that have a number; None if none has.

    Notes
    -----
    `scipy.stats.bootstrap` returns NaN if any resample has no number.

    References
    ----------
    Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    rng = np.random.default_rng(seed)
    values = np.array([statistic(rng.integers(0, n_units, size=n_units)) for _ in range(draws)])
    values = values[~np.isnan(values)]
    if not values.size:
        return None, None
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return float(low), float(high)
