"""Paint a DAB band of known place, width and optical density on an image, by Beer-Lambert's law.

Pure functions on uint8 RGB arrays of shape (3, y, x) at about 1 um/px.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np

from cacl.image.apical_border import SURFACE_PX, ApicalBorder
from cacl.image.local_dab import SHARP_EDGE_SIGMA_PX
from cacl.image.stain import Bool, Float32, UInt8
from cacl.stain.vectors import DAB_OD, Vector

SUBPIXELS = 4
BLOCK_PX, BLOCK_MARGIN_PX = 512, 32
LUMEN_BLUR_PX = 0.7
NOISE_UM = 40.0
# Pixels of which at least this fraction is painted belong to the ground truth.
TRUE_FRACTION = 0.5


def stretches(border: ApicalBorder, coverage: float, rng: np.random.Generator) -> Bool:
    """Return the part of the apical border that is painted, as uneven as a real brush border.

    Parameters
    ----------
    border
        The apical border.
    coverage
        Fraction of it, 0 to 1.
    rng
        Random generator.

    Returns
    -------
    (y, x) bool, inside `border.surface`.
    """
    height, width = border.surface.shape
    knots = [math.ceil(side * border.mpp / NOISE_UM) + 3 for side in (height, width)]
    coarse = rng.standard_normal(knots).astype(np.float32)
    noise: Any = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    if not border.surface.any():
        return border.surface
    threshold = np.quantile(noise[border.surface], 1.0 - coverage)
    painted: Bool = border.surface & (noise >= threshold)
    return painted


def band_fraction(
    border: ApicalBorder, painted: Bool, cell: Bool, width_um: float, edge_sigma_px: float
) -> Float32:
    """Return the fraction of each pixel's area that lies in the band, (y, x) float32, 0 to 1.

    Parameters
    ----------
    border
        The apical border.
    painted
        (y, x) bool: where the border is painted; see `stretches`.
    cell
        (y, x) bool: the cell area, to which the band is limited.
    width_um
        Width of the band, from the lumen inwards.
    edge_sigma_px
        Blur of the image, see `cacl.image.local_dab.edge_blur_sigma`. What exceeds that of a sharp
        edge blurs the band as well.

    Notes
    -----
    The distance from the lumen is computed on a grid of `SUBPIXELS` x `SUBPIXELS` points per pixel,
    because a brush border is hardly wider than a pixel.
    """
    fraction = np.zeros(painted.shape, np.float32)
    near = _nearest_is_painted(border, painted, width_um / border.mpp) & cell
    for top in range(0, painted.shape[0], BLOCK_PX):
        for left in range(0, painted.shape[1], BLOCK_PX):
            block = slice(top, top + BLOCK_PX), slice(left, left + BLOCK_PX)
            if near[block].any():
                _fill_block(fraction, border, near, width_um, (top, left))
    excess = edge_sigma_px**2 - SHARP_EDGE_SIGMA_PX**2
    if excess > 0.0:
        fraction = np.asarray(cv2.GaussianBlur(fraction, (0, 0), math.sqrt(excess)), np.float32)
    return fraction


def paint_dab(rgb: UInt8, fraction: Float32, density_od: float, vector: Vector = DAB_OD) -> UInt8:
    """Return an image whose pixels transmit less light, as under DAB of a given density.

    Parameters
    ----------
    rgb
        (3, y, x) uint8.
    fraction
        (y, x), 0 to 1: fraction of each pixel's area that is painted.
    density_od
        Optical density of DAB that is added in the painted area; 0 returns an equal image.
    vector
        Direction of DAB in the optical densities of R, G and B, of any norm.

    Notes
    -----
    The light of the parts of a pixel adds up, optical densities do not: a pixel transmits
    1 - f (1 - 10^-d) of its light. Texture, noise and blur of the image remain.
    """
    direction = np.array(vector) / np.linalg.norm(vector)
    absorbed = 1.0 - np.power(10.0, -density_od * direction)
    transmitted = 1.0 - absorbed.astype(np.float32)[:, None, None] * fraction
    painted: UInt8 = np.rint(rgb * transmitted).astype(np.uint8)
    return painted


def _nearest_is_painted(border: ApicalBorder, painted: Bool, width_px: float) -> Bool:
    """Return the pixels below the surface whose nearest pixel of the surface is painted."""
    distance: Any
    labels: Any
    distance, labels = cv2.distanceTransformWithLabels(
        (~border.surface).astype(np.uint8),
        cv2.DIST_L2,
        cv2.DIST_MASK_5,
        labelType=cv2.DIST_LABEL_PIXEL,
    )
    is_painted = np.zeros(int(labels.max()) + 1, bool)
    is_painted[labels[painted]] = True
    below: Bool = is_painted[labels] & (distance <= max(width_px - SURFACE_PX, 0.0) + 1.0)
    return below


def _fill_block(
    fraction: Float32, border: ApicalBorder, near: Bool, width_um: float, corner: tuple[int, int]
) -> None:
    """Fill one block of the map; the block is read with a margin around it."""
    height, width = fraction.shape
    top, left = (max(start - BLOCK_MARGIN_PX, 0) for start in corner)
    bottom = min(corner[0] + BLOCK_PX + BLOCK_MARGIN_PX, height)
    right = min(corner[1] + BLOCK_PX + BLOCK_MARGIN_PX, width)
    window = slice(top, bottom), slice(left, right)
    lumen = cv2.GaussianBlur(border.lumen[window].astype(np.float32), (0, 0), LUMEN_BLUR_PX)
    fine = ((right - left) * SUBPIXELS, (bottom - top) * SUBPIXELS)
    is_tissue = cv2.resize(lumen, fine, interpolation=cv2.INTER_LINEAR) < 0.5
    depth: Any = cv2.distanceTransform(is_tissue.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    is_near = cv2.resize(near[window].astype(np.uint8), fine, interpolation=cv2.INTER_NEAREST) > 0
    band = is_tissue & is_near & (depth - 0.5 <= width_um / border.mpp * SUBPIXELS)
    area: Any = cv2.resize(
        band.astype(np.float32), (right - left, bottom - top), interpolation=cv2.INTER_AREA
    )
    inner = (
        slice(corner[0] - top, corner[0] - top + BLOCK_PX),
        slice(corner[1] - left, corner[1] - left + BLOCK_PX),
    )
    target = slice(corner[0], corner[0] + BLOCK_PX), slice(corner[1], corner[1] + BLOCK_PX)
    fraction[target] = area[inner]
