"""Number the cores of an array: rows and columns of points that lie on a grid, roughly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]

NEIGHBOUR_TOLERANCE = 0.33
"""Distance of a neighbour from where the steps lead, over a step."""

NEW_LINE = 0.5
"""Distance from the mean of a row from which a point is of the next one, over a step."""

EMPTY_LINE = 1.75
"""Distance of two rows from which rows without any core lie between them, over a step. A wider gap
between blocks of an array is narrower than that."""

MIN_LINE_FRACTION = 0.25
"""A row at the border needs this fraction of the cores of a usual row: others are no row."""

SHRINKAGE = 2.0
"""Number of cores at the expected place that a row's own shift is weighed against."""

ROUNDS = 4


@dataclass(frozen=True, eq=False)
class Array:
    """A grid of places.

    Parameters
    ----------
    places
        (rows, cols, 2), x and y of every place.
    index
        (n,) number of the place, row by row, of each point; -1 for a point outside the array.
    """

    places: Float64
    index: Int64


def number_points(points: Float64, right: Float64, down: Float64) -> Array | None:
    """Return the grid of an array; None if fewer than two points are neighbours.

    Rows and columns may be tilted, bent a little, and have wider gaps between blocks.

    Parameters
    ----------
    points
        (n, 2), x and y of the cores.
    right, down
        Steps (x, y) between neighbours.
    """
    fitted = _fit_steps(points, right, down)
    if fitted is None:
        return None
    right, down = fitted
    along = points @ np.linalg.inv(np.stack([right, down]))
    cols, rows = _without_strays(_lines(along[:, 0]), _lines(along[:, 1]))
    inside = (cols >= 0) & (rows >= 0)
    if inside.sum() < 2:
        return None
    places = _places(points[inside], rows[inside], cols[inside], right, down)
    index = np.where(inside, rows * places.shape[1] + cols, -1)
    return Array(places, index)


def _fit_steps(points: Float64, right: Float64, down: Float64) -> tuple[Float64, Float64] | None:
    """Return the mean steps between the points that are neighbours."""
    found = False
    for _ in range(2):
        means = []
        for step in (right, down):
            apart = points[None] - points[:, None]
            error = np.linalg.norm(apart - step, axis=2)
            near = error < NEIGHBOUR_TOLERANCE * np.linalg.norm(step)
            found |= bool(near.any())
            means.append(np.median(apart[near], axis=0) if near.sum() > 2 else step)
        right, down = means
    return (right, down) if found else None


def _lines(values: Float64) -> Int64:
    """Return the number of the line of each value, from 0; empty lines are counted."""
    order = np.argsort(values, kind="stable")
    groups: list[list[int]] = []
    for item in order.tolist():
        mean = float(np.mean(values[groups[-1]])) if groups else -np.inf
        if values[item] - mean < NEW_LINE:
            groups[-1].append(item)
        else:
            groups.append([item])
    lines = np.empty(len(values), np.int64)
    number = 0
    for before, group in zip([[], *groups], groups, strict=False):
        if before:
            gap = float(values[group].mean() - values[before].mean())
            number += 1 if gap < EMPTY_LINE else round(gap)
        lines[group] = number
    return lines


def _without_strays(cols: Int64, rows: Int64) -> tuple[Int64, Int64]:
    """Return the lines from 0, with -1 for points beyond the border of the array.

    A line at the border with few points is tissue beside the array, such as a marker.
    """
    cols, rows = cols.copy(), rows.copy()
    is_changed = True
    while is_changed:
        is_changed = False
        for lines in (rows, cols):
            inside = (cols >= 0) & (rows >= 0)
            if not inside.any():
                break
            first, last = full_lines(np.bincount(lines[inside]))
            outside = inside & ((lines < first) | (lines > last))
            lines[outside] = -1
            is_changed |= bool(outside.any())
    inside = (cols >= 0) & (rows >= 0)
    for lines in (rows, cols):
        if inside.any():
            lines -= lines[inside].min()
        lines[~inside] = -1
    return cols, rows


def full_lines(counts: Int64) -> tuple[int, int]:
    """Return the first and the last row (or column) of an array.

    Parameters
    ----------
    counts
        (n,) cores of each row, at least one in all.
    """
    used = np.flatnonzero(counts >= max(1.0, MIN_LINE_FRACTION * np.median(counts[counts > 0])))
    return int(used[0]), int(used[-1])


def _places(points: Float64, rows: Int64, cols: Int64, right: Float64, down: Float64) -> Float64:
    """Return the places (rows, cols, 2): a regular grid, with a shift of each row and column."""
    shape = (int(rows.max()) + 1, int(cols.max()) + 1)
    design = np.stack([np.ones_like(rows), cols, rows], axis=1).astype(np.float64)
    weight = np.ones(len(points))
    row_shift, col_shift = np.zeros((shape[0], 2)), np.zeros((shape[1], 2))
    for _ in range(ROUNDS):
        target = points - row_shift[rows] - col_shift[cols]
        fit = _plane(design, target, weight, right, down)
        for _ in range(ROUNDS):
            error = points - design @ fit - col_shift[cols]
            row_shift = _mean_by_line(error, weight, rows, shape[0])
            error = points - design @ fit - row_shift[rows]
            col_shift = _mean_by_line(error, weight, cols, shape[1])
        error = np.linalg.norm(points - design @ fit - row_shift[rows] - col_shift[cols], axis=1)
        scale = 2.0 * max(float(np.median(error)), 1e-3)
        weight = scale / np.maximum(error, scale)
    grid_rows, grid_cols = np.indices(shape)
    plane = np.stack([np.ones(shape), grid_cols, grid_rows], axis=-1) @ fit
    return np.asarray(plane + row_shift[:, None] + col_shift[None])


def _plane(
    design: Float64, target: Float64, weight: Float64, right: Float64, down: Float64
) -> Float64:
    """Return origin, step to the right and step down (3, 2); the steps of one line are given."""
    steps = np.stack([right, down])
    fit = np.zeros((3, 2))
    free = [True, bool(np.ptp(design[:, 1])), bool(np.ptp(design[:, 2]))]
    fixed = np.concatenate([np.zeros((1, 2)), steps])
    rest = target - design[:, ~np.array(free)] @ fixed[~np.array(free)]
    root = np.sqrt(weight)[:, None]
    fit[~np.array(free)] = fixed[~np.array(free)]
    fit[free] = np.linalg.lstsq(design[:, free] * root, rest * root, rcond=None)[0]
    return fit


def _mean_by_line(error: Float64, weight: Float64, lines: Int64, count: int) -> Float64:
    total = np.bincount(lines, weight, count) + SHRINKAGE
    sums = [np.bincount(lines, weight * error[:, axis], count) for axis in (0, 1)]
    return np.stack(sums, axis=1) / total[:, None]
