"""Smaller versions of the arrays of a store."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cacl.store.arrays import StoredArray

STRIP_PX = 1 << 22


def downsample(array: StoredArray, factor: int) -> NDArray[np.float32]:
    """Return the means of an array over squares of `factor` px; incomplete squares are left out.

    The array is read in strips, so that a whole slide needs no more memory than a core.
    """
    height, width = array.shape[-2:]
    strip = factor * max(1, max(array.chunks[-2], STRIP_PX // width) // factor)
    strips = [
        block_means(np.asarray(array[..., top : min(top + strip, height), :]), factor)
        for top in range(0, height // factor * factor, strip)
    ]
    return np.concatenate(strips, axis=-2)


def block_means(values: NDArray[Any], factor: int) -> NDArray[np.float32]:
    """Return means of (..., y, x) over squares of `factor` px; incomplete squares are left out."""
    height, width = (size // factor for size in values.shape[-2:])
    complete = values[..., : height * factor, : width * factor].astype(np.float32)
    if factor == 1:
        return complete
    planes = [
        cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA)
        for plane in complete.reshape(-1, *complete.shape[-2:])
    ]
    return np.stack(planes).reshape(*values.shape[:-2], height, width)
