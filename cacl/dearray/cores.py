"""Find the cores of a tissue microarray in the tissue mask of an overview."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import measure

from cacl.dearray.array import full_lines, number_points
from cacl.dearray.lattice import (
    MIN_CONTRAST,
    MIN_SPACING,
    core_radius,
    disc_contrast,
    disc_mean,
    find_peaks,
    find_steps,
    scaled,
)

Bool = NDArray[np.bool_]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

SPACING_PX = 56.0
"""Distance of neighbours in the picture in which cores are looked for."""

CANDIDATE_FRACTION = 0.35
"""Contrast of a disc that may be a core, over that of a usual core."""

MIN_TISSUE = 0.12
"""Fraction of the area of a core that has tissue where a core is."""

REACH = 0.36
"""How far a core may lie from its place, over the distance of neighbours."""

PULL = 0.25
"""Fraction of the tissue in the disc that a shift by the distance of neighbours is worth."""

NEARLY_BEST = 0.01
"""Fraction of tissue by which discs may differ whose mean centre is taken."""

PART_FRACTION = 0.12
"""Area of a part of a split core, over that of a core."""

CLOSING = 0.05
"""Width of gaps inside a core that are closed, over its diameter."""

SPLIT_EXTENT = 1.1
"""Diameter of the circle around the parts of a split core, over that of a core."""


class Status(StrEnum):
    """What is at a place of the array."""

    FOUND = "found"
    MISSING = "missing"
    SPLIT = "split"


@dataclass(frozen=True)
class FoundCore:
    """A place of the array.

    Parameters
    ----------
    row, col
        From 0, from the upper left.
    x, y, diameter
        Circle around the core, in pixels; around the place, if the core is missing.
    status
        What is there.
    """

    row: int
    col: int
    x: float
    y: float
    diameter: float
    status: Status


def find_cores(tissue: Bool) -> list[FoundCore]:
    """Return every place of the array, row by row; none if there is no array.

    Parameters
    ----------
    tissue
        (y, x), of a slide on which a core has a diameter of at least 10 px.

    Notes
    -----
    Discs that differ from the ring around them are candidates. Their neighbours give rows and
    columns; a place without a candidate is searched again, as its core may be a fragment.
    """
    steps = find_steps(tissue)
    if steps is None:
        return []
    factor = SPACING_PX / float(min(np.hypot(*step) for step in steps))
    fraction = scaled(tissue.astype(np.float32), factor)
    radius = core_radius(fraction, SPACING_PX)
    if radius is None:
        return []
    points = _candidates(fraction, radius)
    array = number_points(points, steps[0] * factor, steps[1] * factor) if len(points) else None
    if array is None:
        return []
    cores = _without_stray_lines(_look_at_places(fraction, array.places, radius))
    actual = np.array(fraction.shape[::-1]) / np.array(tissue.shape[::-1])
    return [
        FoundCore(
            core.row,
            core.col,
            float((core.x + 0.5) / actual[0]),
            float((core.y + 0.5) / actual[1]),
            core.diameter / factor,
            core.status,
        )
        for core in cores
    ]


def _candidates(fraction: Float32, radius: float) -> Float64:
    contrast = disc_contrast(fraction, radius)
    peaks = find_peaks(contrast, MIN_SPACING * SPACING_PX, MIN_CONTRAST)
    heights = contrast[peaks[:, 1], peaks[:, 0]]
    if not len(heights):
        return np.zeros((0, 2))
    usual = float(np.median(heights[: max(1, len(heights) // 2)]))
    return peaks[heights >= CANDIDATE_FRACTION * usual].astype(np.float64)


def _look_at_places(fraction: Float32, places: Float64, radius: float) -> list[FoundCore]:
    """Return what is at each place; tissue belongs to the nearest place."""
    cols = places.shape[1]
    flat = places.reshape(-1, 2)
    owner = _owners(fraction.shape, flat)
    centres = flat.copy()
    for _ in range(2):
        for number, place in enumerate(flat):
            centres[number] = _centre(fraction, owner == number, place, radius)
        owner = _owners(fraction.shape, centres)
    area = np.pi * radius**2
    found = []
    for number, (x, y) in enumerate(centres):
        window = _window(fraction.shape, centres[number], 2 * radius)
        own = np.where(owner[window] == number, fraction[window], 0)
        row, col = divmod(number, cols)
        if float(own.sum()) < MIN_TISSUE * area:
            x, y = flat[number]
            found.append(FoundCore(row, col, x, y, 2 * radius, Status.MISSING))
            continue
        extent = _split_extent(own > 0.5, radius)
        if extent is None:
            found.append(FoundCore(row, col, x, y, 2 * radius, Status.FOUND))
        else:
            left, top, diameter = extent
            offset = (window[1].start, window[0].start)
            found.append(
                FoundCore(row, col, left + offset[0], top + offset[1], diameter, Status.SPLIT)
            )
    return found


def _without_stray_lines(cores: list[FoundCore]) -> list[FoundCore]:
    """Return the places without rows and columns at the border that have no cores, or very few."""
    for axis in ("row", "col"):
        present = [getattr(core, axis) for core in cores if core.status is not Status.MISSING]
        if not present:
            return []
        first, last = full_lines(np.bincount(present))
        cores = [
            replace(core, **{axis: getattr(core, axis) - first})
            for core in cores
            if first <= getattr(core, axis) <= last
        ]
    return cores


def _owners(shape: tuple[int, int], centres: Float64) -> Int64:
    """Return the number of the nearest centre for each pixel (y, x)."""
    seeds = np.ones(shape, np.uint8)
    x = np.clip(np.rint(centres[:, 0]), 0, shape[1] - 1).astype(np.int64)
    y = np.clip(np.rint(centres[:, 1]), 0, shape[0] - 1).astype(np.int64)
    seeds[y, x] = 0
    nearest = cv2.distanceTransformWithLabels(
        seeds, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )[1]
    numbers = np.zeros(int(nearest.max()) + 1, np.int64)
    numbers[nearest[y, x]] = np.arange(len(centres))
    return np.asarray(numbers[nearest], np.int64)


def _window(shape: tuple[int, int], centre: Float64, reach: float) -> tuple[slice, slice]:
    x, y = centre
    return (
        slice(max(0, int(y - reach)), min(shape[0], int(y + reach) + 2)),
        slice(max(0, int(x - reach)), min(shape[1], int(x + reach) + 2)),
    )


def _centre(fraction: Float32, own: Bool, place: Float64, radius: float) -> Float64:
    """Return the centre of the disc with most of the place's own tissue, near the place."""
    window = _window(own.shape, place, REACH * SPACING_PX + 2 * radius)
    tissue = np.where(own[window], fraction[window], 0).astype(np.float32)
    if not tissue.any():
        return place
    gain = disc_mean(tissue, radius)
    y, x = np.arange(gain.shape[0])[:, None], np.arange(gain.shape[1])
    apart = np.hypot(x + window[1].start - place[0], y + window[0].start - place[1]) / SPACING_PX
    gain = gain - np.where(apart > REACH, np.inf, PULL * gain.max() * apart**2)
    near_y, near_x = np.nonzero(gain >= gain.max() - NEARLY_BEST)
    return np.array([near_x.mean() + window[1].start, near_y.mean() + window[0].start])


def _split_extent(tissue: Bool, radius: float) -> tuple[float, float, float] | None:
    """Return the circle (x, y, diameter) around the parts of a split core; None for a whole one."""
    width = max(1, round(CLOSING * 2 * radius))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    closed = cv2.morphologyEx(np.pad(tissue, width).astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    labels = measure.label(closed[width:-width, width:-width], connectivity=2)
    parts = [
        part
        for part in measure.regionprops(labels)
        if part.area >= PART_FRACTION * np.pi * radius**2
    ]
    if len(parts) < 2:
        return None
    points = np.concatenate([part.coords for part in parts])[:, ::-1].astype(np.float32)
    centre, reach = cv2.minEnclosingCircle(points)
    x, y = np.asarray(centre, np.float64).tolist()
    if 2 * reach < SPLIT_EXTENT * 2 * radius:
        return None
    return x, y, 2 * float(reach)
