"""Where DAB stands out from its surroundings: the edge of a stain without any mask.

A blurred or coarsely sampled band ends where what it absorbs has fallen half-way from its peak to
what surrounds it (full width at half maximum). Light that passes through a pixel's parts adds
up, optical density does not, so the half is taken of the share of light absorbed. Peak and
surroundings are read from the image itself, near each pixel. A band that is hardly wider than the
blur looks wider than it is, so an image that is less sharp than others is sharpened first.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from cacl.image import stain

Float32 = NDArray[np.float32]

LEVELS = 200.0
BASE = 20.0
FIELD_PX, BAND_PX = 21, 9
PEAK_PX = 9
MIN_RISE = 0.06
FWHM_LEVEL = 0.5
# The peak is the highest of several noisy pixels: half-way to it is above half of the band.
MASK_LEVEL = 0.45

# A perfect step's, as the gradient looks over 3 px; real cores, at 1 um/px, have 0.70 to 0.78.
SHARP_PX = 0.85
STRENGTH, MOST_STRENGTH = 5.0, 2.5
SHARPEN_PX = 1.5
BLUR_PX = 1.0
EDGES = 0.005


def local_dab_mask(
    rgb: NDArray[np.uint8], softness_px: float, height: float = FWHM_LEVEL
) -> NDArray[np.bool_]:
    """Return where DAB is above a line between its local background and peak.

    Parameters
    ----------
    rgb
        (3, y, x) uint8 at about 1 um/px.
    softness_px
        Of the image; see `edge_blur_sigma`. Above `SHARP_PX`, it is sharpened by an unsharp mask.
    height
        Of the line, 0 to 1; half-way unless given.

    Returns
    -------
    (y, x) bool. The background is the median of a 21 px window, or the opening with a disc of 9 px
    where that is more: beside a band, the stain of the cells that it lies on. The peak is the
    maximum of a 9 px window. A pixel must absorb at least 6 % more of the light than the
    background.
    """
    absorbed = _sharpened(_absorbed(rgb), softness_px)
    levels = (absorbed * LEVELS + BASE).clip(0.0, 255.0).astype(np.uint8)
    opened = cv2.morphologyEx(levels, cv2.MORPH_OPEN, _disc(BAND_PX))
    background = np.maximum(cv2.medianBlur(levels, FIELD_PX), opened).astype(np.float32)
    peak = cv2.dilate(levels, _disc(PEAK_PX))
    rise = np.maximum((peak - background) * height, MIN_RISE * LEVELS)
    mask: NDArray[np.bool_] = levels - background >= rise
    return mask


def edge_blur_sigma(rgb: NDArray[np.uint8]) -> float:
    """Return how blurred the sharpest edges of DAB are, as a Gaussian's standard deviation in px.

    Parameters
    ----------
    rgb
        (3, y, x) uint8.

    Returns
    -------
    The median over the steepest 0.5 % of the pixels; 0 for an image without edges.

    Notes
    -----
    An edge blurred by s, and blurred again by b, is less steep by sqrt(s^2 + b^2) / s (Zhuo & Sim,
    Pattern Recognit 2011).
    """
    absorbed = _absorbed(rgb)
    before = _slope(absorbed)
    steepest = before >= np.quantile(before, 1.0 - EDGES)
    softer = np.asarray(cv2.GaussianBlur(absorbed, (0, 0), BLUR_PX), np.float32)
    after = _slope(softer)[steepest]
    if not after.any():
        return 0.0
    ratio = float(np.median(before[steepest] / np.maximum(after, np.float32(1e-6))))
    return BLUR_PX / math.sqrt(max(ratio**2 - 1.0, 1e-3))


def _absorbed(rgb: NDArray[np.uint8]) -> Float32:
    """Return the share of light, 0 to 1, that DAB absorbs: (y, x)."""
    return np.asarray(1.0 - np.power(10.0, -np.clip(stain.dab_density(rgb), 0.0, 3.0)), np.float32)


def _sharpened(image: Float32, softness_px: float) -> Float32:
    strength = min(MOST_STRENGTH, STRENGTH * (softness_px**2 - SHARP_PX**2))
    if strength <= 0.0:
        return image
    soft = np.asarray(cv2.GaussianBlur(image, (0, 0), SHARPEN_PX), np.float32)
    return np.asarray(image + np.float32(strength) * (image - soft), np.float32)


def _slope(image: Float32) -> Float32:
    """Return the length of the gradient."""
    across, down = cv2.Sobel(image, cv2.CV_32F, 1, 0), cv2.Sobel(image, cv2.CV_32F, 0, 1)
    return np.asarray(cv2.magnitude(across, down), np.float32)


def _disc(size_px: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size_px, size_px)), np.uint8)
