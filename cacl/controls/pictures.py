"""Pictures of the controls: one stretch of border at each dose, with the mask that was found."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cacl.controls.core import PaintedCore
from cacl.image.palette import OVERLAY

UInt8 = NDArray[np.uint8]
GAP_PX = 4
OPACITY = 0.6
JPEG_QUALITY = 88
WHITE = 255


def picture(painted: Sequence[PaintedCore], masks: Sequence[NDArray[np.bool_]]) -> bytes:
    """Return a JPEG of the tile with the most paint: the image above, the mask over it below.

    Parameters
    ----------
    painted
        One core at each dose, from 0; with at least one painted tile.
    masks
        The mask (y, x) of each.
    """
    window = max(painted[0].windows, key=lambda tile: int(painted[0].true_mask[tile].sum()))
    columns = []
    for one, mask in zip(painted, masks, strict=True):
        image = one.rgb[(slice(None), *window)].transpose(1, 2, 0)
        overlay = image.astype(np.float32)
        inside = mask[window] & one.core.cell[window]
        overlay[inside] = (1 - OPACITY) * overlay[inside] + OPACITY * np.array(OVERLAY, np.float32)
        columns.append(_stack([image, np.rint(overlay).astype(np.uint8)], axis=0))
    rgb = _stack(columns, axis=1)
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    return bytes(data)


def _stack(images: Sequence[UInt8], axis: int) -> UInt8:
    """Return images side by side, or one above the other, with a white gap."""
    parts: list[UInt8] = []
    for image in images:
        shape = list(image.shape)
        shape[axis] = GAP_PX
        parts += [image, np.full(shape, WHITE, np.uint8)]
    return np.concatenate(parts[:-1], axis=axis)
