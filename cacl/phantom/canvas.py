"""The maps that the painters of epithelium, stroma and debris work on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cacl.phantom.anatomy import SHRINK, Mask
from cacl.phantom.fields import Float32, blur, smooth_noise
from cacl.phantom.settings import Setting
from cacl.phantom.staining import Staining


@dataclass(frozen=True, eq=False)
class Canvas:
    """Maps (y, x) in work pixels, painted in place, with what every painter needs."""

    setting: Setting
    staining: Staining
    hematoxylin: Float32  # optical density
    dab: Float32  # optical density
    cell: Mask
    border: Mask
    cytoplasm: Mask
    nuclei: Mask
    fine: Float32  # noise of mean 0 and deviation 1, from fine to broad
    middle: Float32
    broad: Float32

    @property
    def px(self) -> float:
        """Work pixels per micrometre."""
        return px_per_um(self.setting)

    @property
    def size(self) -> int:
        """Height and width in work pixels."""
        return int(self.dab.shape[0])


def px_per_um(setting: Setting) -> float:
    """Return work pixels per micrometre."""
    return 1.0 / (setting.geometry.mpp * SHRINK)


def blank(rng: np.random.Generator, setting: Setting, staining: Staining, size: int) -> Canvas:
    """Return an empty canvas with its noise."""
    px = px_per_um(setting)
    shape = (size, size)
    grain = rng.standard_normal(shape, dtype=np.float32)
    return Canvas(
        setting=setting,
        staining=staining,
        hematoxylin=np.zeros(shape, np.float32),
        dab=np.zeros(shape, np.float32),
        cell=np.zeros(shape, bool),
        border=np.zeros(shape, bool),
        cytoplasm=np.zeros(shape, bool),
        nuclei=np.zeros(shape, bool),
        fine=blur(grain, 0.8) * np.float32(2.6),
        middle=smooth_noise(rng, size, 3.2 * px),
        broad=smooth_noise(rng, size, 90.0 * px),
    )
