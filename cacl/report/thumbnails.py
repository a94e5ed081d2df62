"""Small pictures of cores and of their masks, for a browser."""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cacl.errors import ImageError, StoreError
from cacl.store import Store, StoredArray
from cacl.tables import write_atomically

log = logging.getLogger(__name__)

MAX_SIDE_PX = 512
MAX_BYTES = 60_000
STRIP_PX = 1 << 22
QUALITIES = (82, 70, 55, 40, 25, 10)
MASK_RGB = (0, 185, 245)
MASK_ALPHA = 225
ALPHA_LEVELS = 16


@dataclass(frozen=True)
class Picture:
    """A core's picture and the mask to lay on it, as paths relative to the report."""

    core: str
    mask: str
    width: int
    height: int


def write_picture(store: Store, image_id: str, folder: Path) -> Picture | None:
    """Write a core's picture and its mask, each at most `MAX_SIDE_PX` px and `MAX_BYTES` bytes.

    Parameters
    ----------
    store
        The OME-Zarr store.
    image_id
        An image with a stain mask.
    folder
        The report's folder; the files go to `images/<antibody>/<name>.webp` and `.mask.png`.

    Returns
    -------
    The paths, with `/` and safe characters only; None, with a warning, where the store cannot give
    the image: a report without one picture is better than none.
    """
    try:
        store.path(image_id)
        pixels = _shrunk(store.image(image_id))
        mask = _shrunk(store.label(image_id, "stain"))
    except (ImageError, StoreError, ValueError, RuntimeError) as error:
        log.warning("report: no picture of %s: %s", image_id, error)
        return None
    core_path, mask_path = f"images/{image_id}.webp", f"images/{image_id}.mask.png"
    write_bytes(folder / core_path, encode_core(pixels))
    write_bytes(folder / mask_path, encode_mask(mask))
    return Picture(core_path, mask_path, width=pixels.shape[2], height=pixels.shape[1])


def write_bytes(path: Path, data: bytes) -> None:
    """Write a binary file, whole or not at all."""
    write_atomically(path, lambda temporary: temporary.write_bytes(data))


def _shrunk(array: StoredArray) -> NDArray[np.float32]:
    """Return the array's means over squares, with at most `MAX_SIDE_PX` px a side.

    It is read as strips, so that a whole slide needs no more memory than a core.
    """
    height, width = array.shape[-2:]
    factor = -(-max(height, width) // MAX_SIDE_PX)
    strip = factor * max(1, max(array.chunks[-2], STRIP_PX // width) // factor)
    parts = [
        _averaged(np.asarray(array[..., top : min(top + strip, height), :]), factor)
        for top in range(0, height // factor * factor, strip)
    ]
    return np.concatenate(parts, axis=-2)


def _averaged(values: NDArray[Any], factor: int) -> NDArray[np.float32]:
    """Return means over squares of (..., y, x); what does not fill a square is left out."""
    height, width = (size // factor for size in values.shape[-2:])
    whole = values[..., : height * factor, : width * factor].astype(np.float32)
    planes = [
        cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA)
        for plane in whole.reshape(-1, *whole.shape[-2:])
    ]
    return np.stack(planes).reshape(*values.shape[:-2], height, width)


def encode_core(pixels: NDArray[np.float32]) -> bytes:
    """Return a (3, y, x) picture as WebP, at the best quality that fits into `MAX_BYTES`.

    Where none does, as for noise, the picture is halved.
    """
    image = Image.fromarray(np.rint(pixels).astype(np.uint8).transpose(1, 2, 0))
    for quality in QUALITIES:
        buffer = io.BytesIO()
        image.save(buffer, format="WEBP", quality=quality, method=2)
        if buffer.tell() <= MAX_BYTES:
            return buffer.getvalue()
    return encode_core(_averaged(pixels, 2))


def encode_mask(mask: NDArray[np.float32]) -> bytes:
    """Return a (y, x) mask of coverage 0-1 as PNG: one colour, more opaque where more is covered.

    Light blue is told from brown and violet with every kind of colour vision. A mask that does
    not fit into `MAX_BYTES` is halved.
    """
    levels = np.rint(mask * (ALPHA_LEVELS - 1)).astype(np.uint8)
    image = Image.fromarray(levels, mode="P")
    image.putpalette(MASK_RGB * ALPHA_LEVELS)
    alpha = bytes(MASK_ALPHA * level // (ALPHA_LEVELS - 1) for level in range(ALPHA_LEVELS))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", transparency=alpha, bits=4)
    if buffer.tell() <= MAX_BYTES:
        return buffer.getvalue()
    return encode_mask(_averaged(mask, 2))
