"""The baseline of the controls: a DAB threshold at its best on these very cores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cacl.benchmark.metrics import metrics_from_counts
from cacl.controls.core import PaintedCore
from cacl.image.stain import dab_density

METHOD = "DAB threshold, best"
STEP_OD, LEVELS = 0.02, 64


def dab_mask_above(painted: PaintedCore, level: int) -> NDArray[np.bool_]:
    """Return where DAB exceeds a threshold of `level * STEP_OD`, (y, x) bool."""
    return np.asarray(_levels(painted) > level)


def dice_by_level(painted: PaintedCore) -> NDArray[np.float64]:
    """Return the sum of Dice over the painted tiles at each threshold, (`LEVELS`,)."""
    levels = np.where(painted.core.cell, _levels(painted), 0)
    dice = np.zeros(LEVELS)
    for window in painted.windows:
        tile, true_tile = levels[window].ravel(), painted.true_mask[window].ravel()
        above, overlap = (
            np.bincount(values, minlength=LEVELS + 1)[::-1].cumsum()[::-1][1:]
            for values in (tile, tile[true_tile])
        )
        dice += metrics_from_counts(above, int(true_tile.sum()), overlap, tile.size).dice
    return dice


def _levels(painted: PaintedCore) -> NDArray[np.int64]:
    """Return the number of thresholds, from 0 in steps of `STEP_OD`, that DAB exceeds."""
    steps = np.ceil(dab_density(painted.rgb, painted.core.stain_vectors) / STEP_OD)
    return np.asarray(steps.clip(0, LEVELS), np.int64)
