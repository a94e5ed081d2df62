"""How well the ratios agree with the atlas's annotation, over all antibodies."""

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

MIN_ANTIBODIES = 5
SINGULAR = {"antibodies": "antibody", "genes": "gene"}
SCALES = {
    "quantity": annotation_scales.QUANTITY,
    "staining": annotation_scales.STAINING,
    "intensity": annotation_scales.INTENSITY,
}


def agreement_rows(
    images: pd.DataFrame, antibodies: Sequence[AntibodyRow], *, seed: int
) -> list[AgreementRow]:
    """Compare ratios with the atlas's annotation, and with each other.

    Parameters
    ----------
    images
        Columns of `MeasureRow`, one row an image.
    antibodies
        As `pooling.antibody_rows` returns them.
    seed
        Seed of the bootstrap over antibodies.

    Returns
    -------
    Always the same measures in the same order; a value that cannot be told is None, with the
    reason in `note`:

    Spearman
        Rank correlation of the ratio with the atlas's quantity, staining and intensity.
    AUROC
        Chance that an antibody whose staining is detected (low, medium or high) has a higher
        ratio than one that is not detected; ties count half.
    alpha
        Krippendorff's alpha of ranks among the antibodies of one gene, and among the patients of
        one antibody: 1 = agree, 0 = chance (see `specificity.agreement_within`).

    All intervals are percentile intervals of the bootstrap; what is drawn is whole antibodies
    (whole genes for the agreement of a gene's antibodies).
    """
    rated = [row for row in antibodies if row.stained_to_cell_ratio is not None]
    ratios = np.array([row.stained_to_cell_ratio for row in rated], dtype=np.float64)
    levels = {
        name: _levels([getattr(row, f"hpa_{name}") for row in rated], scale)
        for name, scale in SCALES.items()
    }
    rows = [_spearman(name, ratios, values, seed) for name, values in levels.items()]
    rows.append(_auroc(ratios, levels["staining"], seed))
    genes = [row.ensembl_id or row.gene for row in rated]
    rows.append(_alpha("antibodies of one gene", ratios, genes, "genes", seed))
    per_image = images["stained_to_cell_ratio"].to_numpy(dtype=np.float64, na_value=np.nan)
    names = [str(name) for name in images["antibody_id"]]
    rows.append(_alpha("patients of one antibody", per_image, names, "antibodies", seed))
    return rows


def _levels(words: Sequence[str], scale: dict[str, float]) -> Float64:
    found = (annotation_scales.level(word, scale) for word in words)
    return np.array([np.nan if level is None else level for level in found], dtype=np.float64)


def _spearman(name: str, ratios: Float64, levels: Float64, seed: int) -> AgreementRow:
    known = ~np.isnan(levels)
    x, y = ratios[known], levels[known]
    measure = f"Spearman: ratio against {name}"
    missing = _missing(x, y, name)
    if missing:
        return _empty(measure, x.size, missing)
    return _estimated(
        measure,
        agreement.resampled_spearman(x, y),
        x.size,
        f"1 = antibodies rank by ratio as by the atlas's {name}",
        seed,
    )


def _auroc(ratios: Float64, staining: Float64, seed: int) -> AgreementRow:
    measure = "AUROC: detected against not detected"
    known = ~np.isnan(staining)
    x, detected = ratios[known], staining[known] > 0
    missing = _missing(x, detected.astype(np.float64), "staining (detected or not)")
    if missing:
        return _empty(measure, x.size, missing)
    counts = f"{detected.sum()} detected, {(~detected).sum()} not detected"
    return _estimated(
        measure,
        agreement.resampled_auroc(x, detected),
        x.size,
        f"chance that a detected one has the higher ratio ({counts})",
        seed,
    )


def _alpha(what: str, ratios: Float64, groups: Sequence[str], unit: str, seed: int) -> AgreementRow:
    measure = f"Krippendorff's alpha: {what}"
    distances = agreement.rank_distances(ratios, groups)
    if distances is None and np.unique(ratios[~np.isnan(ratios)]).size == 1:
        return _empty(measure, 0, "All have the same ratio")
    if distances is None or distances.size.size < MIN_ANTIBODIES:
        count = 0 if distances is None else distances.size.size
        return _empty(
            measure,
            count,
            f"{_have(count, unit)} two ratios or more, {MIN_ANTIBODIES} are needed",
        )
    return _estimated(
        measure,
        distances.alpha,
        distances.size.size,
        f"1 = agree, 0 = chance; n counts {unit}",
        seed,
    )


def _missing(x: Float64, y: Float64, name: str) -> str:
    """Return why ratio and annotation cannot be compared; empty if they can."""
    if x.size < MIN_ANTIBODIES:
        found = _have(x.size, "antibodies")
        return f"{found} a ratio and an annotated {name}, {MIN_ANTIBODIES} are needed"
    if np.unique(y).size < 2:
        return f"All {x.size} antibodies have the same annotated {name}"
    if np.unique(x).size < 2:
        return f"All {x.size} antibodies have the same ratio"
    return ""


def _have(count: int, unit: str) -> str:
    return f"1 {SINGULAR[unit]} has" if count == 1 else f"{count} {unit} have"


def _empty(measure: str, n: int, note: str) -> AgreementRow:
    return AgreementRow(measure=measure, value=None, low=None, high=None, n=n, note=note)


def _estimated(
    measure: str, statistic: agreement.Statistic, n: int, note: str, seed: int
) -> AgreementRow:
    low, high = bootstrap_ci(statistic, n, seed=seed_of(measure, seed))
    if low is not None and low == high:
        note += (
            "; the order is perfect, so that resampling shows no spread: read no certainty in it"
        )
    return AgreementRow(
        measure=measure, value=statistic(np.arange(n)), low=low, high=high, n=n, note=note
    )
