"""Fill polygons: which pixels have their centre inside, exact and independent of their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bool = NDArray[np.bool_]
Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
Polygon = Sequence[Float64]
"""Rings (n, 2) of (x, y), closed or not: the outer ring, then the holes."""

MAX_CROSSINGS = 20_000_000
"""Of outlines with the centre lines of pixel rows: about ten seconds."""

BAND_CROSSINGS = 1_000_000
BAND_PX = 20_000_000


def fill_polygons(polygons: Sequence[Polygon], height: int, width: int) -> Bool:
    """Return the union of polygons as a mask (y, x).

    A pixel belongs to a polygon if its centre, (x + 0.5, y + 0.5), is inside the outer ring and
    inside no hole. Polygons along the edges of pixels give exactly these pixels, and of two
    polygons with a common edge each pixel belongs to one. A ring that crosses itself encloses every
    point that it winds around (non-zero rule).

    Parameters
    ----------
    polygons
        Finite coordinates in pixels, where pixel (0, 0) covers 0 to 1.
    height, width
        Size of the mask; what is outside it is cut off.

    Raises
    ------
    ValueError
        The outlines cross more than `MAX_CROSSINGS` rows in total.
    """
    edges = _edges(polygons, height)
    total = int(edges.counts.sum())
    if total > MAX_CROSSINGS:
        raise ValueError(
            f"its outlines cross rows of pixels {total:,} times, expected at most "
            f"{MAX_CROSSINGS:,}: simplify the polygons"
        )
    mask = np.zeros((height, width), dtype=bool)
    if total:
        for start, stop in _bands(edges, height, width):
            mask[start:stop] = _fill_rows(edges, start, stop, width)
    return mask


@dataclass(frozen=True, eq=False)
class _Edges:
    """Edges of all rings, (n,) each, from the lower y to the higher one.

    Parameters
    ----------
    x0, y0, x1, y1
        Ends.
    first_row, last_row
        The edge crosses the centre lines of the rows from `first_row` to below `last_row`.
    polygon
        Number of the polygon.
    outer, hole
        By how much a crossing from left to right changes how often the outer ring, or a hole,
        winds around the point: 1, -1 or 0.
    """

    x0: Float64
    y0: Float64
    x1: Float64
    y1: Float64
    first_row: Int64
    last_row: Int64
    polygon: Int64
    outer: Int64
    hole: Int64

    @property
    def counts(self) -> Int64:
        """Number of crossings of each edge."""
        return self.last_row - self.first_row

    def select(self, index: Int64) -> _Edges:
        """Return some of the edges."""
        return _Edges(**{name: values[index] for name, values in vars(self).items()})


def _edges(polygons: Sequence[Polygon], height: int) -> _Edges:
    rings = [ring for polygon in polygons for ring in polygon]
    points = np.concatenate([np.zeros((0, 2)), *rings])
    lengths = np.array([len(ring) for ring in rings], np.int64)
    first = np.cumsum(lengths) - lengths
    following = np.arange(1, len(points) + 1)
    following[first + lengths - 1] = first
    ends = points[following]
    rows = np.clip(np.ceil(points[:, 1] - 0.5), 0, height).astype(np.int64)
    is_up = points[:, 1] <= ends[:, 1]
    low = np.where(is_up[:, None], points, ends)
    high = np.where(is_up[:, None], ends, points)
    is_hole = np.repeat(
        [number > 0 for polygon in polygons for number in range(len(polygon))], lengths
    )
    turn = np.where(is_up, 1, -1) * np.repeat(_orientations(points, ends, first), lengths)
    sizes = [sum(map(len, polygon)) for polygon in polygons]
    return _Edges(
        x0=low[:, 0],
        y0=low[:, 1],
        x1=high[:, 0],
        y1=high[:, 1],
        first_row=np.minimum(rows, rows[following]),
        last_row=np.maximum(rows, rows[following]),
        polygon=np.repeat(np.arange(len(polygons)), sizes),
        outer=np.where(is_hole, 0, turn),
        hole=np.where(is_hole, turn, 0),
    )


def _orientations(points: Float64, ends: Float64, first: Int64) -> Int64:
    """Return 1 or -1 for each ring: holes of equal orientation that overlap do not cancel out.

    Parameters
    ----------
    points, ends
        (n, 2) starts and ends of the edges of all rings.
    first
        Number of the first edge of each ring.
    """
    if not len(first):
        return np.zeros(0, np.int64)
    lengths = np.diff(first, append=len(points))
    origins = np.repeat(points[first], lengths, axis=0)
    (ax, ay), (bx, by) = (points - origins).T, (ends - origins).T
    areas = np.add.reduceat(ax * by - bx * ay, first)
    return np.where(areas < 0, -1, 1)


def _bands(edges: _Edges, height: int, width: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of rows with a limited number of crossings and of pixels; most have both."""
    changes = np.zeros(height + 1, np.int64)
    np.add.at(changes, edges.first_row, 1)
    np.add.at(changes, edges.last_row, -1)
    crossings = np.concatenate([[0], np.cumsum(np.cumsum(changes[:height]))])
    max_rows, start = max(1, BAND_PX // width), 0
    while start < height:
        stop = int(np.searchsorted(crossings, crossings[start] + BAND_CROSSINGS, "right")) - 1
        stop = max(start + 1, min(stop, start + max_rows, height))
        if crossings[stop] > crossings[start]:
            yield start, stop
        start = stop


def _fill_rows(edges: _Edges, start: int, stop: int, width: int) -> Bool:
    """Return the rows `start` to below `stop` of the mask."""
    inside = edges.select(np.flatnonzero((edges.first_row < stop) & (edges.last_row > start)))
    first = np.maximum(inside.first_row, start)
    counts = np.minimum(inside.last_row, stop) - first
    each = inside.select(np.repeat(np.arange(len(counts)), counts))
    rows = np.arange(int(counts.sum())) + np.repeat(first - np.cumsum(counts) + counts, counts)
    along = (rows + 0.5 - each.y0) / (each.y1 - each.y0)
    x = each.x0 + along * (each.x1 - each.x0)
    cols = np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)
    order = np.lexsort((cols, each.polygon, rows))
    # Closed rings cross a row upwards as often as downwards: the sums are 0 where the next begins.
    is_inside = np.cumsum(each.outer[order]) != 0
    is_inside &= np.cumsum(each.hole[order]) == 0
    steps = np.diff(is_inside.astype(np.int32), prepend=0)
    covering = np.zeros((stop - start, width + 1), np.int32)
    np.add.at(covering, (rows[order] - start, cols[order]), steps)
    filled: Bool = covering.cumsum(axis=1)[:, :width] > 0
    return filled
