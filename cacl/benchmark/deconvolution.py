"""The baseline: stain wherever colour deconvolution finds DAB above a threshold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_otsu

from cacl import stain

FIXED_OD = 0.25
THRESHOLDS_OD = tuple(round(0.05 * step, 2) for step in range(1, 31))

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]


def dab_density(rgb: NDArray[np.uint8]) -> Float32:
    """Return the density of DAB (y, x) in OD of an image (3, y, x)."""
    return stain.unmix(rgb)[1]


def otsu_od(density: Float32, cell: Bool) -> float:
    """Return Otsu's threshold over an image's cells; the fixed one where there are none."""
    inside = density[cell]
    if inside.size == 0 or float(inside.min()) == float(inside.max()):
        return FIXED_OD
    otsu: Any = threshold_otsu
    return float(otsu(inside))


def best(score: Callable[[float], float], thresholds: Iterable[float] = THRESHOLDS_OD) -> float:
    """Return the threshold of the highest score, the lowest such threshold if several are."""
    return max(thresholds, key=lambda threshold: (score(threshold), -threshold))
