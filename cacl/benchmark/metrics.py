"""How well masks agree with truth: pure functions on stacks of tiles, the paper's way and ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Bool = NDArray[np.bool_]
Float64 = NDArray[np.float64]
LOG_OF_ZERO = 100.0
MIN_TRUTH_PX = 20
TOLERANCE_PX = 2


@dataclass(frozen=True, eq=False)
class Agreement:
    """The paper's four measures of each mask; 0 to 1 but `bce`, which is 0 to 100."""

    dice: Float64
    recall: Float64
    precision: Float64
    bce: Float64


def agreement(masks: Bool, truth: Bool) -> Agreement:
    """Return the paper's four measures of each tile, (n,) each.

    Parameters
    ----------
    masks, truth
        (n, y, x) bool.
    """
    return agreement_of(
        found=masks.sum(axis=(1, 2)),
        wanted=truth.sum(axis=(1, 2)),
        both=(masks & truth).sum(axis=(1, 2)),
        tile_px=truth.shape[1] * truth.shape[2],
    )


def agreement_of(found: Any, wanted: Any, both: Any, tile_px: int) -> Agreement:
    """Return the same from numbers of pixels, which broadcast.

    A tile without truth scores 1 if its mask is empty, else 0 (the paper, section 4: one false
    pixel costs the whole tile). The binary cross entropy of a mask of zeros and ones takes the
    logarithm of 0 for -100, as torch does: it is 100 times the share of wrong pixels.

    Parameters
    ----------
    found, wanted, both
        Pixels of the mask, of truth, and of both.
    tile_px
        Pixels of a tile.
    """
    found, wanted, both = (np.asarray(count, dtype=np.float64) for count in (found, wanted, both))
    right = (found == 0).astype(np.float64)

    def share(part: Float64, whole: Float64) -> Float64:
        ratio = np.divide(
            part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=whole > 0
        )
        kept: Float64 = np.where(wanted == 0, right, ratio)
        return kept

    return Agreement(
        dice=share(2.0 * both, found + wanted),
        recall=share(both, wanted),
        precision=share(both, found),
        bce=LOG_OF_ZERO * (found + wanted - 2.0 * both) / tile_px,
    )


def boundary_f1(masks: Bool, truth: Bool, tolerance_px: int = TOLERANCE_PX) -> Float64:
    """Return the F1 of the boundaries of each tile, (n,).

    Precision is the share of the mask's boundary pixels within `tolerance_px` of truth's
    boundary, recall the share of truth's within that of the mask's. A mask's boundary are its
    pixels with a 4-neighbour outside it; the tile's edge is none.

    Parameters
    ----------
    masks, truth
        (n, y, x) bool. 1 where both are empty, 0 where one is.
    tolerance_px
        Euclidean distance between centres of pixels.

    References
    ----------
    Csurka et al., What is a good evaluation measure for semantic segmentation?, BMVC 2013.
    """
    first, second = _boundary(masks), _boundary(truth)
    precision = _near(first, second, tolerance_px)
    recall = _near(second, first, tolerance_px)
    total = precision + recall
    score = np.divide(2.0 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    empty = ~first.any(axis=(1, 2)) & ~second.any(axis=(1, 2))
    result: Float64 = np.where(empty, 1.0, score)
    return result


def _boundary(masks: Bool) -> Bool:
    cross = ndimage.generate_binary_structure(2, 1)[None]
    inner: Bool = ndimage.binary_erosion(masks, cross, border_value=1)
    return masks & ~inner


def _near(these: Bool, those: Bool, tolerance_px: int) -> Float64:
    """Return the share of `these` within the distance of `those`; 0 where there are none.

    A dilation with all offsets up to the tolerance is the same as a distance transform cut at
    it, exactly, and takes a whole stack at once.
    """
    offsets = np.arange(-tolerance_px, tolerance_px + 1)
    disc = (offsets[:, None] ** 2 + offsets**2 <= tolerance_px**2)[None]
    reached = these & ndimage.binary_dilation(those, disc)
    count = these.sum(axis=(1, 2))
    share: Float64 = reached.sum(axis=(1, 2)) / np.maximum(count, 1)
    return share


def concordance_of(number: Any, x: Any, y: Any, xx: Any, yy: Any, xy: Any) -> Float64:
    """Return Lin's concordance correlation coefficient from sums over pairs, which broadcast.

    `2 cov / (var + var + (mean - mean)^2)` with the variances of the values at hand; -1 to 1, and
    1 only for equal values; NaN without any.

    Parameters
    ----------
    number
        How many pairs.
    x, y, xx, yy, xy
        Sums of the values, of their squares and of their products.

    References
    ----------
    Lin, Biometrics 45:255 (1989).
    """
    number, x, y, xx, yy, xy = (np.asarray(one, np.float64) for one in (number, x, y, xx, yy, xy))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_x, mean_y = x / number, y / number
        covariance = xy / number - mean_x * mean_y
        squares = xx / number - mean_x**2 + yy / number - mean_y**2 + (mean_x - mean_y) ** 2
        result: Float64 = np.where(squares < 1e-15, 1.0, 2.0 * covariance / squares)
    return np.where(number > 0, result, np.nan)
