"""Tissue edge of a core: cut tissue dries, curls and takes up stain (edge effect)."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]

# A component is debris if the largest one has more than this many times its area.
DEBRIS_AREA_RATIO = 100


def edge_distance(tissue: Bool, closing_radius_px: int) -> Float32:
    """Return the distance of each pixel from the outline of the tissue, inwards.

    The outline is that of the tissue after closing with a disc. Gaps narrower than the disc's
    diameter, such as the lumen between two villi, therefore lie inside. Debris, that
    is components of less than 1 / `DEBRIS_AREA_RATIO` of the largest area, is ignored.

    Parameters
    ----------
    tissue
        (y, x) mask of the tissue.
    closing_radius_px
        Radius of the disc.

    Returns
    -------
    (y, x) float32 in px; 0 outside the outline, and everywhere without tissue.
    """
    stats: Any
    _, labels, stats, _ = cv2.connectedComponentsWithStats(tissue.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    areas[0] = 0
    large = (areas > 0) & (DEBRIS_AREA_RATIO * areas >= areas.max())
    margin = closing_radius_px + 2
    background = np.pad(~large[labels], margin, constant_values=True).astype(np.uint8)
    dilated = np.asarray(exact_distance(background) <= closing_radius_px, np.uint8)
    outside: Any = cv2.floodFill(dilated, None, (0, 0), 2)[1]
    distance = exact_distance(np.asarray(outside != 2, np.uint8))[margin:-margin, margin:-margin]
    return np.asarray(np.maximum(distance - closing_radius_px, 0.0), np.float32)


def exact_distance(mask: NDArray[np.uint8]) -> Float32:
    """Return the distance of each pixel from the nearest 0, exact up to some 2,000 px.

    The last bit of OpenCV's value depends on the machine's state. Its square is an integer.
    """
    distance: Any = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    squared = np.rint(np.square(distance, dtype=np.float64))
    return np.asarray(np.sqrt(squared), np.float32)
