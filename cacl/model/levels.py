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
from cacl.model.mask import IMPOSSIBLE

LEVELS = 400
SMALLEST_SHARE = 1e-5
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
    found = np.sort(positive[positive > IMPOSSIBLE])
    decoys = np.sort(negative[negative > IMPOSSIBLE])
    scores = np.quantile(found, np.linspace(0.0, 1.0, LEVELS)) if len(found) else np.zeros(1)
    above = (len(found) - np.searchsorted(found, scores, side="right")) / len(positive)
    beside = (len(decoys) - np.searchsorted(decoys, scores, side="right")) / len(negative)
    excess = above - beside
    most = float(excess.max())
    if most <= 0.0:
        raise TrainingError(
            "The model finds no more of the pattern on positive tiles than on negative ones; train "
            "for more steps (train.max_steps), with another seed, or with more antibodies of each "
            "label"
        )
    return [float(scores[np.flatnonzero(excess >= part * most)[-1]]) for part in parts]


def divide(positive: Float64, negative: Float64) -> float:
    """Return the share of cells that best tells images of either label apart; 0 if none does.

    Of those that are wrong about the fewest images, both labels weighing the same, it is the one
    in the middle of the widest gap, of the shares' logarithms.

    Parameters
    ----------
    positive, negative
        (n,) share of each image's cells that is surely the pattern, by the image's label.
    """
    if not len(positive) or not len(negative):
        return 0.0
    shares = np.log(np.sort(np.concatenate([positive, negative])).clip(SMALLEST_SHARE))
    gaps, limits = np.diff(shares), np.exp((shares[1:] + shares[:-1]) / 2)
    missed = (positive < limits[:, None]).mean(1) + (negative >= limits[:, None]).mean(1)
    fewest = missed.min(initial=1.0)
    if fewest == 1.0:
        return 0.0
    best = np.flatnonzero(missed == fewest)
    return float(limits[best[gaps[best].argmax()]])
