"""Stain physics: optical density, haematoxylin and DAB, tissue and cell masks.

Pure functions on uint8 RGB arrays of shape (3, y, x). Optical density is decadic:
`-log10(I / I0)` with I0 = white.
"""

from __future__ import annotations

import functools
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

# Faint fibres have 0.04 to 0.06 over the glass; its noise, at about 1 um/px, 0.003.
FAINT_OD = 0.03
# Nuclei lift the mean of any tissue above this; mucus and smears on the glass stay below it.
TISSUE_OD = 0.08
TISSUE_BLUR_PX = 4.0
TISSUE_REACH_PX = 7
HALF = 0.45
LOCAL_BLUR_PX = 3.0
MIN_CELL_PX = 40
# The smallest cross-section of a villus is four times as large.
MAX_DEBRIS_PX = 1000
DEBRIS_DAB_TO_HEMATOXYLIN = 1.5
INK_OD = 0.2
INK_SHARE = 0.25
INK_REACH_PX = 3
INK_STEP = 4
# Knots of folded tissue reach this density in all channels over 450 px, cells over 85 px.
BLACK_OD = 0.6
BLACK_BLUR_PX = 3.0
BLACK_LEVEL = 256 * 10**-BLACK_OD
BLACK_REACH_PX = 6
MIN_BLACK_PX = 1500
GLASS_PERCENTILE = 99.0
GLASS_SPREAD_OD = 0.03
DARKEST_GLASS = 200.0


def optical_density(rgb: UInt8) -> Float32:
    """Return the optical density of each channel.

    Parameters
    ----------
    rgb
        uint8, (3, y, x) or any other shape.

    Returns
    -------
    float32 of that shape, 0 for white and 2.41 for black.
    """
    levels = -np.log10((np.arange(256, dtype=np.float64) + 1.0) / 256.0)
    density: Float32 = levels.astype(np.float32)[rgb]
    return density


def mean_density(rgb: UInt8) -> Float32:
    """Return the optical density of (3, y, x) uint8, averaged over the channels: (y, x)."""
    levels = (-np.log10((np.arange(256, dtype=np.float64) + 1.0) / 256.0) / 3.0).astype(np.float32)
    red, green, blue = rgb
    density: Float32 = levels[red] + levels[green] + levels[blue]
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
    hematoxylin, dab = (_density_of(stain, rgb) for stain in _to_stains()[:2])
    return hematoxylin, dab


def dab_density(rgb: UInt8) -> Float32:
    """Return the second of what `unmix` returns: the optical density of DAB, (y, x)."""
    return _density_of(_to_stains()[1], rgb)


def _density_of(stain: Float32, rgb: UInt8) -> Float32:
    """Return one stain's density (y, x), of which each channel's level adds its part."""
    levels = optical_density(np.arange(256, dtype=np.uint8))
    red, green, blue = (
        np.asarray(cv2.LUT(np.ascontiguousarray(channel), part * levels), np.float32)
        for channel, part in zip(rgb, stain, strict=True)
    )
    red += green
    red += blue
    return red


@functools.cache
def _to_stains() -> Float32:
    """Return the matrix (3, 3) from densities of R, G, B to haematoxylin, DAB and neither."""
    hematoxylin = np.array(HEMATOXYLIN_OD) / np.linalg.norm(HEMATOXYLIN_OD)
    dab = np.array(DAB_OD) / np.linalg.norm(DAB_OD)
    rest = np.cross(hematoxylin, dab)
    vectors = np.stack([hematoxylin, dab, rest / np.linalg.norm(rest)])
    to_stains: Float32 = np.linalg.inv(vectors).T.astype(np.float32)
    to_stains.setflags(write=False)
    return to_stains


def dab_mask(rgb: UInt8, threshold: float = DAB_THRESHOLD_OD) -> Bool:
    """Return where the DAB density exceeds `threshold` (OD), as (y, x) bool."""
    mask: Bool = dab_density(rgb) > threshold
    return mask


def cell_mask(rgb: UInt8, glass_od: float | None = None) -> Bool:
    """Return the cell area: tissue with nuclei, cytoplasm or fibres.

    Left out are glass, lumen, gaps between fibres, mucus and debris on the glass, ink, and vacuoles
    that are clear. Kept are folds (which `qc` flags), the core's rim, and goblet cells whose mucus
    is stained: they are foreground, and no rule tells their brown from that of cytoplasm. Only
    density and the two stains' directions are used, never the hue that models for H&E look for, so
    that strong DAB and a pale counterstain are both tissue.

    Ink is found if it is coloured, or black or dark grey (`benchmarks/results/artefacts.md`). Grey
    ink below an optical density of `BLACK_OD` is taken for tissue: its colour is a mixture of both
    stains, and that it is smooth does not tell it from tissue out of focus, of which a rule for
    smooth grey removed a third and more.

    Parameters
    ----------
    rgb
        (3, y, x) uint8 at about 1 um/px.
    glass_od
        Mean optical density of empty glass; measured on `rgb` itself if None.

    Returns
    -------
    (y, x) bool. A pixel belongs to it if it is denser than the glass, is at least about half as
    dense as the tissue around it (so that an edge lies half-way, in dark and in pale tissue), and
    tissue as dense as nuclei make it is within reach. Small pieces in which DAB outweighs
    haematoxylin are debris.
    """
    glass = background_od(rgb) if glass_od is None else glass_od
    density = mean_density(rgb) - np.float32(glass)
    tissue = _widened(_blurred(density, TISSUE_BLUR_PX) > TISSUE_OD, TISSUE_REACH_PX)
    dense = (density > FAINT_OD) & tissue
    cells = dense & (density > HALF * _local_density(density, dense))
    if _is_ink(rgb[:, ::INK_STEP, ::INK_STEP]).any():
        cells &= ~_widened(remove_small_objects(_is_ink(rgb), MIN_CELL_PX), INK_REACH_PX)
    black = _black_ink(rgb)
    if black.any():
        cells &= ~_widened(black, BLACK_REACH_PX)
    return _without_debris(cells, rgb)


def _is_ink(rgb: UInt8) -> Bool:
    """Return where a good part of the density is not explained by any amount of the two stains.

    Unexplained is the third vector's share and what would have to be negative of a stain. Real
    cores reach 0.19 of the density in one pixel of a thousand; blue, green and red ink 0.28 to 0.5.
    """
    hematoxylin, dab, rest = (_density_of(stain, rgb) for stain in _to_stains())
    unexplained = rest**2 + np.minimum(hematoxylin, 0.0) ** 2 + np.minimum(dab, 0.0) ** 2
    total = (optical_density(rgb) ** 2).sum(axis=0)
    ink: Bool = (unexplained > INK_OD**2) & (unexplained > INK_SHARE**2 * total)
    return ink


def _black_ink(rgb: UInt8) -> Bool:
    """Return what is dark in every channel over more than `MIN_BLACK_PX`: black or grey ink.

    Its colour is a mixture of the two stains, as that of folds, but no tissue is as dark over as
    wide an area: a pen draws lines of half a millimetre.
    """
    lightest: UInt8 = rgb.max(axis=0)
    if (lightest[::INK_STEP, ::INK_STEP] < BLACK_LEVEL).sum() * INK_STEP**2 < MIN_BLACK_PX / 2:
        return np.zeros(lightest.shape, dtype=bool)
    return remove_small_objects(
        _blurred(optical_density(lightest), BLACK_BLUR_PX) > BLACK_OD, MIN_BLACK_PX
    )


def _blurred(values: Float32, sigma_px: float) -> Float32:
    soft: Any = cv2.GaussianBlur(values, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(soft, np.float32)


def _widened(mask: Bool, reach_px: int) -> Bool:
    size = (2 * reach_px + 1, 2 * reach_px + 1)
    ellipse = np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, size), np.uint8)
    # OpenCV's is not the same in rows and columns.
    return np.asarray(cv2.dilate(mask.astype(np.uint8), ellipse | ellipse.T) > 0)


def _local_density(density: Float32, dense: Bool) -> Float32:
    """Return the harmonic mean of the dense pixels around: that of cytoplasm, not of nuclei."""
    weight: Float32 = dense.astype(np.float32)
    inverse = np.asarray(weight / np.maximum(density, np.float32(FAINT_OD)), np.float32)
    amount, summed = _blurred(weight, LOCAL_BLUR_PX), _blurred(inverse, LOCAL_BLUR_PX)
    return np.asarray(amount / np.maximum(summed, np.float32(1e-6)), np.float32)


def _without_debris(cells: Bool, rgb: UInt8) -> Bool:
    """Remove specks, and pieces too small for tissue that are more DAB than haematoxylin."""
    stats: Any
    count, parts, stats, _ = cv2.connectedComponentsWithStats(
        cells.astype(np.uint8), connectivity=8
    )
    size = stats[:, cv2.CC_STAT_AREA]
    keep = size >= MIN_CELL_PX
    keep[0] = False
    small = keep & (size < MAX_DEBRIS_PX)
    if small.any():
        rows, columns = np.nonzero(small[parts])
        of = parts[rows, columns]
        blue, brown = _to_stains()[:2] @ optical_density(rgb[:, rows, columns])
        blues, browns = (np.bincount(of, weights=stain, minlength=count) for stain in (blue, brown))
        keep &= ~(small & (browns > DEBRIS_DAB_TO_HEMATOXYLIN * np.maximum(blues, 0.0)))
    kept: Bool = keep[parts]
    return kept


def background_od(rgb: UInt8) -> float:
    """Return the mean optical density of empty glass; 0 where the image shows none.

    The median of what is within `GLASS_SPREAD_OD` of the brightest percentile: the brightest
    pixels alone are the noise's, and lie above the glass.
    """
    brightest = np.array([_percentile(channel) for channel in rgb])
    if (brightest < DARKEST_GLASS).any():
        brightest = np.where(brightest >= DARKEST_GLASS, brightest, 255.0)
        return float(-np.log10((brightest + 1.0) / 256.0).mean())
    least = float(-np.log10((brightest + 1.0) / 256.0).mean())
    density = mean_density(rgb)
    return float(np.median(density[density < least + GLASS_SPREAD_OD]))


def remove_small_objects(mask: Bool, min_px: int) -> Bool:
    """Remove 8-connected parts of fewer than `min_px` pixels from a (y, x) mask."""
    stats: Any
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= min_px
    keep[0] = False
    kept: Bool = keep[parts] if count > 1 else np.zeros_like(mask)
    return kept


def _percentile(channel: UInt8) -> float:
    """Return the level below which `GLASS_PERCENTILE` of the pixels are, from their histogram."""
    counts = np.bincount(channel.ravel(), minlength=256).cumsum()
    return float(np.searchsorted(counts, counts[-1] * GLASS_PERCENTILE / 100.0))
