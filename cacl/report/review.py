"""The cores that an expert should review first, with the reasons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from cacl.report.aggregate import NEGATIVE
from cacl.report.disagreement import (
    annotation_level,
    describe_annotation,
    describe_contradiction,
    rank_displacement,
)
from cacl.stats import significance
from cacl.tables.schemas import ReviewRow

Float64 = NDArray[np.float64]

MAX_ROWS = 100
MIN_UNCERTAINTY = 0.1
QUALITY_FLAG_UNCERTAINTY = 0.5
# Quantile of the ratios of "not detected" images that counts as their limit: the highest 5 % may be
# outliers.
NEGATIVE_QUANTILE = 0.95
LOGIT_EPSILON = 1e-12
NUMBER_COLUMNS = ("stained_to_cell_ratio", "ratio_low", "ratio_high", "confidence", "ratio_sd")
TEXT_COLUMNS = (
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
    """Return the cores that an expert should review first.

    Parameters
    ----------
    images
        Columns of `MeasureRow`, one row per image.

    Returns
    -------
    At most `MAX_ROWS` rows, by falling score, then by name; without the cores all of whose
    uncertainties are below `MIN_UNCERTAINTY`.

    Notes
    -----
    The score is the sum of four uncertainties, so that a core with several of them comes first:

    view
        1 - `confidence`: the masks of the model's single views differ.
    annotation
        Distance of the core's rank by ratio, among all annotated cores, from the range of ranks of
        its annotation, as a fraction of these cores (`disagreement.rank_displacement`).
    interval
        How centrally the core's interval contains the limit of the cores annotated as not detected
        (`NEGATIVE_QUANTILE` of their ratios), on the logit scale: 1 if the limit is in the middle,
        0 at the ends and outside. It is 0 for these cores themselves, and if fewer than
        `significance.MIN_NEGATIVES` of them are known.
    quality
        `QUALITY_FLAG_UNCERTAINTY` if a quality flag is set. It counts half because the flag says
        that the number may be wrong, while the other three are evidence against the number.
    """
    if images.empty:
        return []
    numbers = {
        name: images[name].to_numpy(dtype=np.float64, na_value=np.nan).copy()
        for name in NUMBER_COLUMNS
    }
    texts = {name: [str(value) for value in images[name]] for name in TEXT_COLUMNS}
    labels = np.array(texts["label"])
    displacement, expected = _annotation_displacement(
        numbers["stained_to_cell_ratio"], texts["hpa_staining"], texts["label"]
    )
    negative_limit = _negative_limit(numbers["stained_to_cell_ratio"][labels == NEGATIVE])
    centrality = _centrality(negative_limit, numbers["ratio_low"], numbers["ratio_high"])
    uncertainties = np.stack(
        [
            np.nan_to_num(1.0 - numbers["confidence"]),
            np.abs(displacement),
            np.where(labels == NEGATIVE, 0.0, centrality),
            np.where(np.array(texts["qc"]) != "", QUALITY_FLAG_UNCERTAINTY, 0.0),
        ],
        axis=1,
    )
    scores = uncertainties.sum(axis=1)
    listed = uncertainties.max(axis=1) >= MIN_UNCERTAINTY
    order = np.lexsort((np.array(texts["image_id"]), -scores))
    rows = []
    for rank, index in enumerate(order[listed[order]].tolist()[:MAX_ROWS], start=1):
        values: dict[str, Any] = {name: texts[name][index] for name in TEXT_COLUMNS}
        values |= {name: _or_none(numbers[name][index]) for name in NUMBER_COLUMNS}
        view, annotation, interval, quality = uncertainties[index].tolist()
        reasons = _reasons(values, float(expected[index]), negative_limit)
        rows.append(
            ReviewRow(
                rank=rank,
                **values,
                view_uncertainty=view,
                annotation_uncertainty=annotation,
                interval_uncertainty=interval,
                quality_uncertainty=quality,
                score=float(scores[index]),
                why=_explain(uncertainties[index], reasons),
            )
        )
    return rows


def _annotation_displacement(
    ratios: Float64, staining: Sequence[str], labels: Sequence[str]
) -> tuple[Float64, Float64]:
    """Return `rank_displacement` of the images with ratio and annotation; else 0 and NaN."""
    levels = np.array(
        [
            np.nan if (level := annotation_level(image_staining, label)) is None else level
            for image_staining, label in zip(staining, labels, strict=True)
        ],
        dtype=np.float64,
    )
    known = ~np.isnan(ratios) & ~np.isnan(levels)
    displacement, expected = np.zeros(ratios.shape), np.full(ratios.shape, np.nan)
    displacement[known], expected[known] = rank_displacement(ratios[known], levels[known])
    return displacement, expected


def _negative_limit(negative_ratios: Float64) -> float | None:
    """Return `NEGATIVE_QUANTILE` of the ratios of negatives; None if too few are known."""
    known = negative_ratios[~np.isnan(negative_ratios)]
    if known.size < significance.MIN_NEGATIVES:
        return None
    return float(np.quantile(known, NEGATIVE_QUANTILE))


def _centrality(limit: float | None, low: Float64, high: Float64) -> Float64:
    """Return how centrally intervals contain a ratio: 1 = in the middle, 0 = at the ends."""
    if not limit or limit >= 1.0:
        return np.zeros(low.shape)
    bottom, top = (
        special.logit(np.clip(end, LOGIT_EPSILON, 1.0 - LOGIT_EPSILON)) for end in (low, high)
    )
    width = np.where(top > bottom, top - bottom, np.nan)
    position = (special.logit(limit) - bottom) / width
    centrality: Float64 = np.nan_to_num(np.clip(1.0 - np.abs(2.0 * position - 1.0), 0.0, 1.0))
    return centrality


def _reasons(values: dict[str, Any], expected: float, negative_limit: float | None) -> list[str]:
    """Return a sentence for each uncertainty; sentences of small uncertainties are not shown."""
    view = (
        "the masks of the model's single views have a mean Dice of only "
        f"{values['confidence'] or 0.0:.2f}"
    )
    if values["ratio_sd"] is not None:
        view += f" and ratios with a standard deviation of {values['ratio_sd']:.2%}"
    annotation = describe_annotation(values["hpa_staining"], values["label"])
    low, high = values["ratio_low"] or 0.0, values["ratio_high"] or 0.0
    return [
        view,
        describe_contradiction(annotation, values["stained_to_cell_ratio"] or 0.0, expected),
        f"the 95 % interval, {low:.2%} to {high:.2%}, contains {negative_limit or 0.0:.2%}, the "
        f"ratio below which {NEGATIVE_QUANTILE:.0%} of the cores annotated as not detected lie",
        f"quality flags: {values['qc'].replace(';', ', ')}",
    ]


def _explain(uncertainties: Float64, reasons: Sequence[str]) -> str:
    """Return the reasons whose uncertainty is at least `MIN_UNCERTAINTY`, the largest first."""
    order = np.argsort(-uncertainties, kind="stable").tolist()
    return "; ".join(reasons[index] for index in order if uncertainties[index] >= MIN_UNCERTAINTY)


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
