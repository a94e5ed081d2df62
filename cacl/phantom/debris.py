"""What lies in the lumen and on the glass: mucus, brown clumps, dark specks."""

from __future__ import annotations

import numpy as np

from cacl.phantom.anatomy import Anatomy
from cacl.phantom.canvas import Canvas
from cacl.phantom.fields import blur, ramp
from cacl.phantom.stamps import stamp

CLUMPS = (3, 14)
PIECES = (8, 60)
SPECKS = (70, 260)
FULL_SIZE_PX = 1500


def paint_debris(rng: np.random.Generator, canvas: Canvas, anatomy: Anatomy) -> None:
    """Paint mucus and clumps where there is no tissue, and specks anywhere."""
    px, size, staining = canvas.px, canvas.size, canvas.staining
    away = ~(anatomy.solid & anatomy.tissue)
    mucus = ramp(canvas.broad + 0.22 * canvas.middle + 0.04 * canvas.fine, 1.0, 2.4)
    mucus *= away & anatomy.near_tissue
    canvas.hematoxylin[away] += (0.09 * mucus)[away]

    lumen = np.flatnonzero(away & anatomy.near_tissue)
    share = (size / FULL_SIZE_PX) ** 2
    clumps = np.zeros((size, size), np.float32)
    if lumen.size:
        for place in rng.choice(lumen, int(rng.integers(*CLUMPS) * share) + 1):
            pieces = int(rng.integers(*PIECES))
            spread = rng.uniform(4.0, 20.0) * px
            centres = np.array([place % size, place // size]) + rng.normal(0, spread, (pieces, 2))
            axes = rng.uniform(0.8, 4.5, (2, pieces)) * px
            values = rng.uniform(0.4, 1.2, pieces)
            turn = rng.uniform(0, 7, pieces)
            stamp(rng, clumps, centres, (axes[0], axes[1]), turn, values, ragged=0.25)
    clumps = blur(clumps, 0.8) * (1.0 + 0.2 * canvas.middle) * away
    canvas.dab[...] += np.float32(staining.debris_od) * clumps
    canvas.hematoxylin[...] += np.float32(0.16) * clumps

    count = int(rng.integers(*SPECKS) * share) + 1
    specks = np.zeros((size, size), np.float32)
    axes = rng.gamma(2.0, 0.35, (2, count)).clip(0.4, 3.0) * px
    places = rng.uniform(0, size, (count, 2))
    turn = rng.uniform(0, 7, count)
    stamp(rng, specks, places, (axes[0], axes[1]), turn, rng.uniform(0.3, 1.1, count), ragged=0.2)
    canvas.dab[...] += specks
    canvas.hematoxylin[...] += np.float32(0.35) * specks
