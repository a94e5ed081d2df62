"""Thresholds on logits, calibrated with image-level labels and without any mask.

The scale of logits differs between trainings. The excess of positive over negative tiles does not:
the pixels of positive tiles above a logit, minus those of negative tiles above it, estimate how
much of the class exceeds this logit. Negative tiles are the decoys of a target-decoy estimate
(Elias and Gygi 2007).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
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

N_LEVELS = 400
MIN_LOW, MIN_HIGH = -4.0, -1.0
EDGE_FDR = 0.02
MIN_GATE_RATIO = 0.5
# Above every logit, but finite: thresholds are stored in JSON.
NEVER_EXCEEDED = 100.0


def calibrate_thresholds(
    models: Sequence[AutoEncoder], tiles: TileDataset, negatives: TileDataset, preset: Preset
) -> tuple[Thresholds, ...]:
    """Return the thresholds of each class; no mask is read.

    - `low`: exceeded by `PostConfig.low_fpr` of the pixels of held-out negative tiles; at least
      `MIN_LOW`, at most `high`.
    - `high`: exceeded by `PostConfig.high_recall` of the class, see `threshold_at_recall`. It is
      the larger of two estimates: negative tiles of the training split are known to the model,
      held-out ones can be easy. At least `MIN_HIGH`.
    - `edge_high`: at the edge of a core, the false discovery rate above it is at most `EDGE_FDR`,
      see `threshold_at_fdr`; at least `high`.
    - `min_area_fraction`: separates positive from negative images, see `gate_threshold`.

    A preset without `high_recall` (`paper`) has thresholds of 0: the nearest code decides.

    Parameters
    ----------
    models
        In evaluation mode.
    tiles
        Tiles of the training split.
    negatives
        Held-out negative tiles.
    preset
        Its `post` group sets recall and error rates.

    Raises
    ------
    TrainingError
        The excess of positive over negative tiles is not positive at any logit.
    """
    n_classes = len(negatives.classes)
    if preset.post.high_recall is None:
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
    positive, *decoys = logits
    recall = post.high_recall or 0.0
    high = max(MIN_HIGH, *(threshold_at_recall(positive, decoy, [recall])[0] for decoy in decoys))
    low = high
    if post.low_fpr is not None:
        quantile = float(np.quantile(decoys[-1], 1.0 - post.low_fpr))
        low = min(high, max(MIN_LOW, quantile))
    positive_edge, *decoy_edges = (
        _edge_only(values, *sample) for values, sample in zip(logits, samples, strict=True)
    )
    edge_high = max(
        high, *(threshold_at_fdr(positive_edge, decoy, EDGE_FDR) for decoy in decoy_edges)
    )
    fractions = [
        _area_fractions(*sample, interior_only(values, *sample) > high)
        for values, sample in zip(logits, samples, strict=True)
    ]
    min_area_fraction = 0.0
    if post.image_fnr is not None:
        negative = np.concatenate(fractions[1:])
        min_area_fraction = gate_threshold(fractions[0], negative, post.image_fnr)
    return Thresholds(low=low, high=high, edge_high=edge_high, min_area_fraction=min_area_fraction)


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


def _edge_only(logits: Float32, tiles: TileDataset, indices: Tensor) -> Float32:
    """Return the logits (n, y, x) of some tiles, masked except at the edge of a core."""
    return np.where(edge_mask(tiles.pixels[indices, FLAGS].numpy()), logits, MASKED_LOGIT)


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
    thresholds, positive_px, negative_px = _counts_above(positive, negative)
    excess = positive_px - negative_px
    total = float(excess.max())
    if total <= 0.0:
        raise TrainingError(
            "The model finds no more of the class on positive tiles than on negative ones; train "
            "for more steps (train.max_steps), with another seed, or with more antibodies of each "
            "label"
        )
    return [float(thresholds[np.flatnonzero(excess >= recall * total)[-1]]) for recall in recalls]


def threshold_at_fdr(positive: Float32, negative: Float32, fdr: float) -> float:
    """Return the lowest logit with at most a false discovery rate above it.

    The rate is the number of pixels of negative tiles above the logit divided by that of positive
    tiles, per tile (target-decoy estimate). `NEVER_EXCEEDED` if no logit reaches the rate.

    Parameters
    ----------
    positive, negative
        (n, y, x) logits of tiles of each label; `MASKED_LOGIT` for pixels that do not count.
    fdr
        False discovery rate, 0 to 1.
    """
    thresholds, positive_px, negative_px = _counts_above(positive, negative)
    sufficient = np.flatnonzero((positive_px > 0.0) & (negative_px <= fdr * positive_px))
    return float(thresholds[sufficient[0]]) if len(sufficient) else NEVER_EXCEEDED


def _counts_above(positive: Float32, negative: Float32) -> tuple[Float64, Float64, Float64]:
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
