"""Morphology after the model, with a disc."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cacl.errors import ConfigError

Bool = NDArray[np.bool_]

OPERATIONS = {
    "dilation": cv2.MORPH_DILATE,
    "opening": cv2.MORPH_OPEN,
    "closing": cv2.MORPH_CLOSE,
}
NAMES = ("none", *OPERATIONS)


def check(name: str, radius_px: int) -> None:
    """Raise unless there is such an operation and the radius is at least 0.

    Raises
    ------
    ConfigError
        Otherwise.
    """
    if name not in NAMES:
        raise ConfigError(f"segment.morphology must be one of {', '.join(NAMES)}, got {name!r}")
    if radius_px < 0:
        raise ConfigError(f"segment.radius_px must be at least 0, got {radius_px}")


def apply(mask: Bool, name: str, radius_px: int) -> Bool:
    """Return a (y, x) mask after `name` with a disc of `radius_px`; radius 0 changes nothing."""
    if name == "none" or radius_px == 0:
        return mask
    size = 2 * radius_px + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    changed = cv2.morphologyEx(mask.astype(np.uint8), OPERATIONS[name], disc)
    result: Bool = changed > 0
    return result
