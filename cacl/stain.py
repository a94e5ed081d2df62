"""Stain physics: optical density, haematoxylin and DAB, tissue and cell masks.

Pure functions on uint8 RGB arrays of shape (3, y, x). Optical density is decadic:
`-log10(I / I0)` with I0 = white.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]

# Ruifrok & Johnston, Anal Quant Cytol Histol 2001; the H DAB vectors of Fiji and scikit-image.
HEMATOXYLIN_OD = (0.650, 0.704, 0.286)
DAB_OD = (0.268, 0.570, 0.776)

DAB_THRESHOLD_OD = 0.25
TISSUE_OD = 0.05
CELL_OD = 0.08
TISSUE_BLUR_PX = 4.0
CELL_BLUR_PX = 0.8
MIN_TISSUE_PX = 400
MIN_CELL_PX = 40
GLASS_PERCENTILE = 99.0
DARKEST_GLASS = 200.0


def optical_density(rgb: UInt8) -> Float32:
    """Return the optical density of each channel.

    Parameters
    ----------
    rgb
        (3, y, x) uint8.

    Returns
    -------
    (3, y, x) float32, 0 for white and 2.41 for black.
    """
    levels = -np.log10((np.arange(256, dtype=np.float64) + 1.0) / 256.0)
    density: Float32 = levels.astype(np.float32)[rgb]
    return density


def unmix(rgb: UInt8) -> tuple[Float32, Float32]:
    """Separate haematoxylin and DAB by colour deconvolution.

    Parameters
    ----------
    rgb
        (3, y, x) uint8.

    Returns
    -------
    Haematoxylin and DAB, each (y, x) float32 in optical density, negative where the colour is
    none of either.

    References
    ----------
    Ruifrok & Johnston 2001; the third vector is the cross product of the two.
    """
    hematoxylin = np.array(HEMATOXYLIN_OD) / np.linalg.norm(HEMATOXYLIN_OD)
    dab = np.array(DAB_OD) / np.linalg.norm(DAB_OD)
    rest = np.cross(hematoxylin, dab)
    vectors = np.stack([hematoxylin, dab, rest / np.linalg.norm(rest)])
    to_stains = np.linalg.inv(vectors).T.astype(np.float32)[:2]
    density = optical_density(rgb)
    stains = np.tensordot(to_stains, density, axes=1)
    return stains[0], stains[1]


def dab_mask(rgb: UInt8, threshold: float = DAB_THRESHOLD_OD) -> Bool:
    """Return where the DAB density exceeds `threshold` (OD), as (y, x) bool."""
    mask: Bool = unmix(rgb)[1] > threshold
    return mask


def cell_mask(rgb: UInt8, glass_od: float | None = None) -> Bool:
    """Return where there are cells or fibres: tissue without lumen, glass and mucus holes.

    Parameters
    ----------
    rgb
        (3, y, x) uint8 at about 1 um/px.
    glass_od
        Mean optical density of empty glass; measured on `rgb` itself if None.

    Returns
    -------
    (y, x) bool. A pixel belongs to it if it is denser than glass by itself and so is, on average,
    its surrounding; specks are dropped from both.
    """
    glass = glass_density(rgb) if glass_od is None else glass_od
    density = optical_density(rgb).mean(axis=0) - glass
    tissue = _dense(density, TISSUE_OD, TISSUE_BLUR_PX, MIN_TISSUE_PX)
    return _dense(density, CELL_OD, CELL_BLUR_PX, MIN_CELL_PX) & tissue


def _dense(density: Float32, threshold: float, blur_px: float, min_px: int) -> Bool:
    smooth = cv2.GaussianBlur(density, (0, 0), blur_px, borderType=cv2.BORDER_REPLICATE)
    return drop_specks(smooth > threshold, min_px)


def glass_density(rgb: UInt8) -> float:
    """Return the mean optical density of empty glass; 0 where the image shows none."""
    brightest = np.percentile(rgb.reshape(3, -1), GLASS_PERCENTILE, axis=1)
    glass = np.where(brightest >= DARKEST_GLASS, brightest, 255.0)
    return float(-np.log10((glass + 1.0) / 256.0).mean())


def drop_specks(mask: Bool, min_px: int) -> Bool:
    """Remove 8-connected parts of fewer than `min_px` pixels from a (y, x) mask."""
    stats: Any
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= min_px
    keep[0] = False
    kept: Bool = keep[parts] if count > 1 else np.zeros_like(mask)
    return kept
