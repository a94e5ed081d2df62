"""Antibodies whose ratio disagrees with the annotation of the Human Protein Atlas (HPA)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cacl.hpa import annotation_scales
from cacl.tables.schemas import AntibodyRow, DisagreementRow

Float64 = NDArray[np.float64]

# Levels of an antibody without HPA staining, on the scale of `annotation_scales.STAINING`.
LABEL_LEVELS = {"negative": 0.0, "positive": 2.5}


def disagreement_rows(antibodies: Sequence[AntibodyRow]) -> list[DisagreementRow]:
    """Return the antibodies whose rank by ratio contradicts their annotation.

    Parameters
    ----------
    antibodies
        As `aggregate.antibody_rows` returns them.

    Returns
    -------
    Largest disagreement first; antibodies without a ratio or an annotation are left out.

    Notes
    -----
    Antibodies are ranked by ratio. If the annotation were right, the antibodies annotated "not
    detected" would take the lowest ranks, "low" the next ranks, and so on: each level has a range
    of ranks. `difference` is the distance of an antibody's rank from the range of its level, as a
    fraction of all compared antibodies, and `expected` is the ratio at the near end of that range.
    Ranks and not ratios are compared because the levels of the HPA are ordered but have no areas.
    An antibody without HPA staining is compared by its label.
    """
    compared = [
        (row, row.stained_to_cell_ratio, level)
        for row in antibodies
        if row.stained_to_cell_ratio is not None
        and (level := annotation_level(row.hpa_staining, row.label)) is not None
    ]
    ratios = np.array([ratio for _, ratio, _ in compared], dtype=np.float64)
    levels = np.array([level for _, _, level in compared], dtype=np.float64)
    differences, expected = rank_displacement(ratios, levels)
    rows = [
        _disagreement(row, ratio, float(expected[index]), float(differences[index]))
        for index, (row, ratio, _) in enumerate(compared)
        if differences[index] != 0.0
    ]
    rows.sort(key=lambda row: (-abs(row.difference), row.antibody_id))
    return [dataclasses.replace(row, rank=rank) for rank, row in enumerate(rows, start=1)]


def rank_displacement(ratios: Float64, levels: Float64) -> tuple[Float64, Float64]:
    """Return how far the ranks of ratios lie outside the range of ranks of their level.

    Parameters
    ----------
    ratios, levels
        Measured ratio and annotated level, (n,) each, without NaN.

    Returns
    -------
    displacement
        Signed distance as a fraction of n, (n,); positive if the ratio is too high.
    expected
        Ratio at the near end of the range, (n,); the ratio itself if the distance is 0.

    See Also
    --------
    disagreement_rows : defines the range of ranks.
    """
    sorted_ratios, sorted_levels = np.sort(ratios), np.sort(levels)
    range_start = np.searchsorted(sorted_levels, levels, side="left")
    range_stop = np.searchsorted(sorted_levels, levels, side="right")
    # Equal ratios share a range of ranks; the rank nearest to the range of the level counts.
    first_rank = np.searchsorted(sorted_ratios, ratios, side="left")
    last_rank = np.searchsorted(sorted_ratios, ratios, side="right")
    above = np.maximum(first_rank - (range_stop - 1), 0)
    below = np.maximum(range_start - (last_rank - 1), 0)
    near_end = np.where(above > 0, range_stop - 1, range_start)
    expected = np.where(above + below > 0, sorted_ratios[near_end], ratios)
    return (above - below) / max(ratios.size, 1), expected


def annotation_level(staining: str, label: str) -> float | None:
    """Return the level of the HPA staining, else of the label; None if both are missing."""
    level = annotation_scales.level(staining, annotation_scales.STAINING)
    return LABEL_LEVELS.get(label) if level is None else level


def _disagreement(
    row: AntibodyRow, ratio: float, expected: float, difference: float
) -> DisagreementRow:
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
        why=_explain(row, ratio, expected),
    )


def _explain(row: AntibodyRow, ratio: float, expected: float) -> str:
    text = describe_contradiction(describe_annotation(row.hpa_staining, row.label), ratio, expected)
    if row.ratio_low is None or row.ratio_high is None:
        return f"{text}; without an interval, chance cannot be excluded"
    if row.ratio_low <= expected <= row.ratio_high:
        return f"{text}; the 95 % interval includes this value"
    return f"{text}; the 95 % interval excludes this value"


def describe_annotation(staining: str, label: str) -> str:
    """Return an annotation in words, such as `annotated “high”` or `labelled positive`."""
    return f"annotated “{staining}”" if staining else f"labelled {label}"


def describe_contradiction(annotation: str, ratio: float, expected: float) -> str:
    """Return a sentence on a ratio that contradicts an annotation."""
    bound = "at most" if ratio > expected else "at least"
    return (
        f"{annotation}, but {ratio:.2%} of the cell area is stained; expected {bound} "
        f"{expected:.2%}"
    )
