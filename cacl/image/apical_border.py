"""The apical border of an epithelium, found by classical image analysis, without a model.

Columnar epithelium faces empty glass (the lumen, or the outside of a villus), has pale apical
cytoplasm below its surface, and a row of nuclei below that. A tear in connective tissue and the
punched edge of a core have no such layers.

Pure functions on uint8 RGB arrays of shape (3, y, x) at about 1 um/px.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from cacl.image.cell_mask import background_od, remove_small_objects
from cacl.image.stain import Bool, Float32, UInt8, mean_density, separate_stains
from cacl.stain.vectors import REFERENCE, StainVectors

# Used where the pixel size of an image is unknown.
DEFAULT_MPP = 1.17

# Empty glass, wide enough to be no gap between two cells.
CLEAR_OD, CLEAR_BLUR_PX = 0.05, 1.0
CLEAR_RADIUS_UM, MIN_LUMEN_UM2, LUMEN_MARGIN_UM = 4.0, 600.0, 7.0
MIN_TISSUE_UM2 = 5000.0

# Layers of columnar epithelium, as distances from the lumen.
CYTOPLASM_UM, NUCLEI_UM = (2.0, 8.0), (9.0, 24.0)
LAYER_SIGMA_UM = 15.0
MIN_LAYER_CONTRAST = 0.2
MIN_TISSUE_FRACTION = 0.8
SURFACE_PX, MIN_STRETCH_UM = 2, 60.0


@dataclass(frozen=True, eq=False)
class ApicalBorder:
    """The apical border of an image.

    Parameters
    ----------
    lumen
        (y, x) bool: empty glass that tissue faces.
    surface
        (y, x) bool: tissue within `SURFACE_PX` of the lumen whose layers are those of columnar
        epithelium.
    mpp
        Side of a pixel in um.
    """

    lumen: Bool
    surface: Bool
    mpp: float

    @property
    def length_um(self) -> float:
        """Length of the border: its area over its width."""
        return float(self.surface.sum()) * self.mpp / SURFACE_PX


def apical_border(
    rgb: UInt8, cell: Bool, mpp: float | None, vectors: StainVectors = REFERENCE
) -> ApicalBorder:
    """Return the apical border of an image.

    Parameters
    ----------
    rgb
        (3, y, x) uint8.
    cell
        (y, x) bool: the cell area.
    mpp
        Side of a pixel in um; `DEFAULT_MPP` if None.
    vectors
        The stain vectors.

    Notes
    -----
    The haematoxylin of two layers, apical cytoplasm and nuclei, is averaged along the border over
    about 30 um. A surface is apical if the nuclei are denser than the cytoplasm by
    `MIN_LAYER_CONTRAST` of their own density, and if `MIN_TISSUE_FRACTION` of both layers is
    tissue. The limits were chosen on synthetic cores, on a real core of the appendix and on eight
    real images of colon, by eye and without a model.
    """
    mpp = mpp or DEFAULT_MPP
    lumen = _lumen(rgb, cell, mpp)
    tissue = remove_small_objects(cell, round(MIN_TISSUE_UM2 / mpp**2))
    depth_px = _distance(~lumen)
    hematoxylin = np.maximum(separate_stains(rgb, vectors)[0], np.float32(0.0))
    sigma_px = LAYER_SIGMA_UM / mpp

    def layer(limits: tuple[float, float]) -> Bool:
        inside: Bool = (depth_px > limits[0] / mpp) & (depth_px <= limits[1] / mpp)
        return inside

    cytoplasm = _mean_within(hematoxylin, tissue & layer(CYTOPLASM_UM), sigma_px)
    nuclei = _mean_within(hematoxylin, tissue & layer(NUCLEI_UM), sigma_px)
    filled = _mean_within(tissue.astype(np.float32), layer((0.0, NUCLEI_UM[1])), sigma_px)
    is_epithelium = (nuclei - cytoplasm > MIN_LAYER_CONTRAST * nuclei) & (
        filled > MIN_TISSUE_FRACTION
    )
    surface = tissue & (depth_px > 0) & (depth_px <= SURFACE_PX) & is_epithelium
    min_px = round(SURFACE_PX * MIN_STRETCH_UM / mpp)
    return ApicalBorder(lumen, remove_small_objects(surface, min_px), mpp)


def _lumen(rgb: UInt8, cell: Bool, mpp: float) -> Bool:
    """Return empty glass wider than a gap between cells, up to the tissue around it."""
    density = mean_density(rgb) - np.float32(background_od(rgb))
    clear = ~cell & (_blur(density, CLEAR_BLUR_PX) < CLEAR_OD)
    opened = cv2.morphologyEx(
        clear.astype(np.uint8), cv2.MORPH_OPEN, _disc(round(CLEAR_RADIUS_UM / mpp))
    )
    min_px = round(MIN_LUMEN_UM2 / mpp**2)
    wide = remove_small_objects(opened > 0, min_px)
    near = ~cell & (_distance(~wide) <= LUMEN_MARGIN_UM / mpp)
    return remove_small_objects(near, min_px)


def _mean_within(values: Float32, mask: Bool, sigma_px: float) -> Float32:
    """Return the mean of the values inside a mask, weighted by a Gaussian around each pixel."""
    weight = _blur(mask.astype(np.float32), sigma_px)
    return np.asarray(
        _blur(values * mask, sigma_px) / np.maximum(weight, np.float32(1e-3)), np.float32
    )


def _distance(mask: Bool) -> Float32:
    distance: Any = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    return np.asarray(distance, np.float32)


def _blur(values: Float32, sigma_px: float) -> Float32:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma_px), np.float32)


def _disc(radius_px: int) -> UInt8:
    size = 2 * max(1, radius_px) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)
