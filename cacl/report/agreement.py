"""Agreement of the ratios with the annotation of the HPA, over all antibodies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cacl.hpa import annotation_scales
from cacl.stats import agreement
from cacl.stats.intervals import bootstrap_ci, seed_of
from cacl.tables.schemas import AgreementRow, AntibodyRow

Float64 = NDArray[np.float64]

MIN_UNITS = 5
SINGULAR = {"antibodies": "antibody", "genes": "gene"}
SCALES = {
    "quantity": annotation_scales.QUANTITY,
    "staining": annotation_scales.STAINING,
    "intensity": annotation_scales.INTENSITY,
}


def agreement_rows(
    images: pd.DataFrame, antibodies: Sequence[AntibodyRow], *, seed: int
) -> list[AgreementRow]:
    """Compare the ratios with the annotation of the HPA, and with each other.

    Parameters
    ----------
    images
        Columns of `MeasureRow`, one row per image.
    antibodies
        As `aggregate.antibody_rows` returns them.
    seed
        Seed of the bootstrap over antibodies.

    Returns
    -------
    Always the same measures in the same order; a value that cannot be computed is None, with the
    reason in `note`:

    Spearman
        Rank correlation of the ratio with the HPA's quantity, staining and intensity.
    AUROC
        Probability that an antibody with detected staining (low, medium or high) has a higher
        ratio than an antibody with staining not detected; ties count half.
    alpha
        Krippendorff's alpha of ranks among the antibodies of one gene, and among the patients of
        one antibody: 1 = agreement, 0 = chance (see `cacl.stats.agreement.agreement_within`).

    All intervals are percentile intervals of the bootstrap over antibodies (over genes for the
    agreement of a gene's antibodies).
    """
    measured = [row for row in antibodies if row.stained_to_cell_ratio is not None]
    ratios = np.array([row.stained_to_cell_ratio for row in measured], dtype=np.float64)
    levels = {
        name: _levels([getattr(row, f"hpa_{name}") for row in measured], scale)
        for name, scale in SCALES.items()
    }
    rows = [_spearman_row(name, ratios, values, seed) for name, values in levels.items()]
    rows.append(_auroc_row(ratios, levels["staining"], seed))
    genes = [row.ensembl_id or row.gene for row in measured]
    rows.append(_alpha_row("antibodies of one gene", ratios, genes, "genes", seed))
    image_ratios = images["stained_to_cell_ratio"].to_numpy(dtype=np.float64, na_value=np.nan)
    antibody_ids = [str(antibody_id) for antibody_id in images["antibody_id"]]
    rows.append(
        _alpha_row("patients of one antibody", image_ratios, antibody_ids, "antibodies", seed)
    )
    return rows


def _levels(annotations: Sequence[str], scale: dict[str, float]) -> Float64:
    """Return the level of each annotation, NaN if it is not on the scale."""
    levels = (annotation_scales.level(annotation, scale) for annotation in annotations)
    return np.array([np.nan if level is None else level for level in levels], dtype=np.float64)


def _spearman_row(name: str, ratios: Float64, levels: Float64, seed: int) -> AgreementRow:
    known = ~np.isnan(levels)
    x, y = ratios[known], levels[known]
    measure = f"Spearman: ratio against {name}"
    reason = _why_not_comparable(x, y, name)
    if reason:
        return _empty_row(measure, x.size, reason)
    return _estimated_row(
        measure,
        agreement.resampled_spearman(x, y),
        x.size,
        f"1 = ratio and HPA {name} rank the antibodies alike",
        seed,
    )


def _auroc_row(ratios: Float64, staining: Float64, seed: int) -> AgreementRow:
    measure = "AUROC: detected against not detected"
    known = ~np.isnan(staining)
    x, detected = ratios[known], staining[known] > 0
    reason = _why_not_comparable(x, detected.astype(np.float64), "staining (detected or not)")
    if reason:
        return _empty_row(measure, x.size, reason)
    counts = f"{detected.sum()} detected, {(~detected).sum()} not detected"
    return _estimated_row(
        measure,
        agreement.resampled_auroc(x, detected),
        x.size,
        f"probability that a detected antibody has the higher ratio ({counts})",
        seed,
    )


def _alpha_row(
    compared: str, ratios: Float64, groups: Sequence[str], unit: str, seed: int
) -> AgreementRow:
    measure = f"Krippendorff's alpha: {compared}"
    distances = agreement.rank_distances(ratios, groups)
    if distances is None and np.unique(ratios[~np.isnan(ratios)]).size == 1:
        return _empty_row(measure, 0, "All have the same ratio")
    if distances is None or distances.size.size < MIN_UNITS:
        count = 0 if distances is None else distances.size.size
        return _empty_row(
            measure, count, f"{_count_have(count, unit)} two or more ratios; {MIN_UNITS} are needed"
        )
    return _estimated_row(
        measure,
        distances.alpha,
        distances.size.size,
        f"1 = agreement, 0 = chance; n counts {unit}",
        seed,
    )


def _why_not_comparable(x: Float64, y: Float64, name: str) -> str:
    """Return why ratio and annotation cannot be compared; empty if they can."""
    if x.size < MIN_UNITS:
        have = _count_have(x.size, "antibodies")
        return f"{have} a ratio and an annotated {name}; {MIN_UNITS} are needed"
    if np.unique(y).size < 2:
        return f"All {x.size} antibodies have the same annotated {name}"
    if np.unique(x).size < 2:
        return f"All {x.size} antibodies have the same ratio"
    return ""


def _count_have(count: int, unit: str) -> str:
    return f"1 {SINGULAR[unit]} has" if count == 1 else f"{count} {unit} have"


def _empty_row(measure: str, n: int, note: str) -> AgreementRow:
    return AgreementRow(measure=measure, value=None, low=None, high=None, n=n, note=note)


def _estimated_row(
    measure: str, statistic: agreement.Statistic, n: int, note: str, seed: int
) -> AgreementRow:
    low, high = bootstrap_ci(statistic, n, seed=seed_of(measure, seed))
    if low is not None and low == high:
        note += (
            "; the order is perfect, so that every bootstrap sample gives the same value: an "
            "interval of zero width is no evidence of certainty"
        )
    return AgreementRow(
        measure=measure, value=statistic(np.arange(n)), low=low, high=high, n=n, note=note
    )
