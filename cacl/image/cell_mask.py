"""Cell area: tissue with nuclei, cytoplasm or fibres, without background, ink and debris.

Pure functions on uint8 RGB arrays of shape (3, y, x) at about 1 um/px. Densities are decadic
optical densities (OD).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from cacl.image.stain import (
    Bool,
    Float32,
    UInt8,
    deconvolution_matrix,
    mean_density,
    optical_density,
    separate_with_residual,
)
from cacl.stain.vectors import REFERENCE, StainVectors

# Empty glass.
BACKGROUND_PERCENTILE = 99.0
BACKGROUND_SPREAD_OD = 0.03
MIN_BACKGROUND_LEVEL = 200.0
# The median of the glass beside a core is 0.002 to 0.012 denser than its brightest percentile, that
# of pale tissue in an image without glass 0.018 to 0.021.
DIM_LEVEL, MAX_GLASS_RISE_OD = 220.0, 0.015

# Tissue. Faint fibres are 0.04 to 0.06 denser than the background; the noise of the background,
# at about 1 um/px, is 0.003.
FAINT_OD = 0.03
# Nuclei raise the mean density of any tissue above this; mucus and smears stay below it.
TISSUE_OD = 0.08
TISSUE_BLUR_PX = 4.0
TISSUE_DILATION_PX = 7
MIN_LOCAL_FRACTION = 0.45
LOCAL_BLUR_PX = 3.0

# Debris. The smallest cross-section of a villus is four times as large as MAX_DEBRIS_PX.
MIN_CELL_PX = 40
MAX_DEBRIS_PX = 1000
DEBRIS_DAB_TO_HEMATOXYLIN = 1.5

# Coloured ink.
INK_OD = 0.2
MIN_INK_FRACTION = 0.25
INK_DILATION_PX = 3
INK_SEARCH_STEP = 4
# Black ink. Knots of folded tissue reach this density in all channels over 450 px, cells over
# 85 px.
BLACK_OD = 0.6
BLACK_BLUR_PX = 3.0
BLACK_LEVEL = 256 * 10**-BLACK_OD
BLACK_DILATION_PX = 6
MIN_BLACK_PX = 1500


def cell_mask(
    rgb: UInt8, background: float | None = None, vectors: StainVectors = REFERENCE
) -> Bool:
    """Return the cell area: tissue with nuclei, cytoplasm or fibres.

    Excluded are background, lumen, gaps between fibres, mucus and debris on the glass, ink, and
    clear vacuoles. Included are tissue folds (which `cacl.image.qc` flags), the tissue edge, and
    goblet cells with stained mucus: they are foreground, and no rule separates their brown from
    that of cytoplasm. The mask uses only the density and the directions of the two stains, not the
    hue that methods for H&E use. Strong DAB and a pale counterstain are therefore both tissue.

    Ink is detected if it is coloured, black or dark grey (`benchmarks/results/artefacts.md`). Grey
    ink below an optical density of `BLACK_OD` counts as tissue: its colour is a mixture of both
    stains, and its smoothness does not distinguish it from tissue out of focus. A rule for smooth
    grey regions removed more than a third of such tissue.

    Parameters
    ----------
    rgb
        (3, y, x) uint8 at about 1 um/px.
    background
        Mean optical density of the background; `background_od(rgb)` if None.
    vectors
        The stain vectors.

    Returns
    -------
    (y, x) bool. A pixel belongs to the cell area if it is denser than the background, has at least
    about half the density of the surrounding tissue (so that an edge lies half-way, in dark and in
    pale tissue), and lies close to tissue with the density of nuclei. Small components in which
    DAB outweighs haematoxylin are debris.
    """
    if background is None:
        background = background_od(rgb)
    density = mean_density(rgb) - np.float32(background)
    tissue = _dilate(_blur(density, TISSUE_BLUR_PX) > TISSUE_OD, TISSUE_DILATION_PX)
    dense = (density > FAINT_OD) & tissue
    cells = dense & (density > MIN_LOCAL_FRACTION * _local_density(density, dense))
    if _coloured_ink(rgb[:, ::INK_SEARCH_STEP, ::INK_SEARCH_STEP], vectors).any():
        ink = remove_small_objects(_coloured_ink(rgb, vectors), MIN_CELL_PX)
        cells &= ~_dilate(ink, INK_DILATION_PX)
    black = _black_ink(rgb)
    if black.any():
        cells &= ~_dilate(black, BLACK_DILATION_PX)
    return _remove_debris(cells, rgb, vectors)


def background_od(rgb: UInt8) -> float:
    """Return the mean optical density of the background (empty glass); 0 without background.

    It is the median of the pixels within `BACKGROUND_SPREAD_OD` of the brightest percentile. The
    brightest pixels alone are noise and are brighter than the background. Where they are dim and
    most of the pixels much denser, they are pale tissue: a field of view inside the tissue.
    """
    brightest = np.array([_bright_level(channel) for channel in rgb])
    if (brightest < MIN_BACKGROUND_LEVEL).any():
        brightest = np.where(brightest >= MIN_BACKGROUND_LEVEL, brightest, 255.0)
        return float(-np.log10((brightest + 1.0) / 256.0).mean())
    lowest_od = float(-np.log10((brightest + 1.0) / 256.0).mean())
    density = mean_density(rgb)
    median_od = float(np.median(density[density < lowest_od + BACKGROUND_SPREAD_OD]))
    is_dim = bool(brightest.min() < DIM_LEVEL)
    return 0.0 if is_dim and median_od > lowest_od + MAX_GLASS_RISE_OD else median_od


def remove_small_objects(mask: Bool, min_px: int) -> Bool:
    """Remove 8-connected components of fewer than `min_px` pixels from a (y, x) mask."""
    stats: Any
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=8
    )
    keep = stats[:, cv2.CC_STAT_AREA] >= min_px
    keep[0] = False
    kept: Bool = keep[labels] if count > 1 else np.zeros_like(mask)
    return kept


def _bright_level(channel: UInt8) -> float:
    """Return the `BACKGROUND_PERCENTILE` of the grey levels, from their histogram."""
    counts = np.bincount(channel.ravel(), minlength=256).cumsum()
    return float(np.searchsorted(counts, counts[-1] * BACKGROUND_PERCENTILE / 100.0))


def _coloured_ink(rgb: UInt8, vectors: StainVectors) -> Bool:
    """Return where no mixture of the two stains explains a large fraction of the density.

    Unexplained are the residual of the deconvolution and negative amounts of a stain. One pixel in
    a thousand of real cores reaches a fraction of 0.19; blue, green and red ink reach 0.28 to 0.5.
    """
    hematoxylin, dab, residual = separate_with_residual(rgb, vectors)
    unexplained = residual**2 + np.minimum(hematoxylin, 0.0) ** 2 + np.minimum(dab, 0.0) ** 2
    total = (optical_density(rgb) ** 2).sum(axis=0)
    ink: Bool = (unexplained > INK_OD**2) & (unexplained > MIN_INK_FRACTION**2 * total)
    return ink


def _black_ink(rgb: UInt8) -> Bool:
    """Return components of more than `MIN_BLACK_PX` that are dark in every channel.

    The colour of black and grey ink is a mixture of the two stains, as that of tissue folds. Area
    separates them: a pen draws lines of half a millimetre, and no tissue is as dark over such an
    area.
    """
    lightest: UInt8 = rgb.max(axis=0)
    sample = lightest[::INK_SEARCH_STEP, ::INK_SEARCH_STEP]
    if (sample < BLACK_LEVEL).sum() * INK_SEARCH_STEP**2 < MIN_BLACK_PX / 2:
        return np.zeros(lightest.shape, dtype=bool)
    return remove_small_objects(
        _blur(optical_density(lightest), BLACK_BLUR_PX) > BLACK_OD, MIN_BLACK_PX
    )


def _remove_debris(cells: Bool, rgb: UInt8, vectors: StainVectors) -> Bool:
    """Remove components below `MIN_CELL_PX`, and small ones with more DAB than haematoxylin."""
    stats: Any
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        cells.astype(np.uint8), connectivity=8
    )
    area = stats[:, cv2.CC_STAT_AREA]
    keep = area >= MIN_CELL_PX
    keep[0] = False
    small = keep & (area < MAX_DEBRIS_PX)
    if small.any():
        rows, columns = np.nonzero(small[labels])
        component = labels[rows, columns]
        stains = deconvolution_matrix(vectors)[:2] @ optical_density(rgb[:, rows, columns])
        hematoxylin, dab = (
            np.bincount(component, weights=density, minlength=count) for density in stains
        )
        is_debris = dab > DEBRIS_DAB_TO_HEMATOXYLIN * np.maximum(hematoxylin, 0.0)
        keep &= ~(small & is_debris)
    kept: Bool = keep[labels]
    return kept


def _local_density(density: Float32, dense: Bool) -> Float32:
    """Return the local harmonic mean over dense pixels: cytoplasm outweighs nuclei in it."""
    weight: Float32 = dense.astype(np.float32)
    inverse = np.asarray(weight / np.maximum(density, np.float32(FAINT_OD)), np.float32)
    total_weight, total_inverse = _blur(weight, LOCAL_BLUR_PX), _blur(inverse, LOCAL_BLUR_PX)
    return np.asarray(total_weight / np.maximum(total_inverse, np.float32(1e-6)), np.float32)


def _blur(values: Float32, sigma_px: float) -> Float32:
    blurred: Any = cv2.GaussianBlur(values, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.float32)


def _dilate(mask: Bool, radius_px: int) -> Bool:
    size = (2 * radius_px + 1, 2 * radius_px + 1)
    ellipse = np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, size), np.uint8)
    # OpenCV's ellipse differs between rows and columns; the union with its transpose does not.
    return np.asarray(cv2.dilate(mask.astype(np.uint8), ellipse | ellipse.T) > 0)
