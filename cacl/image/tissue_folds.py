"""Tissue folds: where a core lies in two layers of tissue or more."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cacl.image.tile_stats import Float16
from cacl.image.tissue_edge import exact_distance

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]

# Lengths and areas are in squares of `tile_stats.MAP_SQUARE_PX`, about 4 um wide in a core.
BLUR_SIGMA = 1.5
MIN_RELATIVE_LAYERS, MIN_RELATIVE_PEAK = 1.5, 2.0
MIN_SPREADS = 3.5
# Where stained nuclei are packed, as in crypts, one layer reaches the density of a nucleus and both
# stains exceed twice their median. Two layers exceed it.
DENSE_QUANTILE, MIN_PEAK_TO_DENSE = 0.98, 1.1
MIN_FOLD_SQUARES = 12
EDGE_SQUARES = 12
# Of five real cores, the folded one has 0.025 and the others up to 0.002; see also
# `benchmarks/results/artefacts.md`.
MAX_FOLD_FRACTION = 0.01


def fold_fraction(cell: Float16, hematoxylin: Float16, dab: Float16) -> float:
    """Return the fraction of a core's tissue that is folded.

    Parameters
    ----------
    cell
        Fraction of each square that is cell area, (rows, columns).
    hematoxylin, dab
        Mean optical density of each stain over the square, counted as 0 outside the cell area,
        (rows, columns).

    Returns
    -------
    Folded tissue over tissue, 0-1, both without the tissue edge; 0 without tissue.

    Notes
    -----
    See `fold_mask`. An edge of `EDGE_SQUARES` squares inside the tissue's convex hull is left out:
    the edge dries, curls and takes up more of both stains in most cores.

    Most folds narrower than about 16 analysis pixels are missed. Wider ones are missed in some
    cores: where only one stain is present, where one layer has packed nuclei and pale tissue, or
    where the tissue is so loose that the second layer covers gaps. For detection rates see
    `benchmarks/results/artefacts.md`.
    """
    filled = _filled(cell)
    if not filled.any():
        return 0.0
    interior = filled & _interior(filled)
    folded = fold_mask(cell, hematoxylin, dab) & interior
    return float(folded.sum() / max(int(interior.sum()), 1))


def fold_mask(cell: Float16, hematoxylin: Float16, dab: Float16) -> Bool:
    """Return where the tissue is folded, (rows, columns); parameters as for `fold_fraction`.

    Notes
    -----
    A second layer doubles both stains at one position, while nuclei are dark in haematoxylin and
    DAB in DAB only. The number of layers is therefore estimated by the smaller of haematoxylin /
    its mean and DAB / its mean, blurred with `BLUR_SIGMA`. A fold is a component above
    `MIN_RELATIVE_LAYERS` times the median and above the median plus `MIN_SPREADS` times the
    distance from the median to the upper quartile, with a peak above `MIN_RELATIVE_PEAK` times the
    median, and larger than a clump of cells. Its peak must also exceed, by a factor of
    `MIN_PEAK_TO_DENSE`, the `DENSE_QUANTILE` of single squares elsewhere, which are smaller than a
    nucleus: packed cells are as dense as the densest cell, two layers are denser. Kothari et al. (J
    Pathol Inform 2013) and HistoQC detect saturated and dark regions instead, which strong DAB is
    as well.
    """
    filled = _filled(cell)
    if not filled.any():
        return filled
    tissue = cell.astype(np.float32)
    relative = [_relative(stain.astype(np.float32), tissue, filled) for stain in (hematoxylin, dab)]
    smaller = np.maximum(np.minimum(*relative), np.float32(0.0))
    layers = _blur(smaller) / np.maximum(_blur(tissue), np.float32(1e-6))
    median, upper_quartile = np.quantile(layers[filled], [0.5, 0.75])
    threshold = max(MIN_RELATIVE_LAYERS * median, median + MIN_SPREADS * (upper_quartile - median))
    dark = filled & (layers > threshold)
    single = filled & ~dark
    dense = np.quantile(smaller[single] / tissue[single], DENSE_QUANTILE)
    stats: Any
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        dark.astype(np.uint8), connectivity=8
    )
    peaks = np.zeros(count, dtype=np.float32)
    np.maximum.at(peaks, labels.ravel(), layers.ravel())
    is_fold = stats[:, cv2.CC_STAT_AREA] >= MIN_FOLD_SQUARES
    is_fold &= peaks > max(MIN_RELATIVE_PEAK * median, MIN_PEAK_TO_DENSE * dense, threshold)
    is_fold[0] = False
    folded: Bool = is_fold[labels]
    return folded


def _filled(cell: Float16) -> Bool:
    filled: Bool = cell > 0.5
    return filled


def _relative(stain: Float32, tissue: Float32, filled: Bool) -> Float32:
    """Return a stain over its mean in the tissue; zeros if the mean is not positive."""
    mean = float(stain[filled].sum() / tissue[filled].sum())
    return stain / np.float32(mean) if mean > 0 else np.zeros_like(stain)


def _blur(values: Float32) -> Float32:
    blurred: Any = cv2.GaussianBlur(values, (0, 0), BLUR_SIGMA, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(blurred, np.float32)


def _interior(filled: Bool) -> Bool:
    """Return the squares more than `EDGE_SQUARES` inside the convex hull of a mask."""
    rows, columns = np.nonzero(filled)
    points = np.stack([columns, rows], axis=1).astype(np.int32) + 1
    hull = np.zeros((filled.shape[0] + 2, filled.shape[1] + 2), dtype=np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(points), 1)
    distance = exact_distance(hull)
    interior: Bool = np.asarray(distance[1:-1, 1:-1] > EDGE_SQUARES)
    return interior
