"""Baselines that know colour alone: DAB by colour deconvolution (Ruifrok & Johnston 2001)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_otsu

from cacl.benchmark.evaluation_set import Core
from cacl.benchmark.method import Method
from cacl.image import stain

FIXED_OD = 0.25

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]


def methods() -> list[Method]:
    """Return colour deconvolution at a fixed threshold, at Otsu's of each core, and at its best."""
    return [
        Method(f"colour deconvolution, {FIXED_OD} OD", dab_density, FIXED_OD),
        Method("colour deconvolution, Otsu", _above_otsu, 0.0),
        Method("colour deconvolution", dab_density, None),
    ]


def dab_density(core: Core) -> Float32:
    """Return the density of DAB (y, x) in OD."""
    return stain.separate_stains(core.rgb)[1]


def otsu_od(density: Float32, cell: Bool) -> float:
    """Return Otsu's threshold over a core's cells; the fixed one where there are none."""
    inside = density[cell]
    if inside.size == 0 or float(inside.min()) == float(inside.max()):
        return FIXED_OD
    otsu: Any = threshold_otsu
    return float(otsu(inside))


def _above_otsu(core: Core) -> Float32:
    density = dab_density(core)
    return density - np.float32(otsu_od(density, core.cell))
