"""Aggregation of the measures of images to antibodies and genes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cacl.hpa.annotation import join_unique
from cacl.stats import agreement, significance, tail_p
from cacl.stats.ratios import dab_fraction_in_mask, mean_stained_od, pooled_ratio, ratio
from cacl.tables.schemas import AntibodyRow, GeneRow

NEGATIVE = "negative"
TEXT_COLUMNS = (
    "antibody_id",
    "ensembl_id",
    "gene",
    "tissue",
    "patient_id",
    "label",
    "hpa_staining",
    "hpa_intensity",
    "hpa_quantity",
    "hpa_location",
)
AREA_COLUMNS = ("cell_area_px", "stained_area_px", "dab_area_px")
MEAN_COLUMNS = ("border_share", "stained_od", "h_score")

Columns = Mapping[str, NDArray[Any]]
RankedRow = TypeVar("RankedRow", AntibodyRow, GeneRow)


def antibody_rows(images: pd.DataFrame) -> list[AntibodyRow]:
    """Pool images by antibody and compare each antibody with the negative antibodies.

    Parameters
    ----------
    images
        Columns of `MeasureRow`, one row per image.

    Returns
    -------
    One row per antibody, by falling ratio, then by name; antibodies without a ratio come last.
    """
    table = _column_arrays(images)
    gene_agreement = _gene_agreement(table)
    rows, is_negative = [], []
    for antibody_id, group in _groups(table, table["antibody_id"]):
        label = _common_label(group)
        is_negative.append(label == NEGATIVE)
        tau, top_tissue = _tissue_specificity(group)
        stained, cell = int(group["stained_area_px"].sum()), int(group["cell_area_px"].sum())
        row = AntibodyRow(
            antibody_id=antibody_id,
            ensembl_id=_joined(group, "ensembl_id"),
            gene=_joined(group, "gene"),
            label=label,
            stained_od=mean_stained_od(_area_weighted_sum(group, "stained_od", "stained"), stained),
            h_score=ratio(_area_weighted_sum(group, "h_score", "cell"), cell),
            tissue_tau=tau,
            top_tissue=top_tissue,
            gene_agreement=gene_agreement.get(str(_gene_keys(group)[0])),
            hpa_intensity=_joined(group, "hpa_intensity"),
            hpa_quantity=_joined(group, "hpa_quantity"),
            hpa_location=_joined(group, "hpa_location"),
            **_pooled_fields(group),
        )
        rows.append(row)
    return _ranked(rows, np.array(is_negative, dtype=bool))


def gene_rows(images: pd.DataFrame) -> list[GeneRow]:
    """Pool images by gene, as `antibody_rows` does by antibody.

    A gene is an Ensembl id, or a symbol if the id is unknown; images with neither are left out.
    """
    table = _column_arrays(images)
    gene_agreement = _gene_agreement(table)
    rows, is_negative = [], []
    for key, group in _groups(table, _gene_keys(table)):
        if not key:
            continue
        is_negative.append(_common_label(group) == NEGATIVE)
        row = GeneRow(
            ensembl_id=_joined(group, "ensembl_id"),
            gene=_joined(group, "gene"),
            antibodies=len(set(group["antibody_id"])),
            agreement=gene_agreement.get(key),
            **_pooled_fields(group),
        )
        rows.append(row)
    return _ranked(rows, np.array(is_negative, dtype=bool))


def _column_arrays(images: pd.DataFrame) -> Columns:
    """Return the frame's columns as arrays, which can be grouped much faster than a frame."""
    texts = {name: images[name].to_numpy(dtype=object) for name in TEXT_COLUMNS}
    areas = {name: images[name].to_numpy(dtype=np.int64) for name in AREA_COLUMNS}
    means = {
        name: images[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in MEAN_COLUMNS
    }
    return {**texts, **areas, **means}


def _groups(table: Columns, keys: NDArray[Any]) -> Iterator[tuple[str, Columns]]:
    """Yield key and rows of each group, in the order of the keys."""
    if keys.size == 0:
        return
    names, group_index, counts = np.unique(
        keys.astype(str), return_inverse=True, return_counts=True
    )
    order = np.argsort(group_index, kind="stable")
    groups = np.split(order, np.cumsum(counts)[:-1])
    for name, rows in zip(names.tolist(), groups, strict=True):
        yield name, {column: values[rows] for column, values in table.items()}


def _gene_keys(table: Columns) -> NDArray[Any]:
    return np.where(table["ensembl_id"] != "", table["ensembl_id"], table["gene"])


def _gene_agreement(table: Columns) -> dict[str, float]:
    """Return the agreement of the antibodies of each gene that has at least two antibodies."""
    ratios, genes = [], []
    for _, group in _groups(table, table["antibody_id"]):
        pooled = ratio(group["stained_area_px"].sum(), group["cell_area_px"].sum())
        for gene in set(_gene_keys(group)) - {""}:
            ratios.append(np.nan if pooled is None else pooled)
            genes.append(str(gene))
    return agreement.agreement_within(np.array(ratios, dtype=np.float64), genes)


def _tissue_specificity(group: Columns) -> tuple[float | None, str]:
    """Return tau over the tissues of one antibody, and the tissue of its highest ratio."""
    ratios = {}
    for tissue, rows in _groups(group, group["tissue"]):
        pooled = ratio(rows["stained_area_px"].sum(), rows["cell_area_px"].sum())
        if tissue and pooled is not None:
            ratios[tissue] = pooled
    if len(ratios) < 2:
        return None, ""
    tau = agreement.tissue_tau(np.array(list(ratios.values())))
    top_tissue = max(ratios, key=lambda tissue: ratios[tissue]) if tau is not None else ""
    return tau, top_tissue


def _pooled_fields(group: Columns) -> dict[str, Any]:
    """Return the fields that antibodies and genes share; `_ranked` fills rank, z, p and q."""
    stained, cell, dab = group["stained_area_px"], group["cell_area_px"], group["dab_area_px"]
    patients = group["patient_id"].astype(np.str_)
    pooled, low, high = pooled_ratio(stained, cell, patients)
    return {
        "rank": 0,
        "images": len(cell),
        "patients": len(set(patients.tolist()) - {""}),
        "cell_area_px": int(cell.sum()),
        "stained_area_px": int(stained.sum()),
        "stained_to_cell_ratio": pooled,
        "ratio_low": low,
        "ratio_high": high,
        "border_share": dab_fraction_in_mask(
            _area_weighted_sum(group, "border_share", "dab"), int(dab.sum())
        ),
        "z": None,
        "p_value": None,
        "p_extrapolated": False,
        "q_value": None,
        "hpa_staining": _joined(group, "hpa_staining"),
    }


def _ranked(rows: Sequence[RankedRow], is_negative: NDArray[np.bool_]) -> list[RankedRow]:
    """Return rows by falling ratio, with rank, z, p and q against the negative rows."""
    ratios = np.array(
        [np.nan if row.stained_to_cell_ratio is None else row.stained_to_cell_ratio for row in rows]
    )
    p_values = tail_p.one_sided_p(ratios, is_negative)
    is_extrapolated = p_values < significance.empirical_p(ratios, is_negative)
    q_values = significance.benjamini_hochberg(p_values)
    z_values = significance.robust_z(ratios, is_negative)
    order = np.argsort(-ratios, kind="stable")
    return [
        dataclasses.replace(
            rows[index],
            rank=rank,
            z=_or_none(z_values[index]),
            p_value=_or_none(p_values[index]),
            p_extrapolated=bool(is_extrapolated[index]),
            q_value=_or_none(q_values[index]),
        )
        for rank, index in enumerate(order.tolist(), start=1)
    ]


def _common_label(group: Columns) -> str:
    """Return the label that all labelled images share; empty if there is none or several."""
    labels = set(group["label"]) - {""}
    return str(labels.pop()) if len(labels) == 1 else ""


def _joined(group: Columns, column: str) -> str:
    """Return the distinct texts of a column, joined as in all tables."""
    return join_unique(str(value) for value in group[column])


def _area_weighted_sum(group: Columns, column: str, area: str) -> float:
    """Return the sum of a mean times its area, without the images whose mean is unknown."""
    return float(np.nansum(group[column] * group[f"{area}_area_px"]))


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
