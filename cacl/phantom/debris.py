"""Debris in the lumen and on the slide: mucus, brown clumps, dark specks."""

from __future__ import annotations

import numpy as np

from cacl.phantom.anatomy import Anatomy
from cacl.phantom.ellipses import draw_ellipses
from cacl.phantom.fields import blur, ramp
from cacl.phantom.stain_maps import StainMaps

CLUMPS = (3, 14)
PIECES = (8, 60)
SPECKS = (70, 260)
FULL_SIZE_PX = 1500


def render_debris(rng: np.random.Generator, maps: StainMaps, anatomy: Anatomy) -> None:
    """Render mucus and clumps outside the tissue, and specks anywhere."""
    px, size, staining = maps.px, maps.size, maps.staining
    no_tissue = ~(anatomy.solid & anatomy.tissue)
    mucus = ramp(maps.broad + 0.22 * maps.middle + 0.04 * maps.fine, 1.0, 2.4)
    mucus *= no_tissue & anatomy.near_tissue
    maps.hematoxylin[no_tissue] += (0.09 * mucus)[no_tissue]

    lumen = np.flatnonzero(no_tissue & anatomy.near_tissue)
    area_fraction = (size / FULL_SIZE_PX) ** 2
    clumps = np.zeros((size, size), np.float32)
    if lumen.size:
        for pixel in rng.choice(lumen, int(rng.integers(*CLUMPS) * area_fraction) + 1):
            pieces = int(rng.integers(*PIECES))
            spread = rng.uniform(4.0, 20.0) * px
            centres = np.array([pixel % size, pixel // size]) + rng.normal(0, spread, (pieces, 2))
            axes = rng.uniform(0.8, 4.5, (2, pieces)) * px
            values = rng.uniform(0.4, 1.2, pieces)
            angle = rng.uniform(0, 7, pieces)
            draw_ellipses(rng, clumps, centres, (axes[0], axes[1]), angle, values, roughness=0.25)
    clumps = blur(clumps, 0.8) * (1.0 + 0.2 * maps.middle) * no_tissue
    maps.dab[...] += np.float32(staining.debris_od) * clumps
    maps.hematoxylin[...] += np.float32(0.16) * clumps

    count = int(rng.integers(*SPECKS) * area_fraction) + 1
    specks = np.zeros((size, size), np.float32)
    axes = rng.gamma(2.0, 0.35, (2, count)).clip(0.4, 3.0) * px
    centres = rng.uniform(0, size, (count, 2))
    angle = rng.uniform(0, 7, count)
    values = rng.uniform(0.3, 1.1, count)
    draw_ellipses(rng, specks, centres, (axes[0], axes[1]), angle, values, roughness=0.2)
    maps.dab[...] += specks
    maps.hematoxylin[...] += np.float32(0.35) * specks
