"""Write the stain mask of every image of a shard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import torch
from numpy.typing import NDArray

from cacl import tables
from cacl.errors import ImageError, Reason, StoreError
from cacl.hpa.target_class import label_name
from cacl.image.local_dab import MASK_LEVEL, edge_blur_sigma
from cacl.model.checkpoint import Model, load_model
from cacl.model.data.dataset import candidate_mask, interior_mask, pixel_flags
from cacl.model.device import default_device, prepare_for_device
from cacl.model.inference import morphology as shapes
from cacl.model.inference.masks import block_mask, possible
from cacl.model.inference.predict import image_views
from cacl.model.inference.uncertainty import CELL_BIT, FIRST_VIEW_BIT, MOST_VIEWS, ViewAgreement
from cacl.runtime.images import DeviceLock, plan_workers, run_images
from cacl.runtime.malloc import tune_malloc
from cacl.steps.outputs import write_outputs
from cacl.store import ImageMeta, Store, digest_of
from cacl.tables.schemas import SegmentedRow, TileStatRow

SEGMENT_VERSION = 5
BLOCK_PX = 1024
OVERLAP_PX = 64


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

    The masks of further classes go into `labels/stain-<class>`.

    An image is scored in blocks of up to 1024 px, a core of 1 mm, that see 64 px of their
    neighbours, so that memory does not grow with the image. A block of which too few cells are
    sure has no mask, see `mask.block_mask`. Images are read, scored and written at the same time,
    see `plan_workers`. A mask made from the same
    tiles, model and parameters is left as it is.

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
    tune_malloc()
    atlas, trained = Store(store), load_model(model)
    device = default_device()
    for network in trained.networks:
        prepare_for_device(network, device)
    rows = tables.read_parquet(tiles, TileStatRow)
    first_rows = list({row.image_id: row for row in reversed(rows)}.values())[::-1]
    pipeline = plan_workers(threads, len(first_rows), on_gpu=device.type == "cuda")
    torch.set_num_threads(pipeline.threads)
    turns = DeviceLock() if pipeline.lock_device else None

    names = [label_name(place, one) for place, one in enumerate(trained.classes)]
    classes = ";".join(one.name for one in trained.classes)

    def work(row: TileStatRow) -> SegmentedRow:
        meta = _meta(atlas, row)
        digest = digest_of(
            "segment", SEGMENT_VERSION, meta.digest, trained.digest, morphology, radius_px
        )
        if any(atlas.label_digest(row.image_id, name) != digest for name in names):
            votes = ViewAgreement(min(MOST_VIEWS, len(trained.networks) * trained.preset.flips))
            masks = image_masks(atlas, meta, trained, morphology, radius_px, turns, votes)
            by_name = dict(zip(names, masks, strict=True))
            atlas.write_labels(row.image_id, by_name, digest, votes.facts)
        facts = atlas.label_facts(row.image_id, names[0])
        return SegmentedRow(
            image_id=row.image_id,
            antibody_id=row.antibody_id,
            digest=digest,
            confidence=facts["confidence"],
            ratio_sd=facts["ratio_sd"],
            classes=classes,
        )

    outcome = run_images(
        "segment", first_rows, work, source=lambda row: row.image_id, jobs=pipeline.images
    )
    write_outputs(outcome, SegmentedRow, out, failures, strict=strict)


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


def image_masks(
    atlas: Store,
    meta: ImageMeta,
    model: Model,
    morphology: str,
    radius_px: int,
    turns: DeviceLock | None = None,
    votes: ViewAgreement | None = None,
) -> list[da.Array]:
    """Return the mask of each class of one image, (y, x) bool.

    They are computed block by block when they are read; read together, a block is scored once,
    and counted in `votes`.
    """
    image, cell = atlas.image(meta.image_id), atlas.label(meta.image_id, "cell")
    block = block_sides(meta.grid.height, meta.tile_px), block_sides(meta.grid.width, meta.tile_px)
    inner = da.from_array(interior_mask(cell), chunks=block, name=False).astype(np.uint8)
    of_cells = da.from_array(cell, chunks=block, name=False)
    pixels = da.from_array(image, chunks=((3,), *block), name=False)
    parts = [pixels, of_cells[None], inner[None]]
    layers: Any = da.concatenate(parts).rechunk(((5,), *block))
    bits: da.Array = da.map_overlap(
        block_bits,
        layers,
        depth=(0, OVERLAP_PX, OVERLAP_PX) if layers.npartitions > 1 else 0,
        boundary="none",
        drop_axis=0,
        dtype=np.uint32,
        meta=np.empty((0, 0), dtype=np.uint32),
        model=model,
        morphology=morphology,
        radius_px=radius_px,
        turns=turns,
    )
    if votes is not None:
        counted: Any = da.map_blocks
        bits = counted(votes.take, bits, dtype=np.uint32, meta=np.empty((0, 0), np.uint32))
    return [(bits & 1 << place) > 0 for place in range(len(model.classes))]


def block_sides(size_px: int, tile_px: int) -> tuple[int, ...]:
    """Return the sides of blocks of whole tiles that cover `size_px`, none much smaller than two.

    All are of `BLOCK_PX`, or as near below as tiles allow; the last two share what is left.
    """
    tiles, most = size_px // tile_px, max(1, BLOCK_PX // tile_px)
    whole, rest = divmod(tiles, most)
    sides = [most] * whole
    if rest:
        left = rest + (sides.pop() if sides else 0)
        sides += [left - left // 2, left // 2] if left > most else [left]
    return tuple(side * tile_px for side in sides)


def block_bits(
    layers: NDArray[np.uint8],
    *,
    model: Model,
    morphology: str,
    radius_px: int,
    turns: DeviceLock | None = None,
) -> NDArray[np.uint32]:
    """Return what is known of each pixel of a block, as bits of (y, x).

    The masks of the classes after morphology, the first the lowest bit; whether there is a cell;
    and the mask of the first class by each view, before morphology; see `votes`.

    Parameters
    ----------
    layers
        (5, y, x) uint8: red, green, blue, the cell mask, and what is not on the rim.
    model
        The trained model.
    morphology, radius_px
        See `cacl.model.inference.morphology`.
    turns
        When the network may be used; at any time if None.
    """
    rgb = np.ascontiguousarray(layers[:3])
    cell = layers[3] > 0
    inner = layers[4] > 0
    marks, cell_px = (
        pixel_flags(rgb, layers[3], inner, edge_blur_sigma(rgb), MASK_LEVEL),
        int(cell.sum()),
    )
    given = model.networks, rgb, model.preset.flips
    seen = turns.call(image_views, *given) if turns else image_views(*given)

    def mask_of(scores: NDArray[np.float32], place: int) -> NDArray[np.bool_]:
        own = possible(scores, candidate_mask(marks, model.classes[place]), model.preset)
        return block_mask(own, inner, cell_px, model.thresholds[place], model.preset)

    bits: NDArray[np.uint32] = cell.astype(np.uint32) << CELL_BIT
    for place, scores in enumerate(seen.mean(0)):
        mask = shapes.apply(mask_of(scores, place), morphology, radius_px)
        bits |= mask.astype(np.uint32) << place
    for number, scores in enumerate(seen[:MOST_VIEWS, 0]):
        bits |= mask_of(scores, 0).astype(np.uint32) << (FIRST_VIEW_BIT + number)
    return bits
