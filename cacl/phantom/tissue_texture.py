"""Give the stains of a core the texture of real tissue, each structure its own."""

from __future__ import annotations

import numpy as np

from cacl.phantom.fields import Float32, enlarge
from cacl.phantom.stain_maps import StainMaps
from cacl.phantom.texture import FIELD_PX, texture_fields

STRIPE_PX = 256
MIN_FACTOR = np.float32(0.1)


def apply_texture(
    rng: np.random.Generator, maps: StainMaps, hematoxylin: Float32, dab: Float32
) -> None:
    """Multiply the densities by 1 plus the texture of the structure that they belong to.

    The counterstain has the textures of stroma, cytoplasm of the epithelium and nuclei; DAB those
    of stained cytoplasm and stained nuclei, and in brush border and mucus, which have no grains,
    that of nuclei as well.

    Parameters
    ----------
    rng
        Random generator of the core.
    maps
        Maps of the core, in work pixels.
    hematoxylin, dab
        Densities (core_px, core_px) in source pixels of 0.4 um, changed in place.
    """
    size = dab.shape[0]
    fields = texture_fields(rng)
    nucleus = np.minimum(2.0 * maps.any_nucleus, 1.0).astype(np.float32)
    in_nucleus = enlarge(nucleus, size)
    in_epithelium = enlarge(maps.epithelium.astype(np.float32), size)
    without_grains = enlarge(np.maximum(nucleus, maps.without_grains), size)
    columns = np.arange(size) % FIELD_PX
    for top in range(0, size, STRIPE_PX):
        rows = slice(top, min(top + STRIPE_PX, size))
        at = np.ix_(np.arange(rows.start, rows.stop) % FIELD_PX, columns)
        here = {name: field[at] for name, field in fields.items()}
        counterstain = _mix(here["stroma"], here["cytoplasm"], in_epithelium[rows])
        counterstain = _mix(counterstain, here["nucleus"], in_nucleus[rows])
        stain = _mix(here["stained cytoplasm"], here["stained nucleus"], without_grains[rows])
        hematoxylin[rows] *= np.maximum(1.0 + counterstain, MIN_FACTOR)
        dab[rows] *= np.maximum(1.0 + stain, MIN_FACTOR)


def _mix(first: Float32, second: Float32, weight: Float32) -> Float32:
    mixed: Float32 = first + weight * (second - first)
    return mixed
