"""The rim of a core: where it was cut, tissue dries, curls and takes up stain (edge effect)."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]


def depth(tissue: Bool, gap_px: int) -> Float32:
    """Return how far each pixel lies within the outline of the tissue.

    The outline is that of the tissue closed with a disc: gaps narrower than twice its radius,
    such as the lumen between two villi, lie within. Parts smaller than a hundredth of the largest
    are debris and do not count.

    Parameters
    ----------
    tissue
        (y, x), anything else being glass.
    gap_px
        Radius of the disc.

    Returns
    -------
    (y, x) px; 0 outside, and everywhere without tissue.
    """
    stats: Any
    _, parts, stats, _ = cv2.connectedComponentsWithStats(tissue.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    areas[0] = 0
    large = (areas > 0) & (100 * areas >= areas.max())
    margin = gap_px + 2
    glass = np.pad(~large[parts], margin, constant_values=True).astype(np.uint8)
    near = np.asarray(_distance(glass) <= gap_px, np.uint8)
    outside: Any = cv2.floodFill(near, None, (0, 0), 2)[1]
    within = _distance(np.asarray(outside != 2, np.uint8))[margin:-margin, margin:-margin]
    return np.asarray(np.maximum(within - gap_px, 0.0), np.float32)


def _distance(mask: NDArray[np.uint8]) -> Float32:
    found: Any = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(found, np.float32)
