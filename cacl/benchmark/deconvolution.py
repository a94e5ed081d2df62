"""Colour baselines: DAB density by colour deconvolution (Ruifrok & Johnston 2001)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_otsu

from cacl.benchmark.evaluation_set import EvaluationImage
from cacl.benchmark.method import Method
from cacl.image import stain

FIXED_THRESHOLD_OD = 0.25

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]


def deconvolution_methods() -> list[Method]:
    """Return colour deconvolution at a fixed, at Otsu's and at the oracle threshold."""
    return [
        Method(f"colour deconvolution, {FIXED_THRESHOLD_OD} OD", dab_density, FIXED_THRESHOLD_OD),
        Method("colour deconvolution, Otsu", _density_above_otsu, 0.0),
        Method("colour deconvolution", dab_density, None),
    ]


def dab_density(image: EvaluationImage) -> Float32:
    """Return the DAB density (y, x) of an image in OD."""
    vectors = image.store.meta(image.image_id).stain_vectors
    return stain.separate_stains(image.rgb, vectors)[1]


def otsu_threshold(density: Float32, cell: Bool) -> float:
    """Return Otsu's threshold in OD over the cells of an image.

    Parameters
    ----------
    density
        DAB density (y, x), OD.
    cell
        Cell mask (y, x).

    Returns
    -------
    The fixed threshold if there are no cells or all densities are equal.
    """
    densities = density[cell]
    if densities.size == 0 or float(densities.min()) == float(densities.max()):
        return FIXED_THRESHOLD_OD
    otsu: Any = threshold_otsu
    return float(otsu(densities))


def _density_above_otsu(image: EvaluationImage) -> Float32:
    density = dab_density(image)
    return density - np.float32(otsu_threshold(density, image.cell))
