"""Thumbnails of cores and of their masks, for a browser."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from cacl.errors import ImageError, StoreError
from cacl.image import palette
from cacl.report.downsample import block_means, downsample
from cacl.runtime.progress import track
from cacl.runtime.resources import raise_if_short
from cacl.store import Store
from cacl.tables import write_bytes

log = logging.getLogger(__name__)

MAX_THUMBNAILS = 1500
MAX_CORES_PER_ANTIBODY = 12
MAX_SIDE_PX = 512
MAX_BYTES = 60_000
WEBP_QUALITIES = (82, 70, 55, 40, 25, 10)
MASK_ALPHA = 225
ALPHA_LEVELS = 16


@dataclass(frozen=True)
class Thumbnail:
    """Picture of a core beside the page, and its mask.

    Parameters
    ----------
    core, mask
        Paths of the picture and of its mask, relative to the report's folder.
    width, height
        Size of both, in px.
    """

    core: str
    mask: str
    width: int
    height: int


def write_thumbnails(
    store: Store, images: pd.DataFrame, antibody_ids: Sequence[str], folder: Path, jobs: int
) -> dict[str, Thumbnail]:
    """Write the thumbnails of the cores of some antibodies.

    Parameters
    ----------
    store
        The OME-Zarr store.
    images
        Columns of `MeasureRow`, one row per image.
    antibody_ids
        Antibodies in the order of their priority: of each the first `MAX_CORES_PER_ANTIBODY`
        images get a thumbnail, at most `MAX_THUMBNAILS` in all.
    folder
        The report's folder; the files go to its `images/`, which is created in any case.
    jobs
        Thumbnails at a time.

    Returns
    -------
    The thumbnails by image; without the images that the store cannot read.
    """
    priority = {antibody_id: index for index, antibody_id in enumerate(antibody_ids)}
    candidates = images[images["antibody_id"].isin(priority)]
    cores = candidates.groupby("antibody_id", sort=False).head(MAX_CORES_PER_ANTIBODY)
    order = cores["antibody_id"].map(priority).argsort(kind="stable")
    image_ids = cores["image_id"].iloc[order].tolist()[:MAX_THUMBNAILS]
    (folder / "images").mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        results = pool.map(lambda image_id: write_thumbnail(store, image_id, folder), image_ids)
        written = list(track(results, "report: thumbnails", len(image_ids)))
    return {
        image_id: thumbnail
        for image_id, thumbnail in zip(image_ids, written, strict=True)
        if thumbnail
    }


def write_thumbnail(store: Store, image_id: str, folder: Path) -> Thumbnail | None:
    """Write a core's thumbnail and its mask, each at most `MAX_SIDE_PX` px and `MAX_BYTES` bytes.

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
    The paths, with `/` and safe characters only; None, with a warning, if the store cannot read
    the image: a report that lacks one thumbnail is still of use.
    """
    try:
        store.path(image_id)
        image = store.image(image_id)
        factor = -(-max(image.shape[-2:]) // MAX_SIDE_PX)
        pixels = downsample(image, factor)
        mask = downsample(store.label(image_id, "stain"), factor)
    except (ImageError, StoreError) as error:
        raise_if_short(error, f"report: thumbnail of {image_id}")
        log.warning("report: no thumbnail of %s: %s", image_id, error)
        return None
    core_path, mask_path = f"images/{image_id}.webp", f"images/{image_id}.mask.png"
    write_bytes(folder / core_path, encode_core(pixels))
    write_bytes(folder / mask_path, encode_mask(mask))
    return Thumbnail(core_path, mask_path, width=pixels.shape[2], height=pixels.shape[1])


def encode_core(pixels: NDArray[np.float32]) -> bytes:
    """Return a (3, y, x) image of 0-255 as WebP, at the best quality that fits into `MAX_BYTES`.

    The image is halved if no quality fits, as for noise.
    """
    image = Image.fromarray(np.rint(pixels).astype(np.uint8).transpose(1, 2, 0))
    for quality in WEBP_QUALITIES:
        buffer = io.BytesIO()
        image.save(buffer, format="WEBP", quality=quality, method=2)
        if buffer.tell() <= MAX_BYTES:
            return buffer.getvalue()
    return encode_core(block_means(pixels, 2))


def encode_mask(mask: NDArray[np.float32]) -> bytes:
    """Return a (y, x) coverage of 0-1 as PNG in `palette.OVERLAY`, opacity by coverage.

    A mask that does not fit into `MAX_BYTES` is halved.
    """
    levels = np.rint(mask * (ALPHA_LEVELS - 1)).astype(np.uint8)
    image = Image.fromarray(levels, mode="P")
    image.putpalette(palette.OVERLAY * ALPHA_LEVELS)
    alpha = bytes(MASK_ALPHA * level // (ALPHA_LEVELS - 1) for level in range(ALPHA_LEVELS))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", transparency=alpha, bits=4)
    if buffer.tell() <= MAX_BYTES:
        return buffer.getvalue()
    return encode_mask(block_means(mask, 2))
