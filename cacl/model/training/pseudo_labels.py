"""Labels that the training itself produces: of tiles by the model, of pixels by its teachers.

Image labels are weak: a positive image (the bag) shows a class somewhere, not on every tile (the
instance). `relabel_instances` finds the tiles that show it (multiple-instance learning).

Teachers are small networks with a small receptive field. They can separate positive from negative
tiles by the class alone, and not by what occurs beside it; for the same reason they take other
stain for the class. Their most confident pixels are mostly right and become the targets of a
student, a larger network with a large receptive field (self-training, docs/method.md).
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cacl.errors import TrainingError
from cacl.hpa.pixel_labels import PseudoLabel
from cacl.image.pixel_flags import candidate_mask, edge_mask
from cacl.model.config import PostConfig, Preset
from cacl.model.data.batches import InstanceLabels
from cacl.model.data.dataset import FLAGS, PSEUDO_LABELS, TileDataset
from cacl.model.inference.masks import MASKED_LOGIT, Thresholds, hysteresis_mask, mask_logits
from cacl.model.inference.predict import interior_only, predict_logits, spread_indices
from cacl.model.inference.thresholds import TRAIN_MORE, threshold_at_recall
from cacl.model.networks.autoencoder import AutoEncoder

log = logging.getLogger(__name__)
MIN_TILES = 8
REFERENCE_TILES = 100
RELABEL_FPR = 0.002
MIN_TILE_AREA = 0.01
KEPT_PER_IMAGE = 0.25
FRACTION_RANGE = 0.005, 0.3
# Fractions of the class above two scores: pixels are negative below one, positive above the other.
RECALLS = 0.95, 0.5
NEGATIVE_QUANTILE = 0.99
# The best teachers of the demo have 0.17 to 0.21; at 0.06 a model can miss most of the class.
MIN_SEPARATION = 0.1


def relabel_instances(
    model: AutoEncoder,
    tiles: TileDataset,
    held_out: TileDataset,
    labels: InstanceLabels,
    class_index: int,
    post: PostConfig,
    rng: torch.Generator,
) -> None:
    """Relabel the tiles of one class's positive images by the logits of the model.

    A tile is positive if more than 1 % of it has a logit above 0 and above the 99.8 % quantile of
    negative tiles, half of them held out. The quarter of the tiles of each image with the highest
    logits is positive in any case: each positive image shows the class somewhere, and the model is
    to learn what all of them show. With fewer than `MIN_TILES` positive tiles the labels stay.

    Parameters
    ----------
    model
        In evaluation mode.
    tiles, held_out
        Tiles of the training split, and held-out negative tiles.
    labels
        Changed in place.
    class_index
        Index of the class.
    post
        Whether logits are masked to candidate pixels.
    rng
        Samples the negative tiles.
    """
    reference = np.concatenate(
        [
            predict_logits(
                [model],
                negatives,
                sample_tiles(negatives.negative[:, class_index], rng),
                class_index,
                post,
                1,
            )
            for negatives in (tiles, held_out)
        ]
    )
    limit = max(0.0, float(np.quantile(reference, 1.0 - RELABEL_FPR)))
    indices = torch.nonzero(tiles.positive[:, class_index]).flatten()
    logits = predict_logits([model], tiles, indices, class_index, post, 1)
    logits = interior_only(logits, tiles, indices)
    area = torch.from_numpy(logits > limit).float().mean((1, 2))
    positive = (area > MIN_TILE_AREA) | tiles.manual[indices, class_index]
    positive |= _best_of_each_image(highest_logits(logits).mean(1), tiles.image_index[indices])
    n_positive = int(positive.sum())
    log.info(
        "train: %s: %d of %d tiles of positive images have logits above %.2f on more than %g of "
        "their area",
        tiles.classes[class_index].name,
        n_positive,
        len(positive),
        limit,
        MIN_TILE_AREA,
    )
    if n_positive < MIN_TILES:
        return
    labels.positive[:, class_index] = False
    labels.positive[indices, class_index] = positive
    labels.positive_fraction[:, class_index] = 0.0
    labels.positive_fraction[indices, class_index] = area.clamp(*FRACTION_RANGE)
    labels.relabelled[class_index] = True


def sample_tiles(labelled: Tensor, rng: torch.Generator) -> Tensor:
    """Return at most 100 random indices where `labelled` (n,) is True."""
    indices = torch.nonzero(labelled).flatten()
    return indices[torch.randperm(len(indices), generator=rng)[:REFERENCE_TILES]]


def highest_logits(logits: NDArray[np.float32]) -> Tensor:
    """Return the highest 1 % of the logits of each tile: (n, pixels) of (n, y, x)."""
    pixels = torch.from_numpy(logits).flatten(1)
    return pixels.topk(max(1, round(MIN_TILE_AREA * pixels.shape[1]))).values


def _best_of_each_image(score: Tensor, image_index: Tensor) -> Tensor:
    """Return the tiles (n,) bool in the best quarter of their image by score."""
    best = torch.zeros(len(score), dtype=torch.bool)
    for index in np.unique(image_index.numpy()):
        tiles = torch.nonzero(image_index == int(index)).flatten()
        k = max(1, round(KEPT_PER_IMAGE * len(tiles)))
        best[tiles[score[tiles].topk(k).indices]] = True
    return best


@dataclass(frozen=True, eq=False)
class SelectedTeacher:
    """A teacher, and how well it separates positive from negative tiles.

    Parameters
    ----------
    model
        In evaluation mode.
    separation
        Fraction of the candidate pixels of positive tiles, 0 to 1, with a logit above the 99 %
        quantile of those of negative tiles.
    score_std
        Standard deviation of the logits of negative tiles' candidate pixels, the unit of its
        scores; above 0.
    """

    model: AutoEncoder
    separation: float
    score_std: float


def select_teachers(
    models: Sequence[AutoEncoder], tiles: TileDataset, post: PostConfig, top_k: int
) -> list[SelectedTeacher]:
    """Return the `top_k` models of the largest separation, best first; no mask is read.

    Models of different seeds vary much: some miss a large part of the class, some take much else
    for it. Only the class occurs on positive tiles and not on negative ones.

    Parameters
    ----------
    models
        In evaluation mode; all learned the one class of the tiles.
    tiles
        Training tiles, of which a sample of each label is used.
    post
        From logits to masks.
    top_k
        Number of models to keep.
    """
    teachers = [_separation(model, tiles, post) for model in models]
    best = sorted(teachers, key=lambda teacher: -teacher.separation)[:top_k]
    log.info(
        "train: selected %d of %d teachers%s, of separation %s; of all: %s",
        len(best),
        len(models),
        tiles.describe(0),
        ", ".join(f"{teacher.separation:.3f}" for teacher in best),
        ", ".join(f"{teacher.separation:.3f}" for teacher in teachers),
    )
    return best


def warn_if_weak(separation: float) -> None:
    """Log a warning if the best teacher of the last round separates too little."""
    if separation < MIN_SEPARATION:
        log.warning(
            "train: the best teacher separates only %.1f%% of the candidate pixels of positive "
            "tiles from negative tiles, chance is %.0f%%, expected at least %.0f%%; check the "
            "masks by eye, or label more antibodies",
            100.0 * separation,
            100.0 * (1.0 - NEGATIVE_QUANTILE),
            100.0 * MIN_SEPARATION,
        )


def teacher_scores(
    teachers: Sequence[SelectedTeacher], tiles: TileDataset, indices: Tensor, post: PostConfig
) -> NDArray[np.float32]:
    """Return the mean logits (n, y, x) of the tiles, each teacher's in units of its `score_std`.

    Pixels that are no candidates are `MASKED_LOGIT`.
    """
    scores = [
        predict_logits([teacher.model], tiles, indices, 0, post, post.n_tta)
        / np.float32(teacher.score_std)
        for teacher in teachers
    ]
    mean: NDArray[np.float32] = np.mean(scores, axis=0)
    flags = tiles.pixels[indices, FLAGS].numpy()
    return mask_logits(mean, candidate_mask(flags, tiles.classes[0].shape), post)


def _separation(model: AutoEncoder, tiles: TileDataset, post: PostConfig) -> SelectedTeacher:
    positive, negative = (
        _candidate_logits(model, tiles, spread_indices(label[:, 0]), post)
        for label in (tiles.positive, tiles.negative)
    )
    if not len(positive) or not len(negative):
        return SelectedTeacher(model, 0.0, 1.0)
    separation = float((positive > np.quantile(negative, NEGATIVE_QUANTILE)).mean())
    return SelectedTeacher(model, separation, float(negative.std()) or 1.0)


def _candidate_logits(
    model: AutoEncoder, tiles: TileDataset, indices: Tensor, post: PostConfig
) -> NDArray[np.float32]:
    """Return the logits (pixels,) of the interior candidate pixels of some tiles."""
    logits = predict_logits([model], tiles, indices, 0, post, post.n_tta)
    interior = interior_only(logits, tiles, indices)
    return interior[interior > MASKED_LOGIT]


def require_tiles(tiles: TileDataset) -> None:
    """Check that the tiles suffice for pseudo-labels on `MIN_TILES` of them.

    Raises
    ------
    TrainingError
        A class has fewer tiles of positive images.
    """
    for class_index, number in enumerate(tiles.positive.sum(0).tolist()):
        if number < MIN_TILES:
            raise TrainingError(
                f"The training split has {number} tiles of positive images"
                f"{tiles.describe(class_index)}, expected at least {MIN_TILES}; label more images "
                "positive (labels.overrides, CSV image_id,label), or lower "
                "tiles.min_tissue_fraction"
            )


def add_pseudo_labels(
    models: Sequence[Sequence[AutoEncoder]],
    tiles: TileDataset,
    teacher: Preset,
    top_k: int,
) -> tuple[TileDataset, Tensor]:
    """Return the tiles with a channel of `PseudoLabel` for each class, and the least separation.

    The separation () is that of the best teacher of the class where it is lowest.

    Candidate pixels of negative tiles are negative. Those of positive tiles are positive above one
    score and negative below another, see `threshold_at_recall`. At the edge of a core no pixel is
    positive, as teachers cannot separate the class from edge staining there. On tiles with several
    positive classes no pixel is negative, because what the teachers of one class miss may still be
    that class, and a pixel that is positive in several classes is ignored.

    What a person drew takes the place of the first class's labels, also at the edge of a core, but
    only on candidate pixels: a mask holds no others, and an area drawn around the stain does.

    Parameters
    ----------
    models
        The teachers of each class, in evaluation mode.
    tiles
        Training tiles.
    teacher
        Preset of the teachers.
    top_k
        Teachers of each class that are used; see `select_teachers`. Their scores are averaged.

    Raises
    ------
    TrainingError
        A class has positive pixels on fewer than `MIN_TILES` tiles.
    """
    channels, candidates, separations = [], [], []
    several = tiles.positive.sum(1).numpy() > 1
    all_tiles, edge = torch.arange(len(tiles)), edge_mask(tiles.pixels[:, FLAGS]).numpy()
    for class_index, class_models in enumerate(models):
        class_tiles = tiles.for_classes([class_index])
        teachers = select_teachers(class_models, class_tiles, teacher.post, top_k)
        separations.append(teachers[0].separation)
        scores = teacher_scores(teachers, class_tiles, all_tiles, teacher.post)
        positive, negative = (
            label[:, class_index].numpy() for label in (tiles.positive, tiles.negative)
        )
        low, high = threshold_at_recall(scores[positive], scores[negative], RECALLS)
        candidate = scores > MASKED_LOGIT
        labels = np.full(scores.shape, int(PseudoLabel.IGNORE), np.uint8)
        below = candidate & (scores < low) & (positive & ~several)[:, None, None]
        labels[below | (candidate & negative[:, None, None])] = int(PseudoLabel.NEGATIVE)
        strict = Thresholds(low=high, high=high, edge_high=high, min_area_fraction=0.0)
        for index in np.flatnonzero(positive):
            mask = hysteresis_mask(scores[index], strict, teacher.post) & ~edge[index]
            labels[index][mask] = int(PseudoLabel.POSITIVE)
        if class_index == 0 and tiles.drawn is not None:
            override_labels(labels, tiles.drawn.numpy(), candidate)
        n_tiles = int((labels == int(PseudoLabel.POSITIVE)).any(axis=(1, 2)).sum())
        log.info(
            "train: %d of %d tiles of positive images have positive pseudo-labels%s, above %.2f",
            n_tiles,
            positive.sum(),
            tiles.describe(class_index),
            high,
        )
        if n_tiles < MIN_TILES:
            raise TrainingError(
                f"The {teacher.name} has positive pseudo-labels{tiles.describe(class_index)} on "
                f"{n_tiles} tiles, expected at least {MIN_TILES}; {TRAIN_MORE}"
            )
        channels.append(torch.from_numpy(labels))
        candidates.append(candidate)
    stacked = torch.stack(channels, dim=1)
    is_positive = stacked == int(PseudoLabel.POSITIVE)
    stacked[is_positive & (is_positive.sum(1, keepdim=True) > 1)] = int(PseudoLabel.IGNORE)
    if tiles.drawn is not None:
        override_labels(stacked[:, 0].numpy(), tiles.drawn.numpy(), candidates[0])
    pixels = torch.cat([tiles.pixels[:, :PSEUDO_LABELS], stacked], dim=1)
    return dataclasses.replace(tiles, pixels=pixels), torch.tensor(min(separations))


def override_labels(
    labels: NDArray[np.uint8], drawn: NDArray[np.uint8], candidate: NDArray[np.bool_]
) -> None:
    """Replace labels by drawn ones on candidate pixels; arrays (n, y, x) of `PseudoLabel`, bool.

    `labels` is changed in place.
    """
    is_drawn = candidate & (drawn != int(PseudoLabel.IGNORE))
    labels[is_drawn] = drawn[is_drawn]
