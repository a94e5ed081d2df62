"""Where ratio and annotation disagree most: what a curator wants to see first."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cacl.hpa import annotation_scales
from cacl.tables.schemas import AntibodyRow, DisagreementRow

Float64 = NDArray[np.float64]

LABELS = {"negative": 0.0, "positive": 2.5}


def disagreement_rows(antibodies: Sequence[AntibodyRow]) -> list[DisagreementRow]:
    """Return the antibodies whose ratio is not where their annotation would have it.

    Parameters
    ----------
    antibodies
        As `pooling.antibody_rows` returns them.

    Returns
    -------
    Largest disagreement first; nothing for antibodies without ratio or annotation.

    Notes
    -----
    Antibodies are ordered by ratio. If the annotation were right, those annotated "not detected"
    would take the first places, "low" the next, and so on: each level has a range of places.
    `difference` is how far an antibody's place lies outside the range of its own level, as a share
    of all compared antibodies, and `expected` the ratio at the near end of that range. Places and
    not ratios are compared because the atlas's levels are ordered but have no areas. An antibody
    without the atlas's staining is compared by its label.
    """
    compared = [
        (row, row.stained_to_cell_ratio, level)
        for row in antibodies
        if row.stained_to_cell_ratio is not None
        and (level := level_of(row.hpa_staining, row.label)) is not None
    ]
    ratios = np.array([ratio for _, ratio, _ in compared], dtype=np.float64)
    levels = np.array([level for _, _, level in compared], dtype=np.float64)
    differences, expected = misplaced(ratios, levels)
    rows = [
        _row(row, ratio, float(expected[index]), float(differences[index]))
        for index, (row, ratio, _) in enumerate(compared)
        if differences[index] != 0.0
    ]
    rows.sort(key=lambda row: (-abs(row.difference), row.antibody_id))
    return [dataclasses.replace(row, rank=rank) for rank, row in enumerate(rows, start=1)]


def misplaced(ratios: Float64, levels: Float64) -> tuple[Float64, Float64]:
    """Return how far ratios lie outside the range of places that their level has.

    Parameters
    ----------
    ratios, levels
        What is measured and what is annotated, (n,) each, all known.

    Returns
    -------
    Signed distance as a share of n, positive = too high; and the ratio at the near end of the
    range, the ratio itself where the distance is 0. See `disagreement_rows`.
    """
    ordered, ranked = np.sort(ratios), np.sort(levels)
    below = np.searchsorted(ranked, levels, side="left")
    upto = np.searchsorted(ranked, levels, side="right")
    # Equal ratios share their places, so that the nearest of them counts.
    first = np.searchsorted(ordered, ratios, side="left")
    last = np.searchsorted(ordered, ratios, side="right")
    over = np.maximum(first - (upto - 1), 0)
    under = np.maximum(below - (last - 1), 0)
    near = np.where(over > 0, upto - 1, below)
    expected = np.where(over + under > 0, ordered[near], ratios)
    return (over - under) / max(ratios.size, 1), expected


def level_of(staining: str, label: str) -> float | None:
    """Return the level of the atlas's staining, else of the label; None if there is neither."""
    level = annotation_scales.level(staining, annotation_scales.STAINING)
    return LABELS.get(label) if level is None else level


def _row(row: AntibodyRow, ratio: float, expected: float, difference: float) -> DisagreementRow:
    return DisagreementRow(
        rank=0,
        antibody_id=row.antibody_id,
        gene=row.gene,
        label=row.label,
        hpa_staining=row.hpa_staining,
        hpa_intensity=row.hpa_intensity,
        hpa_quantity=row.hpa_quantity,
        stained_to_cell_ratio=ratio,
        ratio_low=row.ratio_low,
        ratio_high=row.ratio_high,
        expected=expected,
        difference=difference,
        why=_why(row, ratio, expected),
    )


def _why(row: AntibodyRow, ratio: float, expected: float) -> str:
    text = contrast(row.hpa_staining or f"labelled {row.label}", ratio, expected)
    if row.ratio_low is None or row.ratio_high is None:
        return f"{text}; it has no interval, so that this may be chance"
    if row.ratio_low <= expected <= row.ratio_high:
        return f"{text}, which its interval includes"
    return f"{text}, which its interval excludes"


def contrast(said: str, ratio: float, expected: float) -> str:
    """Return in words how a ratio contradicts what is said of it."""
    bound = "at most" if ratio > expected else "at least"
    return f"{said}, but {ratio:.2%} of the cell area is stained; {bound} {expected:.2%} expected"
