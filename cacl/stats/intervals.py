"""Intervals: of a ratio over groups, over tiles, and of any statistic by the bootstrap."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, special, stats

BOOTSTRAP_DRAWS = 1000
CONFIDENCE = 0.95
# Shorter reaches than 0.6 tiles cannot be told from none in a core's 50 tiles.
REACHES = (0.0, 0.6, 1.2, 2.4, 4.0)
# Weights beforehand, as simulation asks for: no correlation at all is the likeliest.
PRIOR = (7.0, 1.0, 1.0, 1.0, 1.0)
# Averaging over reaches covers too much where there is no correlation and enough elsewhere.
CALIBRATION = 1.2
LEAST_DIFFERENCE = 0.01
MOST_TILES = 256
LEAST_INDEPENDENT = 4.0
JITTER = 1e-6


def seed_of(name: str, seed: int) -> int:
    """Return a seed that depends on a name and the run's seed, and on nothing else."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big")


def ratio_interval(
    part: NDArray[np.integer],
    whole: NDArray[np.integer],
    groups: NDArray[np.int64] | NDArray[np.str_],
    *,
    level: float = CONFIDENCE,
) -> tuple[float | None, float | None]:
    """Return an interval of `sum(part) / sum(whole)` from the spread between groups.

    Parameters
    ----------
    part, whole
        Areas per unit (n,): tiles of an image, or images of an antibody.
    groups
        Which group a unit belongs to (n,): units of one group resemble each other, groups are
        taken to be independent.
    level
        Confidence, 0-1.

    Returns
    -------
    Lower and upper end, between 0 and 1; None with fewer than two groups that have a `whole`, and
    where nothing or all is covered, as then no spread is seen.

    Notes
    -----
    With k groups of sums (s, c), R = sum s / sum c and residuals e = s - R c, the variance of R is
    k / (k - 1) * sum e^2 / (sum c)^2 (Cochran, Sampling Techniques, 1977, section 6.3). The
    interval is that of Student's t with k - 1 degrees of freedom on the logit of R, where ratios
    are less skewed and cannot leave 0 to 1. A percentile bootstrap of three patients would cover
    less than 80 %, as three units do not show their spread.

    Few groups rarely hold one of the high ratios that a skewed distribution has, and then show
    too little spread and too low a ratio. So the upper end is at least that of log-normal ratios
    (Cox's method with Student's t; Olsson, J Stat Educ 2005), where every group has some stain.

    How often it covers: `benchmarks/results/coverage.md`.
    """
    _, of = np.unique(groups, return_inverse=True)
    wholes = np.bincount(of, weights=whole)
    parts = np.bincount(of, weights=part)[wholes > 0]
    wholes = wholes[wholes > 0]
    pooled = _pooled(parts, wholes)
    if pooled is None:
        return None, None
    count = wholes.size
    residuals = parts - pooled * wholes
    deviation = np.sqrt(count / (count - 1) * (residuals**2).sum()) / wholes.sum()
    quantile = float(special.stdtrit(count - 1, 0.5 + level / 2.0))
    reach = quantile * deviation / (pooled * (1.0 - pooled))
    return _ends(pooled, reach, max(reach, _reach_of_logs(parts / wholes, pooled, quantile)))


def _reach_of_logs(ratios: NDArray[np.float64], pooled: float, quantile: float) -> float:
    """Return how far above `pooled`, on the logit, the upper end of log-normal ratios lies.

    Modified Cox: the mean of log-normal ratios is exp(mean + variance / 2) of their logs, with
    variance s^2 / k + s^4 / (2 (k - 1)). On the logit, variance / 2 counts times 1 - 2 `pooled`:
    1 for small ratios, 0 at a half, where the logit is not bent.
    """
    if ratios.min() <= 0.0 or ratios.max() >= 1.0:
        return 0.0
    logits, count = special.logit(ratios), ratios.size
    variance, bent = float(logits.var(ddof=1)), 1.0 - 2.0 * pooled
    error = np.sqrt(variance / count + (bent * variance) ** 2 / (2.0 * (count - 1)))
    middle = float(logits.mean()) + bent * variance / 2.0
    return float(middle + quantile * error - special.logit(pooled))


def spatial_ci(
    part: NDArray[np.integer],
    whole: NDArray[np.integer],
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    *,
    level: float = CONFIDENCE,
) -> tuple[float | None, float | None]:
    """Return an interval of `sum(part) / sum(whole)` over tiles that resemble their neighbours.

    Parameters
    ----------
    part, whole
        Areas per tile (n,).
    rows, cols
        Place of each tile (n,).
    level
        Confidence, 0-1.

    Returns
    -------
    Lower and upper end, between 0 and 1; None with fewer than two tiles that have a `whole`, and
    where nothing or all is covered, as then no spread is seen.

    Notes
    -----
    Tiles' ratios are taken to be correlated by exp(-distance / reach). How far the correlation
    reaches is not known, so the variance of the ratio is averaged over a few reaches, each weighted
    by its restricted likelihood (Handcock & Stein, Technometrics 1993: Bayesian kriging of an
    area's mean). The likelihood is that of the ratios' normal scores, in which a few tiles with
    much stain do not hide how much neighbours resemble each other. The interval is Student's t on
    the logit of the ratio, with tails of `CALIBRATION` times the wanted size, as simulation asks
    for (Loh, J Am Stat Assoc 1987). More than 256 tiles are merged four by four first.

    The logit suits ratios that are skewed as much as log-normal ones. Where the tiles are skewed
    more, the upper end is raised, and where they are skewed less, the lower end is lowered, by at
    most its own distance (Hall, The Bootstrap and Edgeworth Expansion, 1992, section 2.6). Neither
    end moves inwards, as a sample's skewness is too small more often than not.

    How often it covers, and where it does not: `benchmarks/results/coverage.md`.
    """
    while (used := whole > 0).sum() > MOST_TILES:
        part, whole, rows, cols = _merged(part, whole, rows // 2, cols // 2)
    part, whole, rows, cols = part[used], whole[used], rows[used], cols[used]
    pooled = _pooled(part, whole)
    if pooled is None:
        return None, None
    ratios, weights = part / whole, whole / whole.sum()
    distance = np.hypot(rows[:, None] - rows, cols[:, None] - cols)
    scores = _normal_scores(ratios, LEAST_DIFFERENCE * pooled)
    fits = [_fit(ratios, scores, weights, distance, reach) for reach in REACHES]
    variances, likelihoods = np.array(fits).T
    chances = np.array(PRIOR) * np.exp(likelihoods - likelihoods.max())
    variance = float(chances @ variances / chances.sum())
    deviation = np.sqrt(variance) / (pooled * (1.0 - pooled))
    tail = CALIBRATION * (1.0 - level) / 2.0
    quantile = float(special.stdtrit(len(ratios) - 1, 1.0 - tail))
    shift = _shift(ratios, weights, pooled, deviation, quantile)
    reach = quantile * deviation
    return _ends(pooled, reach + min(max(-shift, 0.0), reach), reach + max(shift, 0.0))


def _normal_scores(values: NDArray[np.float64], least: float) -> NDArray[np.float64]:
    """Return the normal quantiles of the values' ranks (Blom 1958); equal within `least` is tied.

    Without `least`, how areas are rounded to pixels would order tiles that are alike.
    """
    ranks = stats.rankdata(np.rint(values / least))
    scores: NDArray[np.float64] = special.ndtri((ranks - 0.375) / (values.size + 0.25))
    return scores


def _shift(
    ratios: NDArray[np.float64],
    weights: NDArray[np.float64],
    pooled: float,
    deviation: float,
    quantile: float,
) -> float:
    """Return how far skewness moves both ends of an interval, on the logit.

    With skewness g, as many independent tiles n as would give this deviation, and t deviations to
    the end, it is g (2 t^2 + 1) / (6 sqrt(n)) deviations, less the t^2 / 2 squared deviations by
    which the logarithm is bent. The skewness is corrected for the number of tiles as Fisher does:
    times sqrt(n (n - 1)) / (n - 2).
    """
    residuals = ratios - pooled
    variance = float(weights @ residuals**2)
    if variance <= 0.0 or deviation <= 0.0:
        return 0.0
    skewness = float(weights @ residuals**3) / variance**1.5
    count = max(variance / (deviation * pooled * (1.0 - pooled)) ** 2, LEAST_INDEPENDENT)
    skewness *= np.sqrt(count * (count - 1.0)) / (count - 2.0)
    edgeworth = skewness * (2.0 * quantile**2 + 1.0) / (6.0 * np.sqrt(count)) * deviation
    return float(edgeworth - (1.0 - 2.0 * pooled) * (quantile * deviation) ** 2 / 2.0)


def _pooled(
    part: NDArray[np.integer] | NDArray[np.float64],
    whole: NDArray[np.integer] | NDArray[np.float64],
) -> float | None:
    """Return the ratio of sums; None where its spread cannot be told."""
    if part.size < 2:
        return None
    pooled = float(part.sum() / whole.sum())
    return pooled if 0.0 < pooled < 1.0 else None


def _ends(pooled: float, below: float, above: float) -> tuple[float, float]:
    """Return the ratios that lie so far below and above a ratio on the logit."""
    middle = special.logit(pooled)
    return float(special.expit(middle - below)), float(special.expit(middle + above))


def _merged(
    part: NDArray[np.integer],
    whole: NDArray[np.integer],
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Sum the areas of tiles that have the same place."""
    places, of = np.unique(np.stack([rows, cols]), axis=1, return_inverse=True)
    parts, wholes = (np.zeros(places.shape[1], np.int64) for _ in range(2))
    np.add.at(parts, of.ravel(), part)
    np.add.at(wholes, of.ravel(), whole)
    return parts, wholes, places[0], places[1]


def _fit(
    ratios: NDArray[np.float64],
    scores: NDArray[np.float64],
    weights: NDArray[np.float64],
    distance: NDArray[np.float64],
    reach: float,
) -> tuple[float, float]:
    """Return the variance of the weighted mean ratio if correlation reaches so far.

    And the restricted log likelihood of that reach, from the ratios' normal scores.
    """
    count = len(ratios)
    correlation = np.exp(-distance / reach) if reach else np.eye(count)
    correlation[np.diag_indices(count)] += JITTER
    factor = linalg.cho_factor(correlation, lower=True)
    values = np.stack([ratios, scores], axis=1)
    ones = linalg.cho_solve(factor, np.ones(count))
    residuals = values - ones @ values / ones.sum()
    squares = (residuals * linalg.cho_solve(factor, residuals)).sum(axis=0)
    spread, misfit = np.maximum(squares, np.finfo(float).tiny)
    log_determinant = 2.0 * np.log(np.diag(factor[0])).sum()
    likelihood = -0.5 * (log_determinant + np.log(ones.sum()) + (count - 1) * np.log(misfit))
    return float(weights @ correlation @ weights * spread / (count - 1)), float(likelihood)


def bootstrap_ci(
    statistic: Callable[[NDArray[np.intp]], float],
    units: int,
    *,
    seed: int,
    draws: int = BOOTSTRAP_DRAWS,
    level: float = CONFIDENCE,
) -> tuple[float | None, float | None]:
    """Return a percentile bootstrap interval of any statistic of drawn units.

    Parameters
    ----------
    statistic
        From indices of the drawn units (units,) to a number, NaN where the draw has none.
    units
        How many there are; with few of them the interval is too narrow.
    seed
        Seed of the resampling.
    draws
        Resamples.
    level
        Confidence, 0-1.

    Returns
    -------
    Lower and upper end over the draws that have a number; None if none has.

    References
    ----------
    Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    random = np.random.default_rng(seed)
    values = np.array([statistic(random.integers(0, units, size=units)) for _ in range(draws)])
    values = values[~np.isnan(values)]
    if not values.size:
        return None, None
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return float(low), float(high)
