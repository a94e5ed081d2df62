"""Connective tissue: lamina propria, muscle layer and submucosa, with cells, fibres and gaps."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from cacl.phantom.anatomy import MUSCLE_UM, Anatomy, Mask
from cacl.phantom.ellipses import NUCLEUS_THRESHOLD, draw_ellipses
from cacl.phantom.fields import Float32, blur, enlarge, ramp, smooth_noise, within
from cacl.phantom.nuclei import draw_dense_nuclei, draw_nuclei
from cacl.phantom.stain_maps import StainMaps
from cacl.phantom.stroma_cells import packed_cells, scattered_cells

# Half axes of a cell, in those of its nucleus: of scattered and of packed cells.
BODY, PACKED_BODY = (1.55, 1.75), (1.2, 1.25)


def render_stroma(
    rng: np.random.Generator, maps: StainMaps, anatomy: Anatomy, stroma: Mask
) -> None:
    """Render the connective tissue inside the mask `stroma`."""
    px, staining, densities = maps.px, maps.staining, maps.setting.densities
    size, detail = maps.size, maps.setting.detail
    if detail:
        cells = packed_cells(rng, maps, anatomy, stroma, detail.stroma_pitch_um)
    else:
        cells = scattered_cells(rng, maps, anatomy, stroma)
    count, (long, wide) = cells.level.size, cells.half_axes
    stained_level = np.where(rng.random(count) < staining.stroma_fraction, cells.level, 0.0)
    bodies, stained_bodies = np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)
    nuclei = np.zeros((size, size, 2), np.float32)
    body = PACKED_BODY if detail else BODY
    outer = (body[0] * long, body[1] * wide)
    for target, values in ((bodies, np.ones(count)), (stained_bodies, stained_level)):
        draw_ellipses(rng, target, cells.centres, outer, cells.angle, values, roughness=0.14)
    if detail:
        draw_dense_nuclei(rng, nuclei, cells, staining.stroma_nuclei)
    else:
        draw_nuclei(rng, nuclei, cells)

    pixels = np.flatnonzero(stroma)
    fine, middle = maps.fine.ravel()[pixels], maps.middle.ravel()[pixels]
    nucleus, stained_nucleus = blur(nuclei, 0.7).reshape(-1, 2)[pixels].T
    body_level = blur(bodies, 0.8).ravel()[pixels]
    stained_body = blur(stained_bodies, 0.8).ravel()[pixels]
    any_nucleus = np.maximum(nucleus, stained_nucleus)
    outside_nucleus = 1.0 - np.minimum(2.0 * any_nucleus, 1.0)
    muscle = _layer(anatomy.below.ravel()[pixels] - np.float32(anatomy.crypt_zone), MUSCLE_UM * px)
    looseness = smooth_noise(rng, size, 30.0 * px).ravel()[pixels]
    strand = _strands(rng, maps, anatomy.angle).ravel()[pixels]
    gap_level = smooth_noise(rng, size, 5.5 * px).ravel()[pixels] - 0.45 * strand + 0.5 * looseness
    gap = ramp(gap_level, 0.75, 1.05) * (1.0 - body_level) * (1.0 - muscle)
    fibre = within(rng, densities.cytoplasm_h_od) * (1.0 + 0.35 * strand + 0.15 * fine)
    hematoxylin = 0.8 * fibre.clip(0.0) * (1.0 + 0.5 * muscle) * (1.0 - gap)
    hematoxylin = hematoxylin + 0.04 * body_level * outside_nucleus
    hematoxylin += within(rng, densities.nucleus_h_od) * nucleus * (1.0 + 0.16 * fine)
    dab = staining.background_od * (1.0 - gap) * (1.0 + 0.4 * strand)
    dab += staining.stroma_od * stained_body * (0.3 + 0.7 * outside_nucleus) * (1.0 + 0.2 * middle)
    dab += staining.nuclei_od * stained_nucleus
    maps.hematoxylin.ravel()[pixels] = hematoxylin
    maps.dab.ravel()[pixels] = dab
    maps.cell.ravel()[pixels] = gap < 0.5
    maps.any_nucleus.ravel()[pixels] = any_nucleus
    if staining.nuclei_od > 0:
        maps.nuclei.ravel()[pixels] = stained_nucleus > NUCLEUS_THRESHOLD


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
