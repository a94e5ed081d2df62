"""The best threshold of a score, on the very tiles that it is judged on: a favour to baselines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cacl.benchmark.metrics import MIN_TRUTH_PX, agreement_of

LEVELS = 256
Float32 = NDArray[np.float32]


def best(scores: Float32, truth: NDArray[np.bool_]) -> dict[str, float]:
    """Return the threshold above which Dice is highest, in the paper's convention and in ours.

    The paper iterates all intensity values; here 256 even levels from the lowest score to the
    highest, and 256 quantiles. Above the highest score every mask is empty, which is allowed.

    Parameters
    ----------
    scores
        (n, y, x), finite.
    truth
        (n, y, x) bool.

    Returns
    -------
    `dice` and `dice_positive` (over tiles that hold the pattern) to the lowest best threshold.
    """
    even = np.linspace(scores.min(), scores.max(), LEVELS)
    levels = np.unique(np.concatenate([even, np.quantile(scores, np.linspace(0, 1, LEVELS))]))
    levels = np.unique(levels.astype(np.float32))
    levels[-1] = scores.max()
    tiles, tile_px = len(scores), scores[0].size
    exceeded = np.searchsorted(levels, scores.reshape(tiles, -1))
    cell = exceeded + np.arange(tiles)[:, None] * (len(levels) + 1)

    def above(chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        counts = np.bincount(chosen.ravel(), minlength=tiles * (len(levels) + 1))
        per_tile = counts.reshape(tiles, -1)[:, ::-1].cumsum(axis=1)[:, ::-1]
        return per_tile[:, 1:]

    wanted = truth.sum(axis=(1, 2))
    dice = agreement_of(
        above(cell), wanted[:, None], above(cell[truth.reshape(tiles, -1)]), tile_px
    )
    curves = {
        "dice": dice.dice.mean(axis=0),
        "dice_positive": dice.dice[wanted >= MIN_TRUTH_PX].mean(axis=0),
    }
    return {name: float(levels[int(np.argmax(curve))]) for name, curve in curves.items()}
