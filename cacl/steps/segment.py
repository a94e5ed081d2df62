"""Write the stain mask of every image of a shard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from numpy.typing import NDArray

from cacl import tables
from cacl.errors import ImageError, Reason, StoreError
from cacl.model import morphology as shapes
from cacl.model.checkpoint import Model, load_model
from cacl.model.contrast import stands_out
from cacl.model.mask import possible, stain_mask
from cacl.model.score import image_log_odds
from cacl.records import SegmentedRow, TileStatRow
from cacl.steps.runner import finish, run_images
from cacl.store import ImageMeta, Store, digest_of

SEGMENT_VERSION = 1
LABEL = "stain"
BLOCK_PX = 1024
RIM_PX = 64


def segment(
    tiles: Path,
    store: Path,
    model: Path,
    out: Path,
    failures: Path,
    *,
    morphology: str,
    radius_px: int,
    threads: int = 2,
    strict: bool = False,
) -> None:
    """Score every image and write its mask into the store as `labels/stain`.

    An image is scored in blocks of 1024 px that see 64 px of their neighbours, so that memory
    does not grow with the image. A mask made from the same tiles, model and parameters is left
    as it is.

    Parameters
    ----------
    tiles
        Table of `cacl tile` (`TileStatRow`) of a shard.
    store
        The OME-Zarr store.
    model
        Folder that `cacl train` wrote.
    out
        Table of `SegmentedRow`.
    failures
        CSV of the images left out.
    morphology, radius_px
        `none`, `dilation`, `opening` or `closing` with a disc of that radius, analysis px.
    threads
        CPU threads.
    strict
        Raise `StrictError` if an image failed.

    Raises
    ------
    CheckpointError
        The model cannot be used.
    ConfigError
        No such morphology.
    """
    shapes.check(morphology, radius_px)
    torch.set_num_threads(threads)
    atlas, trained = Store(store), load_model(model)
    fabric = Fabric(accelerator="auto", devices=1, plugins=[LightningEnvironment()])
    trained.network.to(fabric.device)

    def work(row: TileStatRow) -> SegmentedRow:
        meta = _meta(atlas, row)
        digest = digest_of(
            "segment", SEGMENT_VERSION, meta.digest, trained.digest, morphology, radius_px
        )
        if atlas.label_digest(row.image_id, LABEL) != digest:
            mask = image_mask(atlas, meta, trained, morphology, radius_px)
            atlas.write_label(row.image_id, LABEL, mask, digest)
        return SegmentedRow(image_id=row.image_id, antibody_id=row.antibody_id, digest=digest)

    rows = tables.read_parquet(tiles, TileStatRow)
    first_rows = list({row.image_id: row for row in reversed(rows)}.values())[::-1]
    outcome = run_images("segment", first_rows, work, source=lambda row: row.image_id)
    finish(outcome, SegmentedRow, out, failures, strict=strict)


def _meta(atlas: Store, row: TileStatRow) -> ImageMeta:
    try:
        meta = atlas.meta(row.image_id)
    except StoreError as error:
        raise ImageError(Reason.NOT_FOUND, str(error)) from error
    if meta.digest != row.digest:
        raise ImageError(
            Reason.CHANGED,
            f"The store's tiles of {row.image_id} are not those that the table of tiles lists; "
            "run `cacl tile` again",
        )
    return meta


def image_mask(
    atlas: Store, meta: ImageMeta, model: Model, morphology: str, radius_px: int
) -> da.Array:
    """Return the mask of one image, (y, x) bool, computed block by block when it is read."""
    image, cell = atlas.image(meta.image_id), atlas.label(meta.image_id, "cell")
    layers: Any = da.concatenate([da.from_zarr(image), da.from_zarr(cell)[None]])
    layers = layers.rechunk((4, BLOCK_PX, BLOCK_PX))
    mask: da.Array = da.map_overlap(
        block_mask,
        layers,
        depth=(0, RIM_PX, RIM_PX) if layers.npartitions > 1 else 0,
        boundary="none",
        drop_axis=0,
        dtype=bool,
        meta=np.empty((0, 0), dtype=bool),
        model=model,
        morphology=morphology,
        radius_px=radius_px,
    )
    return mask


def block_mask(
    layers: NDArray[np.uint8], *, model: Model, morphology: str, radius_px: int
) -> NDArray[np.bool_]:
    """Return the mask (y, x) of a block, after morphology.

    Parameters
    ----------
    layers
        (4, y, x) uint8: red, green, blue and the cell mask.
    model
        The trained model.
    morphology, radius_px
        See `cacl.model.morphology`.
    """
    rgb, cell = np.ascontiguousarray(layers[:3]), layers[3] > 0
    scores = image_log_odds(model.network, rgb, model.preset.flips)
    scores = possible(scores, stands_out(rgb), cell, model.preset)
    return shapes.apply(stain_mask(scores, model.thresholds, model.preset), morphology, radius_px)
