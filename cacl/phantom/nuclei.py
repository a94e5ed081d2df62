"""Nuclei: which of them an antibody stains, and how they are drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cacl.phantom.ellipses import draw_ellipses
from cacl.phantom.fields import Float32

Float64 = NDArray[np.float64]

VARIATION = 0.22  # of the DAB density between stained nuclei, as the s.d. of its logarithm
HEMATOXYLIN_UNDER_DAB = 0.5  # what remains of the counterstain in a stained nucleus
SEPARATION = 1.16  # half axes of the pale rim of a nucleus in a dense row, in those of the nucleus
MIDDLE = 0.65, 0.6, 0.78


@dataclass(frozen=True, eq=False)
class Nuclei:
    """Nuclei as ellipses, (n,) each, with relative densities of haematoxylin; work pixels."""

    centres: Float64  # (n, 2) as x, y
    half_axes: tuple[Float64, Float64]
    angle: Float64  # of the first axis, in radians
    level: Float64


def draw_nuclei(
    rng: np.random.Generator,
    target: Float32,
    nuclei: Nuclei,
    middle: tuple[float, float, float] = MIDDLE,
) -> None:
    """Draw nuclei that an antibody of nuclei stains alike, on a map (y, x, 2) of both stains.

    `middle` are the half axes and the density of the paler middle, relative to the nucleus.
    """
    levels = np.stack([nuclei.level, nuclei.level], axis=1)
    long, wide = nuclei.half_axes
    draw_ellipses(rng, target, nuclei.centres, (long, wide), nuclei.angle, levels)
    inner = (middle[0] * long, middle[1] * wide)
    draw_ellipses(rng, target, nuclei.centres, inner, nuclei.angle, middle[2] * levels)


def draw_dense_nuclei(
    rng: np.random.Generator, target: Float32, nuclei: Nuclei, fraction: float
) -> None:
    """Draw nuclei close together, each with a pale rim, of which a fraction is stained.

    Parameters
    ----------
    rng
        Random generator of the core.
    target
        Map (y, x, 2) of haematoxylin and DAB, changed in place.
    nuclei
        What to draw; a later nucleus covers earlier ones.
    fraction
        Fraction of stained nuclei, 0 to 1.
    """
    count = nuclei.level.size
    is_stained = rng.random(count) < fraction
    density = nuclei.level * np.exp(rng.normal(0.0, VARIATION, count))
    hematoxylin = nuclei.level * np.where(is_stained, HEMATOXYLIN_UNDER_DAB, 1.0)
    levels = np.stack([hematoxylin, np.where(is_stained, density, 0.0)], axis=1)
    # Rim, nucleus and its paler middle, one nucleus after the other.
    scales = np.array([[SEPARATION, SEPARATION, 0.0], [1.0, 1.0, 1.0], MIDDLE])
    long, wide = (
        np.outer(axis, scale).ravel()
        for axis, scale in zip(nuclei.half_axes, scales[:, :2].T, strict=True)
    )
    values = (scales[:, 2, None] * levels[:, None, :]).reshape(-1, 2)
    centres, angle = np.repeat(nuclei.centres, 3, axis=0), np.repeat(nuclei.angle, 3)
    draw_ellipses(rng, target, centres, (long, wide), angle, values)
