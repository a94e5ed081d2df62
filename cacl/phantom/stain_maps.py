"""The maps of stain and ground truth that the renderers of a core write to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cacl.phantom.anatomy import DOWNSCALE, Mask
from cacl.phantom.fields import Float32, blur, smooth_noise
from cacl.phantom.settings import Setting
from cacl.phantom.staining import Staining


@dataclass(frozen=True, eq=False)
class StainMaps:
    """Maps (y, x) of one core in work pixels, changed in place, with setting and noise."""

    setting: Setting
    staining: Staining
    hematoxylin: Float32  # optical density
    dab: Float32  # optical density
    cell: Mask
    border: Mask
    cytoplasm: Mask
    nuclei: Mask
    any_nucleus: Float32  # stained with DAB or not: 0 to about 1
    epithelium: Mask
    without_grains: Float32  # brush border and mucus: 0 to 1
    fine: Float32  # noise of mean 0 and standard deviation 1, from fine to broad
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
    return 1.0 / (setting.geometry.mpp * DOWNSCALE)


def empty_maps(
    rng: np.random.Generator, setting: Setting, staining: Staining, size: int
) -> StainMaps:
    """Return maps without stain, with their noise; `size` in work pixels."""
    px = px_per_um(setting)
    shape = (size, size)
    white_noise = rng.standard_normal(shape, dtype=np.float32)
    return StainMaps(
        setting=setting,
        staining=staining,
        hematoxylin=np.zeros(shape, np.float32),
        dab=np.zeros(shape, np.float32),
        cell=np.zeros(shape, bool),
        border=np.zeros(shape, bool),
        cytoplasm=np.zeros(shape, bool),
        nuclei=np.zeros(shape, bool),
        any_nucleus=np.zeros(shape, np.float32),
        epithelium=np.zeros(shape, bool),
        without_grains=np.zeros(shape, np.float32),
        fine=blur(white_noise, 0.8) * np.float32(2.6),
        middle=smooth_noise(rng, size, 3.2 * px),
        broad=smooth_noise(rng, size, 90.0 * px),
    )
