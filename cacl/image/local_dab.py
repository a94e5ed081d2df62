"""Local adaptive threshold of DAB: the edges of stained bands, without ground truth.

The edge of a blurred or coarsely sampled band is where its absorption has fallen half-way from the
peak to the background (full width at half maximum, FWHM). The light that passes through the parts
of a pixel adds up, optical densities do not, so the threshold applies to the fraction of light
absorbed. Peak and background are estimated near each pixel. A band that is hardly wider than the
blur appears wider than it is, so a blurred image is sharpened first.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from cacl.image import stain
from cacl.stain.vectors import REFERENCE, StainVectors

Float32 = NDArray[np.float32]

# Absorption is filtered as 8-bit levels: `LEVELS_OFFSET` leaves room for negative values.
LEVELS_SCALE, LEVELS_OFFSET = 200.0, 20.0
BACKGROUND_PX, OPENING_PX = 21, 9
PEAK_PX = 9
MIN_CONTRAST = 0.06
FWHM_LEVEL = 0.5
# The peak is the maximum of several noisy pixels, so half of it is above half of the true peak.
MASK_LEVEL = 0.45

# Blur of a perfect step for a gradient over 3 px; real cores at 1 um/px have 0.70 to 0.78.
SHARP_EDGE_SIGMA_PX = 0.85
SHARPENING_GAIN, MAX_SHARPENING = 5.0, 2.5
SHARPENING_SIGMA_PX = 1.5
REBLUR_SIGMA_PX = 1.0
STEEPEST_FRACTION = 0.005


def local_dab_mask(
    rgb: NDArray[np.uint8],
    edge_sigma_px: float,
    level: float = FWHM_LEVEL,
    vectors: StainVectors = REFERENCE,
) -> NDArray[np.bool_]:
    """Return a mask of the pixels where DAB exceeds a level between local background and peak.

    The background is the median of a 21 px window, or the opening with a disc of 9 px where that
    is higher: beside a band, the stain of the cells that carry it. The peak is the maximum of a
    disc of 9 px. A pixel must absorb at least 6 % more of the light than the background.

    Parameters
    ----------
    rgb
        (3, y, x) uint8 at about 1 um/px.
    edge_sigma_px
        Blur of the image; see `edge_blur_sigma`. Above `SHARP_EDGE_SIGMA_PX` the image is sharpened
        by an unsharp mask.
    level
        From 0 (background) to 1 (peak).
    vectors
        The stain vectors.

    Returns
    -------
    (y, x) bool.
    """
    absorbed = _sharpen(_absorption(rgb, vectors), edge_sigma_px)
    levels = (absorbed * LEVELS_SCALE + LEVELS_OFFSET).clip(0.0, 255.0).astype(np.uint8)
    opened = cv2.morphologyEx(levels, cv2.MORPH_OPEN, _disc(OPENING_PX))
    background = np.maximum(cv2.medianBlur(levels, BACKGROUND_PX), opened).astype(np.float32)
    peak = cv2.dilate(levels, _disc(PEAK_PX))
    min_contrast = np.maximum((peak - background) * level, MIN_CONTRAST * LEVELS_SCALE)
    mask: NDArray[np.bool_] = levels - background >= min_contrast
    return mask


def edge_blur_sigma(rgb: NDArray[np.uint8], vectors: StainVectors = REFERENCE) -> float:
    """Return the blur of the sharpest edges of DAB, as a Gaussian's standard deviation in px.

    Parameters
    ----------
    rgb
        (3, y, x) uint8.
    vectors
        The stain vectors.

    Returns
    -------
    The median over the steepest 0.5 % of the pixels; 0 for an image without edges.

    Notes
    -----
    A second blur of b reduces the slope of an edge of blur s by a factor of sqrt(s^2 + b^2) / s
    (Zhuo and Sim, Pattern Recognit 2011).
    """
    absorbed = _absorption(rgb, vectors)
    slope = _gradient_magnitude(absorbed)
    steepest = slope >= np.quantile(slope, 1.0 - STEEPEST_FRACTION)
    reblurred = np.asarray(cv2.GaussianBlur(absorbed, (0, 0), REBLUR_SIGMA_PX), np.float32)
    reblurred_slope = _gradient_magnitude(reblurred)[steepest]
    if not reblurred_slope.any():
        return 0.0
    ratio = np.median(slope[steepest] / np.maximum(reblurred_slope, np.float32(1e-6)))
    return REBLUR_SIGMA_PX / math.sqrt(max(float(ratio) ** 2 - 1.0, 1e-3))


def _absorption(rgb: NDArray[np.uint8], vectors: StainVectors) -> Float32:
    """Return the fraction of light, 0 to 1, that DAB absorbs: (y, x)."""
    density = np.clip(stain.dab_density(rgb, vectors), 0.0, 3.0)
    return np.asarray(1.0 - np.power(10.0, -density), np.float32)


def _sharpen(image: Float32, edge_sigma_px: float) -> Float32:
    """Return the image after an unsharp mask that grows with its blur."""
    strength = min(MAX_SHARPENING, SHARPENING_GAIN * (edge_sigma_px**2 - SHARP_EDGE_SIGMA_PX**2))
    if strength <= 0.0:
        return image
    blurred = np.asarray(cv2.GaussianBlur(image, (0, 0), SHARPENING_SIGMA_PX), np.float32)
    return np.asarray(image + np.float32(strength) * (image - blurred), np.float32)


def _gradient_magnitude(image: Float32) -> Float32:
    along_x, along_y = cv2.Sobel(image, cv2.CV_32F, 1, 0), cv2.Sobel(image, cv2.CV_32F, 0, 1)
    return np.asarray(cv2.magnitude(along_x, along_y), np.float32)


def _disc(diameter_px: int) -> NDArray[np.uint8]:
    size = (diameter_px, diameter_px)
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, size), np.uint8)
