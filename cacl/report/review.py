"""The cores most worth an expert's look, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from cacl.report.aggregate import NEGATIVE
from cacl.report.disagreement import contrast, level_of, misplaced
from cacl.stats import significance
from cacl.tables.schemas import ReviewRow

Float64 = NDArray[np.float64]

MOST = 100
FLAG_DOUBT = 0.5
LEAST_DOUBT = 0.1
# Of what "not detected" images reach, the highest twentieth is left to chance.
REACHED = 0.95
EDGE = 1e-12
NUMBERS = ("stained_to_cell_ratio", "ratio_low", "ratio_high", "confidence", "ratio_sd")
WORDS = (
    "image_id",
    "antibody_id",
    "gene",
    "tissue",
    "patient_id",
    "label",
    "hpa_staining",
    "qc",
)


def review_rows(images: pd.DataFrame) -> list[ReviewRow]:
    """Return the cores most worth an expert's look.

    Parameters
    ----------
    images
        Columns of `MeasureRow`, one row an image.

    Returns
    -------
    At most `MOST` rows, by falling score, then by name; cores none of whose doubts reaches
    `LEAST_DOUBT` are left out.

    Notes
    -----
    The score is the plain sum of four doubts, so that a core with several comes first:

    views
        1 - `confidence`: the model's single views contradict one another.
    annotation
        How far the core's place among all annotated cores, by ratio, lies outside the range of
        its annotation, as a share of them (`disagreement.misplaced`).
    interval
        How evenly its interval lies around what cores annotated as not detected reach (the 0.95
        quantile of their ratios), on the logit: 1 in the middle, 0 at the ends and outside. It is
        0 for those cores themselves, and where fewer than `statistics.MIN_NEGATIVES` are known.
    quality
        0.5 where a quality flag is set: the number may be wrong, while the other three say that
        it is in doubt.
    """
    if images.empty:
        return []
    numbers = {
        name: images[name].to_numpy(dtype=np.float64, na_value=np.nan).copy() for name in NUMBERS
    }
    words = {name: [str(word) for word in images[name]] for name in WORDS}
    ratios, labels = numbers["stained_to_cell_ratio"], np.array(words["label"])
    differences, expected = _against_annotation(ratios, words["hpa_staining"], words["label"])
    reached = _reached(ratios[labels == NEGATIVE])
    undecided = _around(reached, numbers["ratio_low"], numbers["ratio_high"])
    doubts = np.stack(
        [
            np.nan_to_num(1.0 - numbers["confidence"]),
            np.abs(differences),
            np.where(labels == NEGATIVE, 0.0, undecided),
            np.where(np.array(words["qc"]) != "", FLAG_DOUBT, 0.0),
        ],
        axis=1,
    )
    scores = doubts.sum(axis=1)
    names = np.array(words["image_id"])
    worth = doubts.max(axis=1) >= LEAST_DOUBT
    order = [index for index in np.lexsort((names, -scores)).tolist() if worth[index]]
    rows = []
    for rank, index in enumerate(order[:MOST], start=1):
        given = {name: words[name][index] for name in WORDS}
        known = {name: _or_none(numbers[name][index]) for name in NUMBERS}
        named: dict[str, Any] = {**given, **known}
        said = given["hpa_staining"] or f"labelled {given['label']}"
        reasons = _reasons(known, said, float(expected[index]), reached, given["qc"])
        view, annotation, interval, quality = doubts[index].tolist()
        rows.append(
            ReviewRow(
                rank=rank,
                **named,
                view_doubt=view,
                annotation_doubt=annotation,
                interval_doubt=interval,
                quality_doubt=quality,
                score=float(scores[index]),
                why=_why(doubts[index], reasons),
            )
        )
    return rows


def _against_annotation(
    ratios: Float64, staining: Sequence[str], labels: Sequence[str]
) -> tuple[Float64, Float64]:
    """Return `misplaced` of the images that have a ratio and an annotation; 0 and NaN elsewhere."""
    levels = np.array(
        [
            np.nan if (level := level_of(word, label)) is None else level
            for word, label in zip(staining, labels, strict=True)
        ],
        dtype=np.float64,
    )
    known = ~np.isnan(ratios) & ~np.isnan(levels)
    differences, expected = np.zeros(ratios.shape), np.full(ratios.shape, np.nan)
    differences[known], expected[known] = misplaced(ratios[known], levels[known])
    return differences, expected


def _reached(negatives: Float64) -> float | None:
    """Return the ratio that images annotated as not detected reach; None with too few of them."""
    known = negatives[~np.isnan(negatives)]
    if known.size < significance.MIN_NEGATIVES:
        return None
    return float(np.quantile(known, REACHED))


def _around(reached: float | None, low: Float64, high: Float64) -> Float64:
    """Return how evenly intervals lie around a ratio: 1 in their middle, 0 at their ends."""
    if not reached or reached >= 1.0:
        return np.zeros(low.shape)
    bottom, top = (special.logit(np.clip(end, EDGE, 1.0 - EDGE)) for end in (low, high))
    width = np.where(top > bottom, top - bottom, np.nan)
    place = (special.logit(reached) - bottom) / width
    evenness: Float64 = np.nan_to_num(np.clip(1.0 - np.abs(2.0 * place - 1.0), 0.0, 1.0))
    return evenness


def _reasons(
    known: dict[str, float | None], said: str, expected: float, reached: float | None, qc: str
) -> list[str]:
    """Return the four doubts in words; those that do not apply are never shown."""
    confidence, spread = known["confidence"], known["ratio_sd"]
    agreed = confidence or 0.0
    views = f"single views of the model agree with one another by a Dice of {agreed:.2f} only"
    if spread is not None:
        views += f", their ratios spread by {spread:.2%}"
    low, high = known["ratio_low"] or 0.0, known["ratio_high"] or 0.0
    return [
        views,
        contrast(said, known["stained_to_cell_ratio"] or 0.0, expected),
        f"its interval, {low:.2%} to {high:.2%}, includes the {reached or 0.0:.2%} that cores "
        "annotated as not detected reach",
        f"flagged: {qc.replace(';', ', ')}",
    ]


def _why(doubts: Float64, reasons: Sequence[str]) -> str:
    """Return the reasons whose doubt is worth naming, the largest first."""
    order = np.argsort(-doubts, kind="stable").tolist()
    return "; ".join(reasons[index] for index in order if doubts[index] >= LEAST_DOUBT)


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
