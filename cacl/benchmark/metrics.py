"""Agreement of masks with ground truth: pure functions on stacks of tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Bool = NDArray[np.bool_]
Float64 = NDArray[np.float64]
LOG_OF_ZERO = 100.0
MIN_POSITIVE_PX = 20
TOLERANCE_PX = 2


@dataclass(frozen=True, eq=False)
class TileMetrics:
    """The paper's four metrics of each tile; 0 to 1, except `bce`, which is 0 to 100."""

    dice: Float64
    recall: Float64
    precision: Float64
    bce: Float64


def tile_metrics(masks: Bool, ground_truth: Bool) -> TileMetrics:
    """Return the paper's four metrics of each tile, (n,) each.

    Parameters
    ----------
    masks, ground_truth
        (n, y, x) bool.
    """
    return metrics_from_counts(
        predicted_px=masks.sum(axis=(1, 2)),
        true_px=ground_truth.sum(axis=(1, 2)),
        overlap_px=(masks & ground_truth).sum(axis=(1, 2)),
        tile_px=ground_truth.shape[1] * ground_truth.shape[2],
    )


def metrics_from_counts(
    predicted_px: Any, true_px: Any, overlap_px: Any, tile_px: int
) -> TileMetrics:
    """Return the paper's four metrics from numbers of pixels, which broadcast.

    A tile without ground truth scores 1 if its mask is empty, else 0: one false pixel costs the
    whole tile (Deng et al. 2020, section 4). The binary cross entropy of a binary mask clamps
    log(0) to -100, as torch does: it is 100 times the fraction of wrong pixels.

    Parameters
    ----------
    predicted_px, true_px, overlap_px
        Number of pixels of the mask, of the ground truth, and of both.
    tile_px
        Number of pixels of a tile.
    """
    predicted, true, overlap = (
        np.asarray(count, dtype=np.float64) for count in (predicted_px, true_px, overlap_px)
    )
    without_truth = (predicted == 0).astype(np.float64)

    def ratio(numerator: Float64, denominator: Float64) -> Float64:
        zeros = np.zeros(np.broadcast(numerator, denominator).shape)
        quotient = np.divide(numerator, denominator, out=zeros, where=denominator > 0)
        result: Float64 = np.where(true == 0, without_truth, quotient)
        return result

    return TileMetrics(
        dice=ratio(2.0 * overlap, predicted + true),
        recall=ratio(overlap, true),
        precision=ratio(overlap, predicted),
        bce=LOG_OF_ZERO * (predicted + true - 2.0 * overlap) / tile_px,
    )


def boundary_f1(masks: Bool, ground_truth: Bool, tolerance_px: int = TOLERANCE_PX) -> Float64:
    """Return the F1 score of the boundaries of each tile, (n,).

    Precision is the fraction of the mask's boundary pixels within `tolerance_px` of the true
    boundary; recall is the fraction of true boundary pixels within `tolerance_px` of the mask's
    boundary. The boundary of a mask is its pixels with a 4-neighbour outside the mask; the edge of
    the tile is no boundary.

    Parameters
    ----------
    masks, ground_truth
        (n, y, x) bool. The score is 1 if both are empty, 0 if one is.
    tolerance_px
        Euclidean distance between pixel centres.

    References
    ----------
    Csurka et al., What is a good evaluation measure for semantic segmentation?, BMVC 2013.
    """
    boundary, true_boundary = _boundary(masks), _boundary(ground_truth)
    precision = _fraction_near(boundary, true_boundary, tolerance_px)
    recall = _fraction_near(true_boundary, boundary, tolerance_px)
    total = precision + recall
    score = np.divide(2.0 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    both_empty = ~boundary.any(axis=(1, 2)) & ~true_boundary.any(axis=(1, 2))
    result: Float64 = np.where(both_empty, 1.0, score)
    return result


def _boundary(masks: Bool) -> Bool:
    cross = ndimage.generate_binary_structure(2, 1)[None]
    interior: Bool = ndimage.binary_erosion(masks, cross, border_value=1)
    return masks & ~interior


def _fraction_near(pixels: Bool, targets: Bool, tolerance_px: int) -> Float64:
    """Return the fraction of `pixels` within the distance of `targets`; 0 if there are no pixels.

    A dilation by a disc equals a distance transform cut at the tolerance, and processes a whole
    stack at once.
    """
    offsets = np.arange(-tolerance_px, tolerance_px + 1)
    disc = (offsets[:, None] ** 2 + offsets**2 <= tolerance_px**2)[None]
    near = pixels & ndimage.binary_dilation(targets, disc)
    fraction: Float64 = near.sum(axis=(1, 2)) / np.maximum(pixels.sum(axis=(1, 2)), 1)
    return fraction


def concordance_from_sums(n: Any, x: Any, y: Any, xx: Any, yy: Any, xy: Any) -> Float64:
    """Return Lin's concordance correlation coefficient from sums over pairs, which broadcast.

    `2 cov / (var_x + var_y + (mean_x - mean_y)^2)` with population variances; -1 to 1, and 1 only
    for equal values; NaN without pairs.

    Parameters
    ----------
    n
        Number of pairs.
    x, y, xx, yy, xy
        Sums of the values, of their squares and of their products.

    References
    ----------
    Lin, Biometrics 45:255 (1989).
    """
    n, x, y, xx, yy, xy = (np.asarray(value, np.float64) for value in (n, x, y, xx, yy, xy))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_x, mean_y = x / n, y / n
        covariance = xy / n - mean_x * mean_y
        squares = xx / n - mean_x**2 + yy / n - mean_y**2 + (mean_x - mean_y) ** 2
        result: Float64 = np.where(squares < 1e-15, 1.0, 2.0 * covariance / squares)
    return np.where(n > 0, result, np.nan)
