"""Where DAB stands out from its surroundings: the edge of a stain without any mask.

A blurred band ends where its density has fallen half-way from its peak to what surrounds it
(full width at half maximum). Both are read from the image itself, near each pixel.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cacl import stain

LEVELS_PER_OD = 100.0
BACKGROUND_PX = 21
PEAK_PX = 9
MIN_CONTRAST_OD = 0.06


def stands_out(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where DAB is above the half-way line between its local background and peak.

    Parameters
    ----------
    rgb
        (3, y, x) uint8 at about 1 um/px.

    Returns
    -------
    (y, x) bool. The background is the median of a 21 px window, the peak the maximum of a 9 px
    window; the peak must exceed the background by at least 0.12 OD.
    """
    dab = stain.unmix(rgb)[1]
    levels = np.clip(dab * LEVELS_PER_OD + 20.0, 0, 255).astype(np.uint8)
    background = cv2.medianBlur(levels, BACKGROUND_PX)
    smooth = cv2.blur(levels, (2, 2))
    peak = cv2.dilate(smooth, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (PEAK_PX, PEAK_PX)))
    rise = np.maximum((peak.astype(np.float32) - background) / 2, MIN_CONTRAST_OD * LEVELS_PER_OD)
    mask: NDArray[np.bool_] = levels.astype(np.float32) - background >= rise
    return mask
