"""Where an overview of a slide shows tissue: darker than the background, however tinted that is."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cacl.image.stain import optical_density

UInt8 = NDArray[np.uint8]
Bool = NDArray[np.bool_]
Float32 = NDArray[np.float32]

FILL = 255
"""Level that scanners and OpenSlide give to what was not scanned."""

MIN_BACKGROUND_FRACTION = 0.06
"""Fraction of the overview that flat pixels of one level must have to be the background."""

LEVEL_WIDTH = 4
FLAT_PERCENTILE = 40.0
BRIGHT_FRACTION = 0.6
MIN_DENSITY = 0.035
NOISE_FACTOR = 5.0
SMOOTHING_PX = 1.2


def tissue_mask(overview: UInt8) -> Bool:
    """Return where there is tissue.

    Parameters
    ----------
    overview
        uint8 RGB (y, x, 3).

    Returns
    -------
    Mask (y, x): pixels whose optical density exceeds that of the background in some channel by
    `MIN_DENSITY`, and by `NOISE_FACTOR` standard deviations of the background's.
    """
    smooth = np.asarray(cv2.GaussianBlur(overview, (0, 0), SMOOTHING_PX), np.uint8)
    flat = _flat(smooth)
    background = _background(smooth, flat)
    density = optical_density(np.ascontiguousarray(smooth.transpose(2, 0, 1)))
    base = optical_density(background.astype(np.uint8)[:, None, None])
    excess: Float32 = (density - base).max(axis=0)
    empty = np.abs(excess[flat & (np.abs(excess) < MIN_DENSITY)])
    noise = 1.4826 * float(np.median(empty)) if empty.size else 0.0
    mask: Bool = excess > max(MIN_DENSITY, NOISE_FACTOR * noise)
    return mask


def _flat(rgb: UInt8) -> Bool:
    """Return the pixels whose surroundings vary least in brightness."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mean = cv2.blur(grey, (7, 7))
    variance = np.maximum(cv2.blur(grey * grey, (7, 7)) - mean * mean, 0)
    flat: Bool = variance <= np.percentile(variance, FLAT_PERCENTILE)
    return flat


def _background(rgb: UInt8, flat: Bool) -> NDArray[np.float64]:
    """Return the level (3,) of the background: of the most frequent brightness of flat pixels.

    What was not scanned is filled with white, which is brighter than glass: it is the background
    only if no other level is frequent.
    """
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    levels = grey[flat & (grey >= BRIGHT_FRACTION * np.percentile(grey, 99))] // LEVEL_WIDTH
    counts = np.bincount(levels.ravel(), minlength=FILL // LEVEL_WIDTH + 1)
    glass = counts[:-1]
    is_glass = glass.max() >= MIN_BACKGROUND_FRACTION * grey.size
    level = int(glass.argmax()) if is_glass else int(counts.argmax())
    near = flat & (np.abs(grey.astype(np.int16) // LEVEL_WIDTH - level) <= 1)
    if is_glass:
        near &= grey < FILL
    return np.asarray(np.median(rgb[near], axis=0), np.float64)
