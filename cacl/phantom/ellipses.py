"""Draw many small, slightly irregular ellipses: nuclei, vacuoles, clumps."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from cacl.phantom.fields import Float32

CORNERS = 14
SUBPIXEL_BITS = 3
NUCLEUS_THRESHOLD = 0.4  # half the level of a typical nucleus: the limit of its ground truth


def draw_ellipses(
    rng: np.random.Generator,
    target: Float32,
    centres: NDArray[np.float64],
    half_axes: tuple[ArrayLike, ArrayLike],
    direction: ArrayLike,
    values: NDArray[np.float64],
    *,
    roughness: float = 0.08,
) -> None:
    """Fill ellipses on a map; a later ellipse overwrites an earlier one.

    Parameters
    ----------
    rng
        Random generator for the outlines.
    target
        Map (y, x) or (y, x, channel), changed in place.
    centres
        (n, 2) as x, y, in pixels of the map.
    half_axes
        Half axes along `direction` and across it, in pixels; scalars or (n,).
    direction
        Angle of the first axis, in radians; a scalar or (n,).
    values
        (n,) values of the ellipses, or (n, channels).
    roughness
        Standard deviation of the radius of a corner, as a fraction of the radius.
    """
    count = len(centres)
    corners = np.linspace(0.0, 2.0 * np.pi, CORNERS, endpoint=False)
    radii = 1.0 + roughness * rng.standard_normal((count, CORNERS))
    long = _column(half_axes[0], count) * radii * np.cos(corners)
    short = _column(half_axes[1], count) * radii * np.sin(corners)
    angle = _column(direction, count)
    x = centres[:, :1] + long * np.cos(angle) - short * np.sin(angle)
    y = centres[:, 1:] + long * np.sin(angle) + short * np.cos(angle)
    outlines = np.rint(np.stack([x, y], axis=-1) * 2**SUBPIXEL_BITS).astype(np.int32)
    for outline, value in zip(outlines, values.tolist(), strict=True):
        cv2.fillConvexPoly(target, outline, value, shift=SUBPIXEL_BITS)


def _column(values: ArrayLike, count: int) -> NDArray[np.float64]:
    return np.broadcast_to(np.asarray(values, np.float64), (count,))[:, None]
