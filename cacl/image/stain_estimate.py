"""Estimate of the stain vectors from the colours of stained pixels, as QuPath makes it.

The optical densities lie near a plane, that of the two stains. Its axes are the two principal
components; the vectors are the extreme directions in it, without a small fraction of the pixels on
either side (Macenko et al., ISBI 2009; QuPath's "Estimate stain vectors", Bankhead et al., Sci Rep
2017).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cacl.errors import StainError
from cacl.image.stain import mean_density, unit_vectors
from cacl.stain.vectors import REFERENCE, StainVectors, angle

Float64 = NDArray[np.float64]
UInt8 = NDArray[np.uint8]

# QuPath's defaults: mean densities of the pixels that count, and the per cent of the angles that
# are left out on either side.
MIN_OD, MAX_OD = 0.05, 1.0
IGNORED_PERCENT = 1.0

MIN_PX = 20_000
"""Fewer stained pixels, about one tile, are too few."""

# Estimates of sets of images differ by 6 to 11 degrees from the reference; by 13 or more where pure
# DAB is scarce, so that the estimated one is mixed with haematoxylin, and by 39 with eosin. Those
# below the limit enclose 20 degrees or more (`benchmarks/results/stain_vectors.md`).
MAX_ANGLE_DEG, MIN_SEPARATION_DEG = 12.0, 10.0
REMEDY = "set stain.vectors to fixed, or to the vectors that you measured, such as in QuPath"


def stained_pixels(rgb: UInt8) -> UInt8:
    """Return the pixels of (3, y, x) whose density is that of stained tissue: (3, n) uint8."""
    density = mean_density(rgb)
    return rgb[:, (density > MIN_OD) & (density < MAX_OD)]


def extreme_directions(density: Float64) -> tuple[Float64, Float64]:
    """Return the directions of haematoxylin and of DAB in optical densities, (3,) of norm 1 each.

    Parameters
    ----------
    density
        (3, n) optical densities of R, G and B, of stained pixels.

    Notes
    -----
    Which is which follows from the similarity to the reference vectors.
    """
    _, axes = np.linalg.eigh(np.cov(density))
    plane = axes[:, [2, 1]]
    plane[:, 0] *= np.sign(plane[:, 0].sum())
    angles = np.arctan2(*(plane.T @ density)[::-1])
    ends = np.percentile(angles, [IGNORED_PERCENT, 100.0 - IGNORED_PERCENT])
    first, second = (plane @ np.stack([np.cos(ends), np.sin(ends)])).T
    hematoxylin, dab, _ = unit_vectors(REFERENCE)
    swapped = (first - second) @ (hematoxylin - dab) < 0.0
    return (second, first) if swapped else (first, second)


def estimate_vectors(density: Float64) -> StainVectors:
    """Return the stain vectors of stained pixels.

    Parameters
    ----------
    density
        (3, n) optical densities of R, G and B, of stained pixels.

    Raises
    ------
    StainError
        There are fewer than `MIN_PX` pixels, or the directions are not those of two stains of
        which one is like haematoxylin and one like DAB.
    """
    count = density.shape[1]
    if count < MIN_PX:
        raise StainError(
            f"The stain vectors cannot be estimated: the images hold {count:,} stained pixels, "
            f"expected at least {MIN_PX:,}; {REMEDY}"
        )
    directions = (np.maximum(direction, 0.0) for direction in extreme_directions(density))
    hematoxylin, dab = (direction.tolist() for direction in directions)
    separation = angle(hematoxylin, dab)
    if separation < MIN_SEPARATION_DEG:
        raise StainError(
            f"The stain vectors cannot be estimated: the colours of the images spread over "
            f"{separation:.0f} degrees, expected at least {MIN_SEPARATION_DEG:.0f}, so there is "
            f"too little of one stain; {REMEDY}"
        )
    vectors = StainVectors.of(hematoxylin, dab)
    difference = vectors.difference(REFERENCE)
    if difference > MAX_ANGLE_DEG:
        raise StainError(
            f"The stain vectors cannot be estimated: those of the images, {vectors.describe()}, "
            f"differ by {difference:.0f} degrees from haematoxylin and DAB, expected at most "
            f"{MAX_ANGLE_DEG:.0f}, so there is too little of one stain, or another one; {REMEDY}"
        )
    return vectors


def residual_fraction(density: Float64, vectors: StainVectors) -> float:
    """Return how much of the density two vectors do not explain, 0 to 1.

    As `cacl.image.qc.residual_fraction`, over pixels (3, n).
    """
    residual = np.square(unit_vectors(vectors)[2] @ density).sum()
    return float(np.sqrt(residual / np.square(density).sum()))
