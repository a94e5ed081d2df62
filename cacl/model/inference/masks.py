"""From a score to a mask: two thresholds, a gate, sharp edges, no specks.

A mask is made of connected parts of likely pixels, and a part counts if enough of it is sure (as
hysteresis, Canny 1986, but one sure pixel is not enough): a weakly stained stretch of border counts
where it continues a sure one, and a dark spot on something else does not. On the rim of a core,
where many antibodies leave a line, it takes more to be sure. Where too few of the cells around are
sure, nothing counts: labels are of whole images, and an image that shows the pattern shows more of
it than a pixel here and there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cacl.image.cell_mask import remove_small_objects
from cacl.model.config import Preset

Bool = NDArray[np.bool_]
Float32 = NDArray[np.float32]
IMPOSSIBLE = np.float32(-100.0)


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """What turns scores into a mask; chosen by image-wise labels alone; see `limits`.

    Parameters
    ----------
    likely
        Log odds that every pixel of a mask exceeds.
    sure
        Log odds that enough pixels of each part of a mask exceed, see `Preset.sure_part`; at least
        `likely`.
    rim
        Log odds that stand for `sure` on a core's rim; at least `sure`.
    least
        Share of the area of cells, 0 to 1, that is sure wherever there is a mask at all; 0 for
        none.
    """

    likely: float
    sure: float
    rim: float
    least: float


def possible(log_odds: Float32, candidate: Bool, preset: Preset) -> Float32:
    """Return the scores, very low where no mask may be.

    Parameters
    ----------
    log_odds
        (..., y, x) of one class.
    candidate
        Where a cell may show it; see `data.candidate_mask`.
    preset
        `paper` allows a mask everywhere.
    """
    if not preset.contrast:
        return log_odds
    return np.where(candidate, log_odds, IMPOSSIBLE)


def block_mask(
    scores: Float32, inner: Bool, cell_px: int, thresholds: Thresholds, preset: Preset
) -> Bool:
    """Return the mask (y, x) of a core, or of a block of a slide; empty if too little is sure.

    On the rim of a core, which many antibodies stain, it takes more to be sure, and what is sure
    does not count for the core.

    Parameters
    ----------
    scores
        (y, x) from `possible`.
    inner
        (y, x) what is not a core's rim.
    cell_px
        Area of cells there, px.
    thresholds, preset
        Of the class, and of the model.
    """
    if (inner & (scores > thresholds.sure)).sum() < thresholds.least * cell_px:
        return np.zeros(scores.shape, bool)
    unsure = ~inner & (scores <= thresholds.rim)
    scores = np.where(unsure, np.minimum(scores, np.float32(thresholds.sure)), scores)
    return stain_mask(scores, thresholds, preset)


def stain_mask(scores: Float32, thresholds: Thresholds, preset: Preset) -> Bool:
    """Return the mask (y, x) of scores from `possible`, without specks, however small."""
    above: Any = scores > min(thresholds.likely, thresholds.sure)
    count, found = cv2.connectedComponents(above.astype(np.uint8), connectivity=4)
    parts = np.asarray(found, np.int32)
    size = np.bincount(parts.ravel(), minlength=count)
    sure = np.bincount(parts[scores > thresholds.sure], minlength=len(size))
    counts = (sure > 0) & (sure >= np.minimum(preset.sure_part * size, preset.sure_px))
    counts[0] = False
    mask: Bool = counts[parts]
    return remove_small_objects(mask, preset.min_px) if preset.min_px > 1 else mask
