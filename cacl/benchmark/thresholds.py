"""Oracle thresholds: the best threshold of a score on the tiles of the evaluation itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cacl.benchmark.metrics import MIN_POSITIVE_PX, metrics_from_counts

LEVELS = 256
Float32 = NDArray[np.float32]


def oracle_threshold(scores: Float32, ground_truth: NDArray[np.bool_]) -> dict[str, float]:
    """Return the thresholds with the highest Dice: over all tiles, and over positive tiles.

    The choice on the test tiles favours a method; it is meant for baselines without a threshold of
    their own. The paper iterates over all intensity values; here over 256 equidistant levels from
    the lowest score to the highest and 256 quantiles. At the highest score every mask is empty,
    which is allowed.

    Parameters
    ----------
    scores
        (n, y, x), finite.
    ground_truth
        (n, y, x) bool.

    Returns
    -------
    The lowest best threshold by criterion: `dice`, in the paper's convention over all tiles, and
    `dice_positive`, over tiles with at least `MIN_POSITIVE_PX` true pixels.
    """
    even = np.linspace(scores.min(), scores.max(), LEVELS)
    levels = np.unique(np.concatenate([even, np.quantile(scores, np.linspace(0, 1, LEVELS))]))
    levels = np.unique(levels.astype(np.float32))
    levels[-1] = scores.max()
    tiles, tile_px = len(scores), scores[0].size
    n_bins = len(levels) + 1
    exceeded = np.searchsorted(levels, scores.reshape(tiles, -1))
    bins = exceeded + np.arange(tiles)[:, None] * n_bins

    def count_above(pixel_bins: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of pixels above each level, (n, levels)."""
        counts = np.bincount(pixel_bins.ravel(), minlength=tiles * n_bins)
        above = counts.reshape(tiles, -1)[:, ::-1].cumsum(axis=1)[:, ::-1]
        return above[:, 1:]

    true_px = ground_truth.sum(axis=(1, 2))
    overlap_px = count_above(bins[ground_truth.reshape(tiles, -1)])
    dice = metrics_from_counts(count_above(bins), true_px[:, None], overlap_px, tile_px).dice
    curves = {
        "dice": dice.mean(axis=0),
        "dice_positive": dice[true_px >= MIN_POSITIVE_PX].mean(axis=0),
    }
    return {name: float(levels[int(np.argmax(curve))]) for name, curve in curves.items()}
