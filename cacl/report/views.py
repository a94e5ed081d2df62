"""Pictures of cores at the resolution of the store, and their masks, for the viewer of the page."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from cacl.errors import ImageError, StoreError
from cacl.image import palette
from cacl.report.downsample import block_means, downsample
from cacl.report.thumbnails import Thumbnail
from cacl.runtime.progress import track
from cacl.runtime.resources import raise_if_short
from cacl.store import Store
from cacl.store.arrays import StoredArray
from cacl.tables import write_bytes

log = logging.getLogger(__name__)

MAX_VIEWS = 400
MAX_SIDE_PX = 4096
MAX_BYTES = 4_000_000
JPEG_QUALITIES = (88, 75, 60, 40)
MASK_SCALE = 255


@dataclass(frozen=True)
class View(Thumbnail):
    """Picture of a core for the viewer.

    Parameters
    ----------
    factor
        Pixels of the store per pixel of the picture and side; 1 unless a side of the image is
        longer than `MAX_SIDE_PX`, or its JPEG larger than `MAX_BYTES`.
    """

    factor: int


def write_views(store: Store, image_ids: Sequence[str], folder: Path, jobs: int) -> dict[str, View]:
    """Write the pictures and masks of the first `MAX_VIEWS` images.

    A page from disk cannot read the chunks of a store, but it can show files beside it. The
    pictures take about 0.3 MB per megapixel, at most `MAX_VIEWS` x `MAX_BYTES`.

    Parameters
    ----------
    store
        The OME-Zarr store.
    image_ids
        Images with a stain mask, in the order of their priority.
    folder
        The report's folder; the files go to `images/<antibody>/<name>.jpg` and `.stain.png`.
    jobs
        Pictures at a time.

    Returns
    -------
    The views by image; without the images that the store cannot read.
    """
    chosen = list(image_ids[:MAX_VIEWS])
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        results = pool.map(lambda image_id: write_view(store, image_id, folder), chosen)
        written = list(track(results, "report: pictures", len(chosen)))
    return {image_id: view for image_id, view in zip(chosen, written, strict=True) if view}


def write_view(store: Store, image_id: str, folder: Path) -> View | None:
    """Write a core's picture as JPEG and its mask as PNG, both of the same size.

    Returns
    -------
    The paths; None, with a warning, if the store cannot read the image.
    """
    try:
        image = store.image(image_id)
        factor = -(-max(image.shape[-2:]) // MAX_SIDE_PX)
        pixels = _read(image, factor)
        mask: NDArray[Any] = _read(store.label(image_id, "stain"), factor, scale=MASK_SCALE)
    except (ImageError, StoreError) as error:
        raise_if_short(error, f"report: picture of {image_id}")
        log.warning("report: no picture of %s: %s", image_id, error)
        return None
    data = encode_picture(pixels)
    while len(data) > MAX_BYTES:
        factor *= 2
        pixels = np.rint(block_means(pixels, 2)).astype(np.uint8)
        mask = block_means(mask, 2)
        data = encode_picture(pixels)
    core_path, mask_path = f"images/{image_id}.jpg", f"images/{image_id}.stain.png"
    write_bytes(folder / core_path, data)
    write_bytes(folder / mask_path, encode_mask(mask >= 0.5 * MASK_SCALE))
    height, width = mask.shape
    return View(core_path, mask_path, width=width, height=height, factor=factor)


def _read(array: StoredArray, factor: int, scale: int = 1) -> NDArray[np.uint8]:
    """Return an array times `scale`, reduced by `factor`; without numbers of 4 bytes if it is 1."""
    if factor == 1:
        return np.asarray(array[...]).astype(np.uint8) * np.uint8(scale)
    return np.rint(downsample(array, factor) * scale).astype(np.uint8)


def encode_picture(pixels: NDArray[np.uint8]) -> bytes:
    """Return a (3, y, x) image as JPEG, at the best quality that fits into `MAX_BYTES`, if any."""
    rows = np.ascontiguousarray(pixels.transpose(1, 2, 0))
    data = b""
    for quality in JPEG_QUALITIES:
        data = simplejpeg.encode_jpeg(rows, quality=quality, colorsubsampling="420")
        if len(data) <= MAX_BYTES:
            break
    return bytes(data)


def encode_mask(mask: NDArray[np.bool_]) -> bytes:
    """Return a (y, x) mask as PNG of one bit: `palette.OVERLAY` inside, transparent outside."""
    image = Image.fromarray(mask.astype(np.uint8), mode="P")
    image.putpalette(palette.OVERLAY * 2)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", transparency=b"\x00\xff", bits=1)
    return buffer.getvalue()
