"""Where DAB stands out from its surroundings: the edge of a stain without any mask.

A blurred or coarsely sampled band ends where what it absorbs has fallen half-way from its peak to
what surrounds it (full width at half maximum). Light that passes through a pixel's parts adds
up, optical density does not, so the half is taken of the share of light absorbed. Peak and
surroundings are read from the image itself, near each pixel.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cacl import stain

LEVELS = 200.0
BASE = 20.0
BACKGROUND_PX = 21
PEAK_PX = 9
MIN_RISE = 0.06


def stands_out(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where DAB is above the half-way line between its local background and peak.

    Parameters
    ----------
    rgb
        (3, y, x) uint8 at about 1 um/px.

    Returns
    -------
    (y, x) bool. The background is the median of a 21 px window, the peak the maximum of a 9 px
    window; a pixel must absorb at least 6 % more of the light than its background.
    """
    absorbed = 1.0 - np.power(10.0, -np.clip(stain.dab_density(rgb), 0.0, 3.0))
    levels = (absorbed * LEVELS + BASE).astype(np.uint8)
    background = cv2.medianBlur(levels, BACKGROUND_PX).astype(np.float32)
    peak = cv2.dilate(levels, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (PEAK_PX, PEAK_PX)))
    rise = np.maximum((peak - background) / 2, MIN_RISE * LEVELS)
    mask: NDArray[np.bool_] = levels - background >= rise
    return mask
