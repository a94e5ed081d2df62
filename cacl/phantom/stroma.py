"""Lamina propria, muscle layer and submucosa: loose cells on fibres, with gaps."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from cacl.phantom.anatomy import MUSCLE_UM, Anatomy, Mask
from cacl.phantom.canvas import Canvas
from cacl.phantom.fields import Float32, blur, enlarge, ramp, smooth_noise, within
from cacl.phantom.stamps import NUCLEUS_TONE, stamp

SHOWN_IN_PROPRIA, SHOWN_IN_MUSCLE, SHOWN_DEEP = 0.92, 0.6, 0.3


def paint_stroma(rng: np.random.Generator, canvas: Canvas, anatomy: Anatomy, stroma: Mask) -> None:
    """Paint the connective tissue onto the canvas, where `stroma` is."""
    px, staining, strengths = canvas.px, canvas.staining, canvas.setting.strengths
    size = canvas.size
    pitch = canvas.setting.geometry.stroma_pitch_um * px
    steps = int(size / pitch) + 1
    grid = np.stack(np.meshgrid(np.arange(steps), np.arange(steps)), axis=-1).reshape(-1, 2)
    spots = (pitch * (grid + rng.uniform(-0.48, 0.48, grid.shape) + 0.5)).clip(0, size - 1)
    x, y = spots.astype(np.int64).T
    below = anatomy.below[y, x] - np.float32(anatomy.crypt_zone)
    in_muscle = (below > 0) & (below < MUSCLE_UM * px)
    share = np.where(below < 0, SHOWN_IN_PROPRIA, SHOWN_DEEP)
    share = np.where(in_muscle, SHOWN_IN_MUSCLE, share)
    keep = stroma[y, x] & (rng.random(len(spots)) < share)
    spots, in_muscle, deep = spots[keep], in_muscle[keep], (below > 0)[keep]
    count = len(spots)

    long = rng.uniform(2.3, 3.8, count) * np.where(deep, 1.4, 1.0) * px
    wide = long / np.where(deep, rng.uniform(1.8, 3.2, count), rng.uniform(1.0, 1.7, count))
    turn = np.where(
        in_muscle,
        anatomy.angle + np.pi / 2 + rng.normal(0.0, 0.15, count),
        rng.uniform(0, 7, count),
    )
    tone = rng.normal(0.85, 0.22, count).clip(0.35, 1.3)
    stained = np.where(rng.random(count) < staining.stroma_share, tone, 0.0)
    bodies, brown_bodies, nuclei = (np.zeros((size, size), np.float32) for _ in range(3))
    outer = (1.55 * long, 1.75 * wide)
    stamp(rng, bodies, spots, outer, turn, np.ones(count), ragged=0.14)
    stamp(rng, brown_bodies, spots, outer, turn, stained, ragged=0.14)
    stamp(rng, nuclei, spots, (long, wide), turn, tone)
    stamp(rng, nuclei, spots, (0.65 * long, 0.6 * wide), turn, 0.78 * tone)

    pixels = np.flatnonzero(stroma)
    fine, middle = canvas.fine.ravel()[pixels], canvas.middle.ravel()[pixels]
    nucleus = blur(nuclei, 0.7).ravel()[pixels]
    body = blur(bodies, 0.8).ravel()[pixels]
    brown_body = blur(brown_bodies, 0.8).ravel()[pixels]
    clear = 1.0 - np.minimum(2.0 * nucleus, 1.0)
    muscle = _between(
        anatomy.below.ravel()[pixels] - np.float32(anatomy.crypt_zone), MUSCLE_UM * px
    )
    loose = smooth_noise(rng, size, 30.0 * px).ravel()[pixels]
    strand = _strands(rng, canvas, anatomy.angle).ravel()[pixels]
    hole = smooth_noise(rng, size, 5.5 * px).ravel()[pixels] - 0.45 * strand + 0.5 * loose
    gap = ramp(hole, 0.75, 1.05) * (1.0 - body) * (1.0 - muscle)
    fibre = within(rng, strengths.cytoplasm_h_od) * (1.0 + 0.35 * strand + 0.15 * fine)
    blue = 0.8 * fibre.clip(0.0) * (1.0 + 0.5 * muscle) * (1.0 - gap) + 0.04 * body * clear
    blue += within(rng, strengths.nucleus_h_od) * nucleus * (1.0 + 0.16 * fine)
    brown = staining.background_od * (1.0 - gap) * (1.0 + 0.4 * strand)
    brown += staining.stroma_od * brown_body * (0.3 + 0.7 * clear) * (1.0 + 0.2 * middle)
    brown += staining.nuclei_od * nucleus
    canvas.hematoxylin.ravel()[pixels] = blue
    canvas.dab.ravel()[pixels] = brown
    canvas.cell.ravel()[pixels] = gap < 0.5
    if staining.nuclei_od > 0:
        canvas.nuclei.ravel()[pixels] = nucleus > NUCLEUS_TONE


def _between(below: Float32, thick: float) -> Float32:
    """Return 1 within a layer of that thickness, with soft faces."""
    return ramp(below, 0.0, 0.2 * thick) * (1.0 - ramp(below, 0.8 * thick, thick))


def _strands(rng: np.random.Generator, canvas: Canvas, angle: float) -> Float32:
    """Return noise drawn out across the villi's direction, deviation about 1."""
    size = canvas.size
    coarse = rng.standard_normal(
        (int(size / (2.0 * canvas.px)), int(size / (22.0 * canvas.px)) + 4)
    )
    flat = enlarge(coarse.astype(np.float32), size, cv2.INTER_CUBIC)
    turn = cv2.getRotationMatrix2D((size / 2, size / 2), -np.degrees(angle) + 90.0, 1.0)
    sway = canvas.broad * np.float32(9.0 * canvas.px)
    turned = cv2.warpAffine(flat, turn, (size, size), borderMode=cv2.BORDER_REFLECT)
    axis = np.arange(size, dtype=np.float32)
    strands: Any = cv2.remap(
        turned, axis + sway, axis[:, None] + sway, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(strands, np.float32)
