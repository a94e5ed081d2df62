"""Thresholds on logits, calibrated with image-level labels and without any mask.

The scale of logits differs between trainings. The excess of positive over negative tiles does not:
the pixels of positive tiles at a logit, minus those of negative tiles, estimate how many show the
class. Negative tiles are the decoys of a target-decoy estimate (Elias and Gygi 2007).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import optimize
from torch import Tensor

from cacl.errors import TrainingError
from cacl.image.pixel_flags import PixelFlag, edge_mask
from cacl.model.config import PostConfig, Preset
from cacl.model.data.dataset import FLAGS, TileDataset
from cacl.model.inference.masks import MASKED_LOGIT, Thresholds
from cacl.model.inference.predict import interior_only, predict_logits, spread_indices
from cacl.model.networks.autoencoder import AutoEncoder

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

log = logging.getLogger(__name__)

N_LEVELS = 400
MIN_HIGH = -1.0
# Many antibodies stain the cut edge of a core, so a pixel there needs more evidence.
EDGE_PROBABILITY = 0.95
MIN_GATE_RATIO = 0.5
# Above every logit, but finite: thresholds are stored in JSON.
NEVER_EXCEEDED = 100.0
TRAIN_MORE = (
    "train with train.preset: robust, without train.max_steps, with another seed, or with more "
    "antibodies of each label"
)
NO_EXCESS = (
    f"The model finds no more of the class on positive tiles than on negative ones; {TRAIN_MORE}"
)


def calibrate_thresholds(
    models: Sequence[AutoEncoder], tiles: TileDataset, negatives: TileDataset, preset: Preset
) -> tuple[Thresholds, ...]:
    """Return the thresholds of each class; no mask is read.

    - `low` and `high`: a candidate pixel at it shows the class with the probability
      `PostConfig.low_probability` or `high_probability`; see `class_probability`. `high` is at
      least `MIN_HIGH`.
    - `edge_high`: at the edge of a core, the probability is `EDGE_PROBABILITY`; at least `high`.
    - `min_area_fraction`: separates positive from negative images, see `gate_threshold`.

    A preset without `high_probability` (`paper`) has thresholds of 0: the nearest code decides.

    Parameters
    ----------
    models
        In evaluation mode.
    tiles
        Tiles of the training split.
    negatives
        Held-out negative tiles.
    preset
        Its `post` group sets probabilities and error rates.

    Raises
    ------
    TrainingError
        The excess of positive over negative tiles is not positive at any logit.
    """
    n_classes = len(negatives.classes)
    if preset.post.high_probability is None:
        return (Thresholds(low=0.0, high=0.0, edge_high=0.0, min_area_fraction=0.0),) * n_classes
    return tuple(
        _class_thresholds(models, tiles, negatives, class_index, preset.post)
        for class_index in range(n_classes)
    )


def _class_thresholds(
    models: Sequence[AutoEncoder],
    tiles: TileDataset,
    negatives: TileDataset,
    class_index: int,
    post: PostConfig,
) -> Thresholds:
    held_out = torch.nonzero(negatives.negative[:, class_index]).flatten()
    samples = (
        (tiles, spread_indices(tiles.positive[:, class_index])),
        (tiles, spread_indices(tiles.negative[:, class_index])),
        (negatives, held_out),
    )
    logits = [predict_logits(models, *sample, class_index, post, post.n_tta) for sample in samples]
    edges = [edge_only(values, *sample) for values, sample in zip(logits, samples, strict=True)]
    low, high, edge_high = logit_thresholds(logits, edges, post)
    gate = image_gate(samples, logits, high, post)
    return Thresholds(low=low, high=high, edge_high=edge_high, min_area_fraction=gate)


def image_gate(
    samples: Sequence[tuple[TileDataset, Tensor]],
    logits: Sequence[Float32],
    high: float,
    post: PostConfig,
) -> float:
    """Return the image gate of samples of positive tiles, then of negative ones; 0 for none.

    Parameters
    ----------
    samples, logits
        Data set and indices (n,) of each sample, and its logits (n, y, x).
    high
        The high threshold.
    post
        Its `image_fnr`.
    """
    if post.image_fnr is None:
        return 0.0
    fractions = [
        _area_fractions(*sample, interior_only(values, *sample) > high)
        for values, sample in zip(logits, samples, strict=True)
    ]
    return gate_threshold(fractions[0], np.concatenate(fractions[1:]), post.image_fnr)


def logit_thresholds(
    logits: Sequence[Float32], edges: Sequence[Float32], post: PostConfig
) -> tuple[float, float, float]:
    """Return low, high and edge threshold.

    Probabilities are relative to the highest that any logit has: negative images with a wrong label
    count as decoys at every logit.

    Parameters
    ----------
    logits, edges
        (n, y, x) of all pixels, and of those at the edge of a core: of positive tiles, then of one
        or more samples of negative ones.
    post
        The probabilities.

    Raises
    ------
    TrainingError
        Positive tiles have no excess at any logit.
    """
    levels, probability = class_probability(logits[0], np.concatenate(logits[1:]))
    highest, expected = float(probability[-1]), post.high_probability or 0.0
    if highest <= 0.0:
        raise TrainingError(NO_EXCESS)
    if highest < expected:
        log.warning(
            "train: at no logit a pixel shows the class with a probability of %.2f, the highest is "
            "%.2f; check the masks by eye, or label more antibodies",
            expected,
            highest,
        )
    high = max(MIN_HIGH, level_at(levels, probability, expected * highest))
    low = high
    if post.low_probability is not None:
        low = min(high, level_at(levels, probability, post.low_probability * highest))
    edge_levels, edge_probability = class_probability(edges[0], np.concatenate(edges[1:]))
    edge = level_at(edge_levels, edge_probability, EDGE_PROBABILITY * highest)
    return low, high, max(high, edge)


def _area_fractions(tiles: TileDataset, indices: Tensor, above: NDArray[np.bool_]) -> Float64:
    """Return for each image the fraction of the cell area in its tiles where `above` is true.

    Parameters
    ----------
    tiles, indices
        The tiles (n,) of the images.
    above
        (n, y, x) bool.
    """
    cells = ((tiles.pixels[indices, FLAGS] & int(PixelFlag.CELL)) > 0).flatten(1).sum(1).numpy()
    image = tiles.image_index[indices].numpy()
    area, cell_area = (np.bincount(image, px) for px in (above.sum((1, 2)), cells))
    return np.asarray(area[cell_area > 0] / cell_area[cell_area > 0])


def edge_only(logits: Float32, tiles: TileDataset, indices: Tensor) -> Float32:
    """Return the logits (n, y, x) of some tiles, masked except at the edge of a core."""
    return np.where(edge_mask(tiles.pixels[indices, FLAGS].numpy()), logits, MASKED_LOGIT)


def class_probability(positive: Float32, negative: Float32) -> tuple[Float64, Float64]:
    """Return the probability that a candidate pixel of a positive tile shows the class, by logit.

    It is 1 minus the local false discovery rate (Efron et al. 2001): the pixels of negative tiles
    at a logit divided by those of positive tiles, per tile. Isotonic regression makes it rise with
    the logit.

    Parameters
    ----------
    positive, negative
        (n, y, x) logits of tiles of each label; `MASKED_LOGIT` for pixels that do not count.

    Returns
    -------
    Rising logits (m,), and the probability between each and the next (m,); it is 0 or below where
    negative tiles have as many pixels as positive ones, or more.
    """
    levels, positive_px, negative_px = counts_above(positive, negative)
    _, first = np.unique(-positive_px, return_index=True)
    levels, positive_px, negative_px = levels[first], positive_px[first], negative_px[first]
    if len(levels) < 2:
        return levels, np.zeros(len(levels))
    # The last interval has no upper end: nothing of positive tiles lies above the last level.
    negative_px[-1] = 0.0
    positive_px, negative_px = -np.diff(positive_px), -np.diff(negative_px)
    fitted: Any = optimize.isotonic_regression(1.0 - negative_px / positive_px, weights=positive_px)
    return levels[:-1], np.asarray(fitted.x, np.float64)


def level_at(levels: Float64, probability: Float64, minimum: float) -> float:
    """Return the lowest level (m,) with at least a probability; `NEVER_EXCEEDED` without any."""
    sufficient = np.flatnonzero(probability >= minimum)
    return float(levels[sufficient[0]]) if len(sufficient) else NEVER_EXCEEDED


def threshold_at_recall(
    positive: Float32, negative: Float32, recalls: Sequence[float]
) -> list[float]:
    """Return the highest logit that each fraction of the class exceeds.

    The whole of the class is estimated by the largest excess of positive over negative tiles above
    any logit.

    Parameters
    ----------
    positive, negative
        (n, y, x) logits of tiles of each label; `MASKED_LOGIT` where no mask is allowed.
    recalls
        Fractions of the class, 0 to 1: half of the class exceeds the logit of 0.5.

    Raises
    ------
    TrainingError
        The excess is not positive at any logit.
    """
    thresholds, positive_px, negative_px = counts_above(positive, negative)
    excess = positive_px - negative_px
    total = float(excess.max())
    if total <= 0.0:
        raise TrainingError(NO_EXCESS)
    return [float(thresholds[np.flatnonzero(excess >= recall * total)[-1]]) for recall in recalls]


def counts_above(positive: Float32, negative: Float32) -> tuple[Float64, Float64, Float64]:
    """Return rising thresholds (m,) and how many px per tile of each label exceed them (m,)."""
    targets = np.sort(positive[positive > MASKED_LOGIT])
    decoys = np.sort(negative[negative > MASKED_LOGIT])
    steps = np.linspace(0.0, 1.0, N_LEVELS)
    quantiles = np.quantile(targets, steps) if len(targets) else np.zeros(1)
    thresholds = np.asarray(quantiles, np.float64)
    positive_px, negative_px = (
        (len(logits) - np.searchsorted(logits, thresholds, side="right")) / max(1, len(tiles))
        for logits, tiles in ((targets, positive), (decoys, negative))
    )
    return thresholds, positive_px, negative_px


def low_quantile(fractions: Float64, fnr: float) -> float:
    """Return the area fraction that all positive images but a fraction of them exceed.

    With so few images that less than one of them may be missed, the quantile is reduced in
    proportion, because further images may have smaller fractions.

    Parameters
    ----------
    fractions
        (n,) fraction of the cell area above the high threshold, of each image.
    fnr
        False negative rate of images, 0 to 1.
    """
    if not len(fractions):
        return 0.0
    return float(np.quantile(fractions, fnr) * min(1.0, fnr * len(fractions)))


def gate_threshold(positive: Float64, negative: Float64, fnr: float) -> float:
    """Return the area fraction that separates positive from negative images.

    It is the geometric mean of the fraction that nearly all negative images do not exceed and the
    fraction that nearly all positive images exceed, see `low_quantile`. It is at least half of the
    latter: the network was trained on the negative images and predicts less on them than on others.

    Parameters
    ----------
    positive, negative
        (n,) and (m,) fraction of the cell area above the high threshold, of each image.
    fnr
        Fraction of the images of each label that may be on the wrong side, 0 to 1; 0 for no gate.
    """
    positive_low = low_quantile(positive, fnr)
    negative_high = float(np.quantile(negative, 1.0 - fnr)) if len(negative) else 0.0
    negative_high = np.clip(negative_high, positive_low * MIN_GATE_RATIO**2, positive_low)
    return float(np.sqrt(positive_low * negative_high))
