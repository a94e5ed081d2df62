"""Render haematoxylin and DAB densities of one core, with the ground truth."""

from __future__ import annotations

import numpy as np

from cacl.phantom.anatomy import Anatomy
from cacl.phantom.debris import render_debris
from cacl.phantom.epithelium import render_epithelium
from cacl.phantom.fields import ramp, within
from cacl.phantom.settings import Setting
from cacl.phantom.stain_maps import StainMaps, empty_maps
from cacl.phantom.staining import Staining
from cacl.phantom.stroma import render_stroma

EDGE_UM = (6.0, 15.0)


def render(
    rng: np.random.Generator,
    anatomy: Anatomy,
    setting: Setting,
    staining: Staining,
    coverage: float,
) -> StainMaps:
    """Return the stain densities and the ground truth of one core.

    Parameters
    ----------
    rng
        Random generator of the core.
    anatomy
        Tissue of the core.
    setting
        Appearance of the phantom.
    staining
        Stains of the antibody.
    coverage
        Fraction of the villus surface with a stained brush border in a positive core, 0 to 1.

    Returns
    -------
    Densities, and masks of cells, stained brush border, stained cytoplasm of the epithelium, and
    stained nuclei of any cell.
    """
    maps = empty_maps(rng, setting, staining, anatomy.solid.shape[0])
    render_epithelium(rng, maps, anatomy, coverage)
    render_stroma(rng, maps, anatomy, anatomy.solid & ~maps.epithelium)
    unevenness = 1.0 + np.float32(0.08) * maps.broad
    width = within(rng, EDGE_UM) * maps.px
    edge_stain = (1.0 - ramp(anatomy.edge, 0.0, width)) * ramp(maps.broad + maps.middle, -0.8, 0.8)
    edge_stain *= anatomy.solid & maps.cell
    maps.dab[...] = maps.dab * unevenness + np.float32(staining.edge_od) * edge_stain
    maps.dab[...] *= anatomy.tissue
    maps.hematoxylin[...] *= unevenness * anatomy.tissue
    maps.cell[...] &= anatomy.tissue
    render_debris(rng, maps, anatomy)
    maps.border[...] &= maps.cell
    maps.cytoplasm[...] &= maps.cell & ~maps.border
    maps.nuclei[...] &= maps.cell & ~maps.border
    for density in (maps.hematoxylin, maps.dab):
        np.maximum(density, 0.0, out=density)
    return maps
