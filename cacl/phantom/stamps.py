"""Stamp many small, slightly irregular ellipses: nuclei, vacuoles, clumps."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from cacl.phantom.fields import Float32

CORNERS = 14
SUBPIXEL_BITS = 3
NUCLEUS_TONE = 0.4  # half of a usual nucleus's: where its truth ends


def stamp(
    rng: np.random.Generator,
    canvas: Float32,
    centres: NDArray[np.float64],
    half_axes: tuple[ArrayLike, ArrayLike],
    direction: ArrayLike,
    values: NDArray[np.float64],
    *,
    ragged: float = 0.08,
) -> None:
    """Fill ellipses on a (y, x) map, later ones over earlier ones.

    Parameters
    ----------
    rng
        For the outlines.
    canvas
        Changed in place.
    centres
        (n, 2) x and y, in pixels of the map.
    half_axes
        Along `direction` and across it, in pixels; numbers or (n,).
    direction
        Angle of the first axis, in radians; a number or (n,).
    values
        (n,) what to write.
    ragged
        Deviation of a corner's radius, as a share of it.
    """
    count = len(centres)
    corners = np.linspace(0.0, 2.0 * np.pi, CORNERS, endpoint=False)
    radii = 1.0 + ragged * rng.standard_normal((count, CORNERS))
    long = _column(half_axes[0], count) * radii * np.cos(corners)
    short = _column(half_axes[1], count) * radii * np.sin(corners)
    turn = _column(direction, count)
    x = centres[:, :1] + long * np.cos(turn) - short * np.sin(turn)
    y = centres[:, 1:] + long * np.sin(turn) + short * np.cos(turn)
    outlines = np.rint(np.stack([x, y], axis=-1) * 2**SUBPIXEL_BITS).astype(np.int32)
    for outline, value in zip(outlines, values.tolist(), strict=True):
        cv2.fillConvexPoly(canvas, outline, value, shift=SUBPIXEL_BITS)


def _column(values: ArrayLike, count: int) -> NDArray[np.float64]:
    return np.broadcast_to(np.asarray(values, np.float64), (count,))[:, None]
