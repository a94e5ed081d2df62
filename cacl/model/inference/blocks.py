"""Masks and scores of a whole image, block by block, as lazy arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray
from scipy import special

from cacl.image.local_dab import MASK_LEVEL, edge_blur_sigma
from cacl.image.pixel_flags import candidate_mask, interior_mask, pixel_flags
from cacl.model.checkpoint import Model
from cacl.model.inference.masks import Morphology, mask_logits
from cacl.model.inference.predict import Float32, image_logits, predict_block
from cacl.model.inference.uncertainty import ViewAgreement
from cacl.runtime.images import DeviceLock
from cacl.stain.vectors import REFERENCE, StainVectors
from cacl.store import ImageMeta, Store

BLOCK_PX = 1024
OVERLAP_PX = 64


def predict_masks(
    store: Store,
    meta: ImageMeta,
    model: Model,
    morphology: Morphology,
    *,
    device_lock: DeviceLock | None = None,
    agreement: ViewAgreement | None = None,
) -> list[da.Array]:
    """Return the mask of each class of an image in the store; see `predict_array_masks`.

    Parameters
    ----------
    store, meta
        The store, and the image in it.
    model, morphology, device_lock, agreement
        See `predict_array_masks`.
    """
    return predict_array_masks(
        store.image(meta.image_id),
        store.label(meta.image_id, "cell"),
        meta.tile_px,
        model,
        morphology,
        device_lock=device_lock,
        agreement=agreement,
        vectors=meta.stain_vectors,
    )


def predict_array_masks(
    image: Any,
    cell: Any,
    tile_px: int,
    model: Model,
    morphology: Morphology,
    *,
    device_lock: DeviceLock | None = None,
    agreement: ViewAgreement | None = None,
    vectors: StainVectors = REFERENCE,
) -> list[da.Array]:
    """Return the mask of each class of one image, (y, x) bool, as lazy dask arrays.

    Blocks are computed when they are read. If all masks are read together, each block is computed
    once.

    Parameters
    ----------
    image
        (3, y, x) uint8, an array or an object that can be read as one; whole tiles.
    cell
        (y, x) cell mask, above 0 in cells.
    tile_px
        Side of a tile in pixels.
    model, morphology, device_lock
        See `predict_block`.
    agreement
        Counts the pixels of each block that is computed; None for no counts.
    vectors
        Stain vectors of the image.
    """
    packed = _map_blocks(
        functools.partial(
            _predict_packed,
            model=model,
            morphology=morphology,
            device_lock=device_lock,
            vectors=vectors,
        ),
        _layers(image, cell, tile_px),
        np.dtype(np.uint32),
    )
    if agreement is not None:
        map_blocks: Any = da.map_blocks
        empty = np.empty((0, 0), np.uint32)
        packed = map_blocks(agreement.count, packed, dtype=np.uint32, meta=empty)
    return [(packed & 1 << class_index) > 0 for class_index in range(len(model.classes))]


def predict_array_scores(
    image: Any, cell: Any, tile_px: int, model: Model, vectors: StainVectors = REFERENCE
) -> da.Array:
    """Return the score of the first class of one image, (y, x) float32 from 0 to 1, as dask array.

    The sigmoid of the mean logit over models and views; 0 where no mask is allowed.

    Parameters
    ----------
    image, cell, tile_px, model, vectors
        See `predict_array_masks`.
    """
    predict = functools.partial(_predict_scores, model=model, vectors=vectors)
    return _map_blocks(predict, _layers(image, cell, tile_px), np.dtype(np.float32))


def _layers(image: Any, cell: Any, tile_px: int) -> da.Array:
    """Return red, green, blue, cell and interior of an image as blocks (5, y, x)."""
    block = block_sides(cell.shape[0], tile_px), block_sides(cell.shape[1], tile_px)
    interior = da.from_array(interior_mask(cell), chunks=block, name=False).astype(np.uint8)
    cell_layer = da.from_array(cell, chunks=block, name=False)
    rgb = da.from_array(image, chunks=((3,), *block), name=False)
    layers: Any = da.concatenate([rgb, cell_layer[None], interior[None]])
    rechunked: da.Array = layers.rechunk(((5,), *block))
    return rechunked


def _map_blocks(
    predict: Callable[[NDArray[np.uint8]], NDArray[Any]], layers: da.Array, dtype: np.dtype[Any]
) -> da.Array:
    """Return an array (y, x) of a function of overlapping blocks of `_layers`."""
    mapped: da.Array = da.map_overlap(
        predict,
        layers,
        depth=(0, OVERLAP_PX, OVERLAP_PX) if layers.npartitions > 1 else 0,
        boundary="none",
        drop_axis=0,
        dtype=dtype,
        meta=np.empty((0, 0), dtype=dtype),
    )
    return mapped


def _predict_scores(layers: NDArray[np.uint8], *, model: Model, vectors: StainVectors) -> Float32:
    """Return the scores (y, x) of a block of `_layers`."""
    rgb, post = np.ascontiguousarray(layers[:3]), model.preset.post
    blur_sigma_px = edge_blur_sigma(rgb, vectors)
    flags = pixel_flags(rgb, layers[3], layers[4] > 0, blur_sigma_px, MASK_LEVEL, vectors)
    logits = image_logits(model.networks, rgb, None, post.n_tta, vectors)[:, 0].mean(0)
    masked = mask_logits(logits, candidate_mask(flags, model.classes[0].shape), post)
    return np.asarray(special.expit(masked), np.float32)


def _predict_packed(
    layers: NDArray[np.uint8],
    *,
    model: Model,
    morphology: Morphology,
    device_lock: DeviceLock | None,
    vectors: StainVectors,
) -> NDArray[np.uint32]:
    """Return `BlockMasks.pack` of a block (5, y, x): red, green, blue, cell and interior."""
    rgb = np.ascontiguousarray(layers[:3])
    interior = layers[4] > 0
    masks = predict_block(rgb, layers[3], interior, model, morphology, device_lock, vectors)
    return masks.pack()


def block_sides(size_px: int, tile_px: int) -> tuple[int, ...]:
    """Return the sides of blocks of whole tiles that cover `size_px`, without very small ones.

    The sides are `BLOCK_PX`, or the largest multiple of the tile below it. The last two blocks
    share the remaining tiles evenly.
    """
    tiles, tiles_per_block = size_px // tile_px, max(1, BLOCK_PX // tile_px)
    full_blocks, remainder = divmod(tiles, tiles_per_block)
    sides = [tiles_per_block] * full_blocks
    if remainder:
        left = remainder + (sides.pop() if sides else 0)
        sides += [left - left // 2, left // 2] if left > tiles_per_block else [left]
    return tuple(side * tile_px for side in sides)
