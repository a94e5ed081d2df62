"""How well masks agree with truth: pure functions, the paper's convention and ours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bool = NDArray[np.bool_]
LOG_OF_ZERO = 100.0
MIN_TRUTH_PX = 20


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Agreement of one mask with its truth; each 0 to 1 but `bce`, which is 0 to 100."""

    dice: float
    recall: float
    precision: float
    bce: float


def agreement(mask: Bool, truth: Bool) -> Agreement:
    """Return the paper's four measures of one tile.

    A tile without truth scores 1 if its mask is empty, else 0 (the paper, section 4; one false
    pixel costs the whole tile). The binary cross entropy of a mask of zeros and ones takes the
    logarithm of 0 for -100, as torch does: it is 100 times the share of wrong pixels.

    Parameters
    ----------
    mask, truth
        (y, x) bool.
    """
    wrong = float(np.mean(mask != truth))
    found, wanted = int(mask.sum()), int(truth.sum())
    if wanted == 0:
        right = float(found == 0)
        return Agreement(dice=right, recall=right, precision=right, bce=LOG_OF_ZERO * wrong)
    both = int((mask & truth).sum())
    return Agreement(
        dice=2.0 * both / (found + wanted),
        recall=both / wanted,
        precision=both / found if found else 0.0,
        bce=LOG_OF_ZERO * wrong,
    )


def dice(mask: Bool, truth: Bool) -> float:
    """Return 2 |A and B| / (|A| + |B|); 1 if both are empty."""
    total = int(mask.sum()) + int(truth.sum())
    return 2.0 * int((mask & truth).sum()) / total if total else 1.0


def concordance(found: NDArray[np.float64], wanted: NDArray[np.float64]) -> float:
    """Return Lin's concordance correlation coefficient, -1 to 1; 1 only for equal values.

    `2 cov / (var + var + (mean - mean)^2)`, with the variances of the values at hand.

    References
    ----------
    Lin, Biometrics 45:255 (1989).
    """
    gap = float(found.mean() - wanted.mean())
    spread = float(found.var() + wanted.var()) + gap**2
    if spread == 0.0:
        return 1.0
    together = float(((found - found.mean()) * (wanted - wanted.mean())).mean())
    return 2.0 * together / spread
