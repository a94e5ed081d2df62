"""Write the stain masks of every image of a shard."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from cacl import tables
from cacl.config import SegmentConfig
from cacl.errors import ImageError, Reason, StoreError
from cacl.hpa.target_class import label_name
from cacl.model.checkpoint import load_model
from cacl.model.device import default_device, prepare_for_device
from cacl.model.inference.blocks import predict_masks
from cacl.model.inference.masks import MAX_VIEWS, Morphology
from cacl.model.inference.uncertainty import ViewAgreement
from cacl.runtime.digest import digest_of
from cacl.runtime.images import DeviceLock, plan_workers, run_images
from cacl.runtime.malloc import tune_malloc
from cacl.runtime.resources import raise_if_short
from cacl.runtime.step_versions import STEP_VERSIONS
from cacl.steps.outputs import write_outputs
from cacl.store import ImageMeta, Store
from cacl.tables.schemas import SegmentedRow, TileStatRow

log = logging.getLogger(__name__)

VIEW_AGREEMENT = ("confidence", "ratio_sd")
"""Attributes of the first class's mask; see `ViewAgreement.attributes`."""


def segment(
    tiles: Path,
    store: Path,
    model: Path,
    out: Path,
    failures: Path,
    config: SegmentConfig,
    *,
    threads: int = 2,
    strict: bool = False,
) -> None:
    """Predict the masks of every image and write them into the store.

    The mask of the first class becomes `labels/stain`, those of further classes
    `labels/stain-<class>`. Images are predicted in blocks of up to 1024 px (a core of 1 mm) with an
    overlap of 64 px, so that memory does not grow with the image. Reading, prediction and writing
    of several images overlap. A mask is kept if it was made from the same tiles, model and
    morphology.

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
        CSV of the images without a mask.
    config
        Morphology, applied to the mask of each class.
    threads
        CPU threads.
    strict
        Raise `StrictError` if an image failed.

    Raises
    ------
    CheckpointError
        The model cannot be used.
    DiskError, ResourceError
        Disk, memory or file handles are short; see `cacl.runtime.images.run_images`.
    """
    tune_malloc()
    morphology = Morphology(config.morphology, config.radius_px)
    image_store, trained = Store(store), load_model(model)
    device = default_device()
    for network in trained.networks:
        prepare_for_device(network, device)
    rows = tables.read_parquet(tiles, TileStatRow)
    first_rows = list({row.image_id: row for row in reversed(rows)}.values())[::-1]
    pipeline = plan_workers(threads, len(first_rows), on_gpu=device.type == "cuda")
    torch.set_num_threads(pipeline.threads)
    device_lock = DeviceLock() if pipeline.lock_device else None

    names = [label_name(index, target) for index, target in enumerate(trained.classes)]
    classes = ";".join(target.name for target in trained.classes)
    n_views = min(MAX_VIEWS, len(trained.networks) * trained.preset.post.n_tta)

    def segment_image(row: TileStatRow) -> SegmentedRow:
        meta = _read_meta(image_store, row)
        digest = digest_of(
            "segment",
            STEP_VERSIONS["segment"],
            meta.digest,
            trained.digest,
            morphology.operation,
            morphology.radius_px,
        )
        if not _has_masks(image_store, row.image_id, names, digest):
            agreement = ViewAgreement(n_views)
            try:
                masks = predict_masks(
                    image_store,
                    meta,
                    trained,
                    morphology,
                    device_lock=device_lock,
                    agreement=agreement,
                )
                by_name = dict(zip(names, masks, strict=True))
                image_store.write_labels(row.image_id, by_name, digest, agreement.attributes)
            except StoreError as error:
                raise ImageError(Reason.DAMAGED, str(error)) from error
        else:
            image_store.remove_leftovers(row.image_id, *names)
        attributes = image_store.label_attrs(row.image_id, names[0])
        return SegmentedRow(
            image_id=row.image_id,
            antibody_id=row.antibody_id,
            digest=digest,
            confidence=attributes["confidence"],
            ratio_sd=attributes["ratio_sd"],
            classes=classes,
        )

    outcome = run_images(
        "segment", first_rows, segment_image, source=lambda row: row.image_id, jobs=pipeline.images
    )
    made_with = tables.made_with("segment", model=trained.digest, **config.model_dump())
    write_outputs(outcome, SegmentedRow, out, failures, strict=strict, made_with=made_with)


def _has_masks(store: Store, image_id: str, names: Sequence[str], digest: str) -> bool:
    """Return whether all masks exist, complete and made from the data of `digest`."""
    try:
        attributes = store.label_attrs(image_id, names[0])
        return all(
            isinstance(attributes.get(name, ""), float | None) for name in VIEW_AGREEMENT
        ) and all(
            store.label_digest(image_id, name) == digest and bool(store.label(image_id, name).shape)
            for name in names
        )
    except StoreError as error:
        raise_if_short(error, f"segment: {image_id}")
        log.warning("segment: %s: %s; its masks are made again", image_id, error)
        return False


def _read_meta(store: Store, row: TileStatRow) -> ImageMeta:
    try:
        meta = store.meta(row.image_id)
    except StoreError as error:
        reason = Reason.DAMAGED if store.path(row.image_id).exists() else Reason.NOT_FOUND
        raise ImageError(reason, str(error)) from error
    if meta.digest != row.digest:
        raise ImageError(
            Reason.CHANGED,
            f"The tiles of {row.image_id} in the store differ from those in the table of tiles; "
            "run `cacl tile` again",
        )
    return meta
