"""Optical density and stain separation: haematoxylin and DAB by colour deconvolution.

Pure functions on uint8 RGB arrays of shape (3, y, x). Optical density (OD) is decadic:
`-log10(I / I0)`, where I0 is white. Functions that separate stains take the stain vectors; within
this package every call names those of the image (`tests/image/test_stain.py` checks it).
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from cacl.stain.vectors import DAB_OD, HEMATOXYLIN_OD, REFERENCE, StainVectors, Vector

__all__ = ["DAB_OD", "HEMATOXYLIN_OD", "REFERENCE", "StainVectors"]

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

DAB_THRESHOLD_OD = 0.25

# Pixels whose colour is that of DAB alone, for `dab_direction`.
PURE_DAB_OD, MAX_HEMATOXYLIN_TO_DAB = 0.4, 0.25
MIN_PURE_PX = 500


def optical_density(rgb: UInt8) -> Float32:
    """Return the optical density of each channel.

    Parameters
    ----------
    rgb
        uint8, (3, y, x) or any other shape.

    Returns
    -------
    float32 of the same shape, 0 for white and 2.41 for black.
    """
    od_of_level = -np.log10((np.arange(256, dtype=np.float64) + 1.0) / 256.0)
    density: Float32 = od_of_level.astype(np.float32)[rgb]
    return density


def mean_density(rgb: UInt8) -> Float32:
    """Return the optical density of (3, y, x) uint8, averaged over the channels: (y, x)."""
    od_of_level = -np.log10((np.arange(256, dtype=np.float64) + 1.0) / 256.0)
    third_of_od = (od_of_level / 3.0).astype(np.float32)
    red, green, blue = rgb
    density: Float32 = third_of_od[red] + third_of_od[green] + third_of_od[blue]
    return density


def unit_vectors(vectors: StainVectors = REFERENCE) -> Float64:
    """Return the vectors of haematoxylin, DAB and the residual, of norm 1: the rows of (3, 3)."""
    hematoxylin = np.array(vectors.hematoxylin) / np.linalg.norm(vectors.hematoxylin)
    dab = np.array(vectors.dab) / np.linalg.norm(vectors.dab)
    residual = np.cross(hematoxylin, dab)
    return np.stack([hematoxylin, dab, residual / np.linalg.norm(residual)])


@functools.lru_cache(maxsize=16)
def deconvolution_matrix(vectors: StainVectors = REFERENCE) -> Float32:
    """Return the matrix from optical densities of R, G, B to amounts of stain, (3, 3) float32.

    The rows are haematoxylin, DAB and the residual. The residual's vector is the cross product of
    the two stains' vectors (Ruifrok & Johnston 2001). The array is read-only.
    """
    matrix: Float32 = np.linalg.inv(unit_vectors(vectors)).T.astype(np.float32)
    matrix.setflags(write=False)
    return matrix


def separate_stains(rgb: UInt8, vectors: StainVectors = REFERENCE) -> tuple[Float32, Float32]:
    """Separate haematoxylin and DAB by colour deconvolution.

    Parameters
    ----------
    rgb
        (3, y, x) uint8.
    vectors
        The stain vectors.

    Returns
    -------
    hematoxylin, dab
        Optical density of each stain, (y, x) float32; negative where the colour lies outside the
        range of mixtures of the two stains.

    References
    ----------
    Ruifrok & Johnston, Anal Quant Cytol Histol 2001.
    """
    hematoxylin, dab = (_project(row, rgb) for row in deconvolution_matrix(vectors)[:2])
    return hematoxylin, dab


def separate_with_residual(
    rgb: UInt8, vectors: StainVectors = REFERENCE
) -> tuple[Float32, Float32, Float32]:
    """Return haematoxylin, DAB and the residual; see `separate_stains`, each (y, x) float32."""
    hematoxylin, dab, residual = (_project(row, rgb) for row in deconvolution_matrix(vectors))
    return hematoxylin, dab, residual


def dab_density(rgb: UInt8, vectors: StainVectors = REFERENCE) -> Float32:
    """Return the optical density of DAB alone, (y, x) float32; see `separate_stains`."""
    return _project(deconvolution_matrix(vectors)[1], rgb)


def dab_direction(pixels: UInt8, vectors: StainVectors = REFERENCE) -> Vector | None:
    """Return the direction of DAB in the optical densities of R, G and B, of norm 1.

    Parameters
    ----------
    pixels
        (3, n) uint8: pixels of cells.
    vectors
        The stain vectors that tell such pixels.

    Returns
    -------
    The median direction of the pixels with a DAB density above `PURE_DAB_OD` and little
    haematoxylin; None with fewer than `MIN_PURE_PX` of them.
    """
    if pixels.shape[1] < MIN_PURE_PX:
        return None
    hematoxylin, dab = (stain[0] for stain in separate_stains(pixels[:, None, :], vectors))
    pure = (dab > PURE_DAB_OD) & (hematoxylin < MAX_HEMATOXYLIN_TO_DAB * dab)
    if int(pure.sum()) < MIN_PURE_PX:
        return None
    densities = optical_density(pixels[:, pure])
    median = np.median(densities / np.linalg.norm(densities, axis=0), axis=1)
    red, green, blue = (median / np.linalg.norm(median)).tolist()
    return red, green, blue


def dab_mask(
    rgb: UInt8, threshold: float = DAB_THRESHOLD_OD, vectors: StainVectors = REFERENCE
) -> Bool:
    """Return where the DAB density exceeds `threshold` (OD), as (y, x) bool."""
    mask: Bool = dab_density(rgb, vectors) > threshold
    return mask


def _project(coefficients: Float32, rgb: UInt8) -> Float32:
    """Return the optical densities of (3, y, x) weighted by (3,) coefficients: (y, x).

    One table look-up per channel gives the weighted density of each grey level.
    """
    od_of_level = optical_density(np.arange(256, dtype=np.uint8))
    red, green, blue = (
        np.asarray(cv2.LUT(np.ascontiguousarray(channel), weight * od_of_level), np.float32)
        for channel, weight in zip(rgb, coefficients, strict=True)
    )
    red += green
    red += blue
    return red
