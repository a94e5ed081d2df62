"""Scores that mean something, from image-wise labels alone.

Log odds have a scale of their own in every training. What positive tiles hold above a score, beyond
what negative tiles hold above it, does not: it is how much of the pattern lies above that score.
The negatives are the decoys of a target-decoy estimate (Elias and Gygi 2007).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cacl.errors import TrainingError
from cacl.model.inference.masks import IMPOSSIBLE

LEVELS = 400
LEAST_PART = 0.5
NEVER = 100.0
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


def levels(positive: Float32, negative: Float32, parts: Sequence[float]) -> list[float]:
    """Return the highest score above which each part of the pattern lies.

    The most that positive tiles hold beyond negative ones, above any score, is taken for all of it.

    Parameters
    ----------
    positive, negative
        (n, y, x) scores of tiles of each label; `IMPOSSIBLE` where no mask may be.
    parts
        Of the pattern, 0 to 1: 0.5 gives a score that the surer half of it exceeds.

    Raises
    ------
    TrainingError
        Positive tiles hold no more than negative ones, whatever the score.
    """
    scores, above, beside = _held(positive, negative)
    excess = above - beside
    most = float(excess.max())
    if most <= 0.0:
        raise TrainingError(
            "The model finds no more of the pattern on positive tiles than on negative ones; train "
            "for more steps (train.max_steps), with another seed, or with more antibodies of each "
            "label"
        )
    return [float(scores[np.flatnonzero(excess >= part * most)[-1]]) for part in parts]


def rarely(positive: Float32, negative: Float32, part: float) -> float:
    """Return the lowest score above which negative tiles hold at most a part of what positive do.

    So large is the share of false pixels among all above it, by the decoys; `NEVER` where no score
    is enough.

    Parameters
    ----------
    positive, negative
        (n, y, x) scores of tiles of each label; `IMPOSSIBLE` where they do not count.
    part
        From 0 to 1.
    """
    scores, above, beside = _held(positive, negative)
    few = np.flatnonzero((above > 0.0) & (beside <= part * above))
    return float(scores[few[0]]) if len(few) else NEVER


def _held(positive: Float32, negative: Float32) -> tuple[Float64, Float64, Float64]:
    """Return scores, rising, and what tiles of each label hold above them: (m,), px a tile."""
    found = np.sort(positive[positive > IMPOSSIBLE])
    decoys = np.sort(negative[negative > IMPOSSIBLE])
    steps = np.linspace(0.0, 1.0, LEVELS)
    scores = np.asarray(np.quantile(found, steps) if len(found) else np.zeros(1), np.float64)
    above, beside = (
        (len(one) - np.searchsorted(one, scores, side="right")) / max(1, len(tiles))
        for one, tiles in ((found, positive), (decoys, negative))
    )
    return scores, above, beside


def lowest(shares: Float64, missed: float) -> float:
    """Return the share that all but a part of positive images exceed.

    With fewer images than it takes to miss one, so much less than the lowest: others may show less.

    Parameters
    ----------
    shares
        (n,) of each image's cells, surely the pattern.
    missed
        Part of the images, 0 to 1; 0 misses none, whatever it shows.
    """
    if not len(shares):
        return 0.0
    return float(np.quantile(shares, missed) * min(1.0, missed * len(shares)))


def between(positive: Float64, negative: Float64, missed: float) -> float:
    """Return the share that tells positive images from negative ones.

    Half-way, in logarithms, from what nearly all negative images stay below to what nearly all
    positive ones exceed, see `lowest`; but at least half of the latter, as a network has seen the
    negative images that it was trained on and finds less on them than on others.

    Parameters
    ----------
    positive, negative
        (n,) and (m,) of each image's cells, surely the pattern.
    missed
        Part of the images of each label that may be wrong, 0 to 1; 0 for no gate.
    """
    low = lowest(positive, missed)
    high = float(np.quantile(negative, 1.0 - missed)) if len(negative) else 0.0
    return float(np.sqrt(low * np.clip(high, low * LEAST_PART**2, low)))
