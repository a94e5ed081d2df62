"""Folds: where a core lies in two layers of tissue or more."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cacl.image.tile_stats import Float16

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]

# In squares of `measures.FINE_PX`, about 4 um each in a core.
BLUR = 1.5
FACTOR, PEAK = 1.5, 2.0
SPREADS = 3.5
MIN_SQUARES = 12
RIM = 12
# Of five real cores, the folded one has 0.025 and the others up to 0.002; 84 synthetic cores
# without folds, some of them with stained nuclei, up to 0.0087.
MAX_SHARE = 0.01


def fold_share(cell: Float16, hematoxylin: Float16, dab: Float16) -> float:
    """Return the share of a core's tissue that is folded.

    Parameters
    ----------
    cell
        Share of each square that is cell area, (rows, columns).
    hematoxylin, dab
        Optical density of both stains times that share, (rows, columns).

    Returns
    -------
    Folded tissue over tissue, 0-1, both without the core's rim; 0 without tissue.

    Notes
    -----
    See `fold_map`. A rim of `RIM` squares inside the tissue's convex hull is left out: edges dry,
    curl and take more of both stains, in most cores.

    Folds narrower than about 16 analysis pixels are mostly missed, and wider ones in some cores:
    where only one stain is there to be doubled, or tissue is so loose that a second layer falls on
    gaps. How many are: `benchmarks/results/artefacts.md`.
    """
    filled = _filled(cell)
    if not filled.any():
        return 0.0
    inner = filled & _inside(filled)
    folded = fold_map(cell, hematoxylin, dab) & inner
    return float(folded.sum() / max(int(inner.sum()), 1))


def fold_map(cell: Float16, hematoxylin: Float16, dab: Float16) -> Bool:
    """Return where the tissue is folded, (rows, columns); parameters as for `fold_share`.

    Notes
    -----
    A second layer doubles both stains at the same place, while nuclei are dark in one and DAB in
    the other. So the smaller of haematoxylin / its mean and DAB / its mean is taken, blurred over
    `BLUR` squares. Folded is a region that lies above `FACTOR` times the median and `SPREADS`
    interquartile half-widths over it, peaks above `PEAK` times the median, and is larger than a
    clump of cells. Kothari et al. (J Pathol Inform 2013) and HistoQC look for saturated and dark
    regions instead, which in immunohistochemistry strong DAB is, too.
    """
    filled = _filled(cell)
    if not filled.any():
        return filled
    tissue = cell.astype(np.float32)
    relative = [_relative(stain.astype(np.float32), tissue, filled) for stain in (hematoxylin, dab)]
    both = np.maximum(np.minimum(*relative), np.float32(0.0))
    layers = _blurred(both) / np.maximum(_blurred(tissue), np.float32(1e-6))
    median, upper = np.quantile(layers[filled], [0.5, 0.75])
    least = max(FACTOR * median, median + SPREADS * (upper - median))
    stats: Any
    count, parts, stats, _ = cv2.connectedComponentsWithStats(
        (filled & (layers > least)).astype(np.uint8), connectivity=8
    )
    peaks = np.zeros(count, dtype=np.float32)
    np.maximum.at(peaks, parts.ravel(), layers.ravel())
    kept = (stats[:, cv2.CC_STAT_AREA] >= MIN_SQUARES) & (peaks > max(PEAK * median, least))
    kept[0] = False
    folded: Bool = kept[parts]
    return folded


def _filled(cell: Float16) -> Bool:
    filled: Bool = cell > 0.5
    return filled


def _relative(stain: Float32, tissue: Float32, filled: Bool) -> Float32:
    """Return a stain over its mean in the tissue; zeros where the mean is none."""
    mean = float(stain[filled].sum() / tissue[filled].sum())
    return stain / np.float32(mean) if mean > 0 else np.zeros_like(stain)


def _blurred(values: Float32) -> Float32:
    soft: Any = cv2.GaussianBlur(values, (0, 0), BLUR, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(soft, np.float32)


def _inside(filled: Bool) -> Bool:
    """Return what lies deeper than `RIM` squares in the convex hull of a mask."""
    rows, columns = np.nonzero(filled)
    points = np.stack([columns, rows], axis=1).astype(np.int32) + 1
    hull = np.zeros((filled.shape[0] + 2, filled.shape[1] + 2), dtype=np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(points), 1)
    depth: Any = cv2.distanceTransform(hull, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    inside: Bool = np.asarray(depth[1:-1, 1:-1] > RIM)
    return inside
