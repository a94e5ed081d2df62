"""Connective tissue: lamina propria, muscle layer and submucosa, with cells, fibres and gaps."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from cacl.phantom.anatomy import MUSCLE_UM, Anatomy, Mask
from cacl.phantom.ellipses import NUCLEUS_THRESHOLD, draw_ellipses
from cacl.phantom.fields import Float32, blur, enlarge, ramp, smooth_noise, within
from cacl.phantom.stain_maps import StainMaps

# Fraction of the grid positions with a cell, by layer.
CELLS_IN_PROPRIA, CELLS_IN_MUSCLE, CELLS_IN_SUBMUCOSA = 0.92, 0.6, 0.3


def render_stroma(
    rng: np.random.Generator, maps: StainMaps, anatomy: Anatomy, stroma: Mask
) -> None:
    """Render the connective tissue inside the mask `stroma`."""
    px, staining, densities = maps.px, maps.staining, maps.setting.densities
    size = maps.size
    pitch = maps.setting.geometry.stroma_pitch_um * px
    steps = int(size / pitch) + 1
    grid = np.stack(np.meshgrid(np.arange(steps), np.arange(steps)), axis=-1).reshape(-1, 2)
    centres = (pitch * (grid + rng.uniform(-0.48, 0.48, grid.shape) + 0.5)).clip(0, size - 1)
    x, y = centres.astype(np.int64).T
    below = anatomy.below[y, x] - np.float32(anatomy.crypt_zone)
    in_muscle = (below > 0) & (below < MUSCLE_UM * px)
    probability = np.where(below < 0, CELLS_IN_PROPRIA, CELLS_IN_SUBMUCOSA)
    probability = np.where(in_muscle, CELLS_IN_MUSCLE, probability)
    keep = stroma[y, x] & (rng.random(len(centres)) < probability)
    centres, in_muscle, is_deep = centres[keep], in_muscle[keep], (below > 0)[keep]
    count = len(centres)

    long = rng.uniform(2.3, 3.8, count) * np.where(is_deep, 1.4, 1.0) * px
    wide = long / np.where(is_deep, rng.uniform(1.8, 3.2, count), rng.uniform(1.0, 1.7, count))
    angle = np.where(
        in_muscle,
        anatomy.angle + np.pi / 2 + rng.normal(0.0, 0.15, count),
        rng.uniform(0, 7, count),
    )
    level = rng.normal(0.85, 0.22, count).clip(0.35, 1.3)
    stained_level = np.where(rng.random(count) < staining.stroma_fraction, level, 0.0)
    bodies, stained_bodies, nuclei = (np.zeros((size, size), np.float32) for _ in range(3))
    outer = (1.55 * long, 1.75 * wide)
    draw_ellipses(rng, bodies, centres, outer, angle, np.ones(count), roughness=0.14)
    draw_ellipses(rng, stained_bodies, centres, outer, angle, stained_level, roughness=0.14)
    draw_ellipses(rng, nuclei, centres, (long, wide), angle, level)
    draw_ellipses(rng, nuclei, centres, (0.65 * long, 0.6 * wide), angle, 0.78 * level)

    pixels = np.flatnonzero(stroma)
    fine, middle = maps.fine.ravel()[pixels], maps.middle.ravel()[pixels]
    nucleus = blur(nuclei, 0.7).ravel()[pixels]
    body = blur(bodies, 0.8).ravel()[pixels]
    stained_body = blur(stained_bodies, 0.8).ravel()[pixels]
    outside_nucleus = 1.0 - np.minimum(2.0 * nucleus, 1.0)
    muscle = _layer(anatomy.below.ravel()[pixels] - np.float32(anatomy.crypt_zone), MUSCLE_UM * px)
    looseness = smooth_noise(rng, size, 30.0 * px).ravel()[pixels]
    strand = _strands(rng, maps, anatomy.angle).ravel()[pixels]
    gap_level = smooth_noise(rng, size, 5.5 * px).ravel()[pixels] - 0.45 * strand + 0.5 * looseness
    gap = ramp(gap_level, 0.75, 1.05) * (1.0 - body) * (1.0 - muscle)
    fibre = within(rng, densities.cytoplasm_h_od) * (1.0 + 0.35 * strand + 0.15 * fine)
    hematoxylin = 0.8 * fibre.clip(0.0) * (1.0 + 0.5 * muscle) * (1.0 - gap)
    hematoxylin = hematoxylin + 0.04 * body * outside_nucleus
    hematoxylin += within(rng, densities.nucleus_h_od) * nucleus * (1.0 + 0.16 * fine)
    dab = staining.background_od * (1.0 - gap) * (1.0 + 0.4 * strand)
    dab += staining.stroma_od * stained_body * (0.3 + 0.7 * outside_nucleus) * (1.0 + 0.2 * middle)
    dab += staining.nuclei_od * nucleus
    maps.hematoxylin.ravel()[pixels] = hematoxylin
    maps.dab.ravel()[pixels] = dab
    maps.cell.ravel()[pixels] = gap < 0.5
    if staining.nuclei_od > 0:
        maps.nuclei.ravel()[pixels] = nucleus > NUCLEUS_THRESHOLD


def _layer(below: Float32, thickness: float) -> Float32:
    """Return 1 inside a layer of a thickness (work pixels) and 0 outside, with gradual limits."""
    return ramp(below, 0.0, 0.2 * thickness) * (1.0 - ramp(below, 0.8 * thickness, thickness))


def _strands(rng: np.random.Generator, maps: StainMaps, angle: float) -> Float32:
    """Return noise of standard deviation about 1, elongated across the villus direction."""
    size = maps.size
    coarse = rng.standard_normal((int(size / (2.0 * maps.px)), int(size / (22.0 * maps.px)) + 4))
    horizontal = enlarge(coarse.astype(np.float32), size, cv2.INTER_CUBIC)
    rotation = cv2.getRotationMatrix2D((size / 2, size / 2), -np.degrees(angle) + 90.0, 1.0)
    shift = maps.broad * np.float32(9.0 * maps.px)
    rotated = cv2.warpAffine(horizontal, rotation, (size, size), borderMode=cv2.BORDER_REFLECT)
    axis = np.arange(size, dtype=np.float32)
    strands: Any = cv2.remap(
        rotated,
        axis + shift,
        axis[:, None] + shift,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    return np.asarray(strands, np.float32)
