"""Prediction: logits of pixels, tiles and images, and the masks of an image, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress, islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from cacl.image.local_dab import MASK_LEVEL, edge_blur_sigma
from cacl.image.pixel_flags import candidate_mask, edge_mask, pixel_flags
from cacl.model.checkpoint import Model
from cacl.model.config import PostConfig
from cacl.model.data.dataset import FLAGS, TileDataset
from cacl.model.inference.masks import (
    MASKED_LOGIT,
    MAX_VIEWS,
    BlockMasks,
    Morphology,
    Thresholds,
    block_mask,
    can_have_mask,
    mask_logits,
)
from cacl.model.networks.autoencoder import DOWNSCALE, SIZE_DIVISOR, AutoEncoder, class_logits
from cacl.model.networks.codebook import flatten_positions
from cacl.model.networks.preprocess import dihedral, inverse_dihedral, preprocess
from cacl.runtime.images import DeviceLock
from cacl.stain.vectors import REFERENCE, StainVectors

Bool = NDArray[np.bool_]
Float32 = NDArray[np.float32]

BATCH_SIZE = 32
POSITIONS_PER_CHUNK = 1 << 13
# The last elements of an array, fewer than a vector of the CPU, round differently from the others.
POSITIONS_MULTIPLE = 64
# Elements of the dihedral group, see `dihedral`: flips and the half turn before quarter turns.
TTA_ORDER = (0, 6, 2, 4, 1, 3, 5, 7)
MAX_SAMPLE = 300
# Part of the area that the image gate asks for. Cores with a mask have far more on the unflipped
# image: benchmarks/results/segmentation.md.
MIN_FIRST_VIEW = 0.5


@torch.no_grad()
def view_logits(
    models: Sequence[AutoEncoder],
    rgb: Tensor,
    n_tta: int,
    used: Tensor | None = None,
    vectors: StainVectors = REFERENCE,
) -> Iterator[Tensor]:
    """Yield the logits (b, k, y, x) of each C_k by each model and each flip or rotation.

    The network input is equivariant to flips and rotations, so it is computed once. Logits are
    upsampled bilinearly; without a temperature by nearest neighbour, as in the paper.

    Parameters
    ----------
    models, rgb, n_tta, vectors
        See `pixel_logits`.
    used
        (y, x) bool: the pixels of a single image, b = 1, whose logits are used; those of other
        pixels are then undefined. None for all pixels.
    """
    positions = None if used is None else _upsampled_positions(used)
    names = {model.architecture.input for model in models}
    inputs = {name: preprocess(rgb, name, vectors) for name in names}
    for element in TTA_ORDER[:n_tta]:
        for model in models:
            embedding = model.encode(dihedral(inputs[model.architecture.input], element))
            if positions is None:
                logits = _logits_in_chunks(model, embedding)
            else:
                logits = _logits_at(model, embedding, dihedral(positions, element))
            mode = "bilinear" if model.architecture.temperature else "nearest"
            upsampled = F.interpolate(logits, scale_factor=float(DOWNSCALE), mode=mode)
            yield inverse_dihedral(upsampled, element)


def _logits_in_chunks(model: AutoEncoder, embedding: Tensor) -> Tensor:
    """Return `class_logits` of (b, d, y, x) embeddings, in chunks of rows that fit into a cache."""
    rows = max(1, POSITIONS_PER_CHUNK // (embedding.shape[0] * embedding.shape[3]))
    logits = []
    for chunk in torch.split(embedding, rows, 2):
        features = model.scale_embedding(chunk)
        distances = model.codebook.distances(flatten_positions(features))
        logits.append(class_logits(model, features, distances))
    return torch.cat(logits, dim=2)


def _logits_at(model: AutoEncoder, embedding: Tensor, positions: Tensor) -> Tensor:
    """Return `class_logits` of a (1, d, y, x) embedding where `positions` (y, x) holds, else 0."""
    vectors = embedding[0].permute(1, 2, 0)[positions]
    padded = F.pad(vectors, (0, 0, 0, -len(vectors) % POSITIONS_MULTIPLE))
    by_class = _logits_in_chunks(model, padded.T[None, :, :, None])[0, :, : len(vectors), 0]
    logits = by_class.new_zeros(1, len(by_class), *positions.shape)
    logits[0, :, positions] = by_class
    return logits


def _upsampled_positions(used: Tensor) -> Tensor:
    """Return the positions (y / 2, x / 2) from which bilinear upsampling makes the used pixels."""
    pixels = used[None].float()
    return F.max_pool2d(pixels, 2 * DOWNSCALE, DOWNSCALE, padding=DOWNSCALE // 2)[0] > 0


def pixel_logits(
    models: Sequence[AutoEncoder], rgb: Tensor, n_tta: int, vectors: StainVectors = REFERENCE
) -> Tensor:
    """Return the logits of each C_k of each pixel, averaged over models and views.

    Parameters
    ----------
    models
        In evaluation mode.
    rgb
        (b, 3, y, x) uint8; y and x multiples of `SIZE_DIVISOR`.
    n_tta
        Number of flips and rotations of test-time augmentation, 1 to 8.
    vectors
        Stain vectors of the images.

    Returns
    -------
    (b, k, y, x) float32.
    """
    return torch.stack(list(view_logits(models, rgb, n_tta, None, vectors))).mean(0)


def tile_logits(
    models: Sequence[AutoEncoder],
    pixels: Tensor,
    n_tta: int,
    class_index: int,
    vectors: StainVectors = REFERENCE,
) -> Tensor:
    """Return the logits (n, y, x) of one class of tiles (n, 3, y, x), on the CPU, in batches."""
    device = next(models[0].parameters()).device
    batches = [
        pixel_logits(models, pixels[start : start + BATCH_SIZE].to(device), n_tta, vectors)[
            :, class_index
        ].cpu()
        for start in range(0, len(pixels), BATCH_SIZE)
    ]
    return torch.cat(batches)


def predict_logits(
    models: Sequence[AutoEncoder],
    tiles: TileDataset,
    indices: Tensor,
    class_index: int,
    post: PostConfig,
    n_tta: int,
) -> Float32:
    """Return the logits (n, y, x) of one class of some tiles, masked to candidate pixels.

    Parameters
    ----------
    models
        In evaluation mode.
    tiles, indices
        The data set, and the indices (n,) of the tiles.
    class_index
        Index of the class in `tiles.classes`.
    post
        Whether pixels that are no candidates are masked; see `mask_logits`.
    n_tta
        Number of flips and rotations of test-time augmentation, 1 to 8.
    """
    pixels = tiles.pixels[indices, :FLAGS]
    logits = tile_logits(models, pixels, n_tta, class_index, tiles.stain_vectors).numpy()
    candidate = candidate_mask(
        tiles.pixels[indices, FLAGS].numpy(), tiles.classes[class_index].shape
    )
    return mask_logits(logits, candidate, post)


def interior_only(logits: Float32, tiles: TileDataset, indices: Tensor) -> Float32:
    """Return the logits (n, y, x) of some tiles, masked at the edge of a core."""
    return np.where(edge_mask(tiles.pixels[indices, FLAGS].numpy()), MASKED_LOGIT, logits)


def spread_indices(selected: Tensor) -> Tensor:
    """Return at most `MAX_SAMPLE` indices where `selected` (n,) is true, evenly spread."""
    indices = torch.nonzero(selected).flatten()
    return indices[:: -(-len(indices) // MAX_SAMPLE) or 1]


def image_views(
    models: Sequence[AutoEncoder],
    rgb: NDArray[np.uint8],
    used: Bool | None,
    n_tta: int,
    vectors: StainVectors = REFERENCE,
) -> Iterator[Float32]:
    """Yield the logits of one image by each view: (k, y, x).

    A view is one model on one flip or rotation of the image. It is computed when it is asked for.

    Parameters
    ----------
    models
        In evaluation mode.
    rgb
        (3, y, x) of any size.
    used
        (y, x): pixels whose logits are used; those of other pixels are undefined. None for all
        pixels.
    n_tta
        Number of flips and rotations of test-time augmentation, 1 to 8.
    vectors
        Stain vectors of the image.
    """
    _, height, width = rgb.shape
    margins = (0, -height % SIZE_DIVISOR), (0, -width % SIZE_DIVISOR)
    device = next(models[0].parameters()).device
    padded = torch.from_numpy(np.pad(rgb, ((0, 0), *margins), mode="edge"))[None].to(device)
    padded_used = None if used is None else torch.from_numpy(np.pad(used, margins)).to(device)
    for view in view_logits(models, padded, n_tta, padded_used, vectors):
        yield view[0, :, :height, :width].cpu().numpy()


def image_logits(
    models: Sequence[AutoEncoder],
    rgb: NDArray[np.uint8],
    used: Bool | None,
    n_tta: int,
    vectors: StainVectors = REFERENCE,
) -> Float32:
    """Return the logits of one image by all views, (v, k, y, x); see `image_views`."""
    return np.stack(list(image_views(models, rgb, used, n_tta, vectors)))


def predict_block(
    rgb: NDArray[np.uint8],
    cell: NDArray[np.uint8],
    interior: Bool,
    model: Model,
    morphology: Morphology,
    device_lock: DeviceLock | None = None,
    vectors: StainVectors = REFERENCE,
) -> BlockMasks:
    """Return the masks of one block of an image.

    Only the scores of candidate pixels are computed, because a mask has no other pixels. Without
    enough candidates for a mask, see `can_have_mask`, the network does not run. If the
    models find far too few pixels for a mask on the unflipped image, see `MIN_FIRST_VIEW`, they do
    not run on the flips.

    Parameters
    ----------
    rgb
        (3, y, x).
    cell
        (y, x) cell mask, above 0 in cells.
    interior
        (y, x) bool: False at the edge of a core.
    model
        A trained model.
    morphology
        Applied to the mask of each class, not to those of single views.
    device_lock
        Held while the network runs; None for no lock.
    vectors
        Stain vectors of the image.
    """
    is_cell = cell > 0
    blur_sigma_px = edge_blur_sigma(rgb, vectors)
    flags = pixel_flags(rgb, cell, interior, blur_sigma_px, MASK_LEVEL, vectors)
    cell_px = int(is_cell.sum())
    post = model.preset.post
    candidates = [
        candidate_mask(flags, target.shape) if post.use_stain_prior else np.ones(cell.shape, bool)
        for target in model.classes
    ]
    possible = [
        can_have_mask(candidate, interior, cell_px, thresholds)
        for candidate, thresholds in zip(candidates, model.thresholds, strict=True)
    ]
    used = np.logical_or.reduce([np.zeros(cell.shape, bool), *compress(candidates, possible)])
    views = image_views(model.networks, rgb, used, post.n_tta, vectors)

    def next_views(number: int) -> list[Float32]:
        some = islice(views, number)
        return device_lock.call(list, some) if device_lock else list(some)

    n_models, n_views = len(model.networks), len(model.networks) * post.n_tta
    first = next_views(n_models) if any(possible) else []
    if not first or not _may_have_mask(
        np.mean(first, axis=0), candidates, interior, cell_px, model.thresholds
    ):
        empty = np.zeros(cell.shape, bool)
        return BlockMasks(is_cell, (empty,) * len(candidates), (empty,) * min(n_views, MAX_VIEWS))
    logits = np.stack([*first, *next_views(n_views - n_models)])

    def mask_of(values: Float32, class_index: int) -> Bool:
        masked = mask_logits(values, candidates[class_index], post)
        return block_mask(masked, interior, cell_px, model.thresholds[class_index], post)

    return BlockMasks(
        cell=is_cell,
        classes=tuple(
            morphology.apply(mask_of(mean, class_index))
            for class_index, mean in enumerate(logits.mean(0))
        ),
        views=tuple(mask_of(view, 0) for view in logits[:MAX_VIEWS, 0]),
    )


def _may_have_mask(
    logits: Float32,
    candidates: Sequence[Bool],
    interior: Bool,
    cell_px: int,
    thresholds: Sequence[Thresholds],
) -> bool:
    """Return whether the first view (k, y, x) finds enough of some class to go on."""
    return any(
        int((candidate & interior & (values > of_class.high)).sum())
        >= MIN_FIRST_VIEW * of_class.min_area_fraction * cell_px
        for values, candidate, of_class in zip(logits, candidates, thresholds, strict=True)
    )
