"""The nuclei of columnar epithelium as a dense regular row near its base."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from cacl.phantom.anatomy import Anatomy
from cacl.phantom.fields import Float32, blur
from cacl.phantom.nuclei import Float64, Nuclei
from cacl.phantom.settings import NucleusRows


def nuclei_in_rows(
    rng: np.random.Generator, anatomy: Anatomy, height: Float32, rows: NucleusRows, px: float
) -> Nuclei:
    """Return nuclei at regular distances along the lines of equal relative depth.

    Parameters
    ----------
    rng
        Random generator of the core.
    anatomy
        Tissue of the core.
    height
        Height of the cells (y, x), in work pixels, on the solid tissue.
    rows
        Sizes and distances.
    px
        Work pixels per micrometre.
    """
    smooth = blur(anatomy.depth, 1.5)
    above = anatomy.solid & (smooth < np.float32(rows.depth) * height)
    points = _walk(rng, above | ~anatomy.solid, rows, px)
    x, y = np.rint(points).astype(np.int64).T
    keep = (anatomy.solid & anatomy.tissue)[y, x]
    points, x, y = points[keep], x[keep], y[keep]
    gradient: Any = (cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
    inward = np.stack([component[y, x] for component in gradient], axis=1).astype(np.float64)
    inward /= np.hypot(inward[:, 0], inward[:, 1])[:, None] + 1e-3
    count, cell = len(points), height[y, x].astype(np.float64)
    shift = rng.normal(0.0, rows.depth_sd, count) * cell
    return Nuclei(
        centres=points + shift[:, None] * inward,
        half_axes=(
            rng.uniform(*rows.half_length, count) * cell,
            rng.uniform(*rows.half_width_um, count) * px,
        ),
        angle=np.arctan2(inward[:, 1], inward[:, 0]) + rng.normal(0.0, 0.08, count),
        level=rng.normal(0.85, 0.16, count).clip(0.4, 1.2),
    )


def _walk(
    rng: np.random.Generator, region: np.ndarray[Any, Any], rows: NucleusRows, px: float
) -> Float64:
    """Return points (n, 2) as x, y along the outlines of a region, at the distances of a row."""
    outlines, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    found = [np.zeros((0, 2))]
    for outline in outlines:
        line = outline[:, 0, :].astype(np.float64)
        along = np.cumsum(np.hypot(*np.diff(line, axis=0, prepend=line[:1]).T))
        count = int(along[-1] / (rows.spacing_um[0] * px))
        at = np.cumsum(rng.uniform(*rows.spacing_um, count) * px)
        at = at[at < along[-1]]
        found.append(np.stack([np.interp(at, along, line[:, axis]) for axis in (0, 1)], axis=1))
    return np.concatenate(found)
