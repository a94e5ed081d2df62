"""The nuclei of the connective tissue: scattered, or packed with spindle cells in streams."""

from __future__ import annotations

import numpy as np

from cacl.phantom.anatomy import MUSCLE_UM, Anatomy, Mask
from cacl.phantom.fields import Float32, ramp, smooth_noise
from cacl.phantom.nuclei import Float64, Nuclei
from cacl.phantom.stain_maps import StainMaps

# Fraction of the grid positions with a cell, by layer.
CELLS_IN_PROPRIA, CELLS_IN_MUSCLE, CELLS_IN_SUBMUCOSA = 0.92, 0.6, 0.3
# Same of the narrower grid of packed stroma; the propria's varies between loose and dense.
PACKED_IN_PROPRIA, PACKED_IN_MUSCLE, PACKED_IN_SUBMUCOSA = (0.5, 0.98), 0.4, 0.15


def scattered_cells(
    rng: np.random.Generator, maps: StainMaps, anatomy: Anatomy, stroma: Mask
) -> Nuclei:
    """Return nuclei on a jittered grid inside the mask `stroma`, of random directions."""
    px, size = maps.px, maps.size
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
    return Nuclei(centres, (long, wide), angle, _levels(rng, count))


def packed_cells(
    rng: np.random.Generator, maps: StainMaps, anatomy: Anatomy, stroma: Mask, pitch_um: float
) -> Nuclei:
    """Return nuclei that nearly touch, at a distance of `pitch_um` where the stroma is dense.

    Most are round. Spindle cells lie in streams, whose direction varies slowly about that of the
    villus axes.
    """
    px, size = maps.px, maps.size
    centres = _hexagonal_grid(rng, size, pitch_um * px)
    x, y = centres.astype(np.int64).T
    below = anatomy.below[y, x] - np.float32(anatomy.crypt_zone)
    in_muscle, is_deep = (below > 0) & (below < MUSCLE_UM * px), below > 0
    loose, dense = PACKED_IN_PROPRIA
    density: Float32 = ramp(smooth_noise(rng, size, 40.0 * px), -1.5, 0.3)[y, x]
    probability = loose + (dense - loose) * density
    probability = np.where(is_deep, PACKED_IN_SUBMUCOSA, probability)
    probability = np.where(in_muscle, PACKED_IN_MUSCLE, probability)
    keep = stroma[y, x] & (rng.random(len(centres)) < probability)
    stream = smooth_noise(rng, size, 26.0 * px)[y, x]
    direction = anatomy.angle + 0.7 * smooth_noise(rng, size, 80.0 * px)[y, x]
    direction = np.where(in_muscle, anatomy.angle + np.pi / 2, direction)[keep]
    is_spindle = (is_deep | (stream + rng.normal(0.0, 0.3, stream.size) > 0.6))[keep]
    centres = centres[keep]
    count = len(centres)

    long = np.where(is_spindle, rng.uniform(3.4, 5.2, count), rng.uniform(2.5, 3.3, count)) * px
    slenderness = np.where(is_spindle, rng.uniform(2.6, 4.2, count), rng.uniform(1.0, 1.4, count))
    angle = np.where(is_spindle, direction + rng.normal(0, 0.18, count), rng.uniform(0, 7, count))
    return Nuclei(centres, (long, long / slenderness), angle, _levels(rng, count))


def _levels(rng: np.random.Generator, count: int) -> Float64:
    return rng.normal(0.85, 0.22, count).clip(0.35, 1.3)


def _hexagonal_grid(rng: np.random.Generator, size: int, pitch: float) -> Float64:
    """Return the points (n, 2) of a jittered hexagonal grid as x, y, inside (size, size)."""
    rows, columns = int(size / (pitch * np.sqrt(0.75))) + 1, int(size / pitch) + 1
    row, column = np.mgrid[:rows, :columns].reshape(2, -1)
    points = np.stack([column + 0.5 * (row % 2), np.sqrt(0.75) * row], axis=1)
    points += rng.normal(0.0, 0.13, points.shape)
    return (pitch * points).clip(0, size - 1)
