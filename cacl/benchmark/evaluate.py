"""Evaluate a method on an evaluation set: scores, thresholds, masks, sums of metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cacl.benchmark.evaluation_set import EvaluationImage, EvaluationSet
from cacl.benchmark.method import Method
from cacl.benchmark.metric_sums import SUMS, MetricSums
from cacl.benchmark.metrics import MIN_POSITIVE_PX, boundary_f1, tile_metrics
from cacl.benchmark.thresholds import oracle_threshold

Bool = NDArray[np.bool_]
CRITERION_LABELS = {"dice": "best for Dice", "dice_positive": "best on positive tiles"}


@dataclass(frozen=True, eq=False)
class MethodResult:
    """One method at one threshold on one evaluation set.

    Parameters
    ----------
    name
        The method, and the criterion of its oracle threshold.
    sums
        One per antibody.
    masks
        (n, y, x) of the sample's tiles; None if the gallery does not show them.
    """

    name: str
    sums: tuple[MetricSums, ...]
    masks: Bool | None


def evaluate(method: Method, evaluation_set: EvaluationSet, seed: int) -> list[MethodResult]:
    """Run a method on all images of an evaluation set.

    Returns
    -------
    One result; two for a method without a threshold, at the oracle threshold that is best for Dice
    in the paper's convention, and at the one that is best on positive tiles.
    """
    sample = evaluation_set.sample
    scores = [method.score(image) for image in evaluation_set.images]
    thresholds: Mapping[str, float]
    if method.threshold is None:
        thresholds = oracle_threshold(sample.crop(scores), sample.ground_truth)
    else:
        thresholds = {"": method.threshold}
    results = []
    for criterion, threshold in thresholds.items():
        masks = [score > threshold for score in scores]
        name = f"{method.name}, {CRITERION_LABELS[criterion]}" if criterion else method.name
        in_gallery = method.in_gallery and criterion != "dice"
        reported = threshold if method.threshold is None else None
        sums = metric_sums(name, masks, evaluation_set, seed=seed, threshold=reported)
        results.append(MethodResult(name, sums, sample.crop(masks) if in_gallery else None))
    return results


def metric_sums(
    name: str,
    masks: Sequence[Bool],
    evaluation_set: EvaluationSet,
    *,
    seed: int,
    threshold: float | None,
) -> tuple[MetricSums, ...]:
    """Return the sums of each antibody.

    Parameters
    ----------
    name
        The method.
    masks
        (y, x) bool of each image.
    evaluation_set
        The images and the sample.
    seed, threshold
        Copied to the rows.
    """
    sample = evaluation_set.sample
    tiles = sample.crop(masks)
    metrics = tile_metrics(tiles, sample.ground_truth)
    positive = sample.ground_truth.sum(axis=(1, 2)) >= MIN_POSITIVE_PX
    boundary = np.zeros(len(tiles))
    boundary[positive] = boundary_f1(tiles[positive], sample.ground_truth[positive])
    by_tile = {
        "tiles": np.ones(len(tiles)),
        "dice": metrics.dice,
        "recall": metrics.recall,
        "precision": metrics.precision,
        "bce": metrics.bce,
        "positive_tiles": positive.astype(np.float64),
        "dice_positive": metrics.dice * positive,
        "boundary_f1": boundary,
    }
    images = evaluation_set.images
    by_image = [_image_sums(image, mask) for image, mask in zip(images, masks, strict=True)]
    rows = []
    for antibody_id in sorted({image.antibody_id for image in images}):
        of_antibody = sample.antibody_ids == antibody_id
        sums = {name: float(values[of_antibody].sum()) for name, values in by_tile.items()}
        for image, image_sums in zip(images, by_image, strict=True):
            if image.antibody_id == antibody_id:
                for key, value in image_sums.items():
                    sums[key] = sums.get(key, 0.0) + value
        rows.append(
            MetricSums(
                evaluation_set=evaluation_set.name,
                seed=seed,
                method=name,
                threshold=threshold,
                antibody_id=antibody_id,
                **{key: sums[key] for key in SUMS},
            )
        )
    return tuple(rows)


def _image_sums(image: EvaluationImage, mask: Bool) -> dict[str, float]:
    """Return the contribution of an image to its antibody's sums; only tiles with tissue count."""
    evaluated = np.zeros_like(mask)
    negative = np.zeros_like(mask)
    for window in image.windows:
        evaluated[window] = True
        negative[window] = not image.ground_truth[window].any()
    stained = mask & image.cell & evaluated
    predicted_ratio = int(stained.sum()) / max(1, int((image.cell & evaluated).sum()))
    true_stained_px = int((image.ground_truth & evaluated).sum())
    true_ratio = true_stained_px / max(1, int((image.true_cell & evaluated).sum()))
    return {
        "negative_stained_px": float((stained & negative).sum()),
        "negative_cell_px": float((image.cell & negative).sum()),
        "cores": 1.0,
        "predicted_sum": predicted_ratio,
        "true_sum": true_ratio,
        "predicted_squares": predicted_ratio**2,
        "true_squares": true_ratio**2,
        "products": predicted_ratio * true_ratio,
    }
