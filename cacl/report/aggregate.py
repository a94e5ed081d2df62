"""From measures of images to measures of antibodies and genes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cacl.hpa.annotation import join_unique
from cacl.stats import agreement as specificity
from cacl.stats import significance
from cacl.stats.ratios import dab_fraction_in_mask, mean_stained_od, pooled_ratio, ratio
from cacl.tables.schemas import AntibodyRow, GeneRow

NEGATIVE = "negative"
WORDS = (
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
AREAS = ("cell_area_px", "stained_area_px", "dab_area_px")
MEASURES = ("border_share", "stained_od", "h_score")

Float64 = NDArray[np.float64]
Columns = Mapping[str, NDArray[Any]]
Pooled = TypeVar("Pooled", AntibodyRow, GeneRow)


def antibody_rows(images: pd.DataFrame) -> list[AntibodyRow]:
    """Pool images by antibody and compare them with those annotated as not detected.

    Parameters
    ----------
    images
        Columns of `MeasureRow`, one row an image.

    Returns
    -------
    One row an antibody, by falling ratio, then by name; antibodies without a ratio come last.
    """
    table = _columns(images)
    agreement = _gene_agreement(table)
    rows, negative = [], []
    for antibody_id, group in _groups(table, table["antibody_id"]):
        label = _label(group)
        negative.append(label == NEGATIVE)
        tau, top = _tissues(group)
        stained, cell = int(group["stained_area_px"].sum()), int(group["cell_area_px"].sum())
        row = AntibodyRow(
            antibody_id=antibody_id,
            ensembl_id=_words(group, "ensembl_id"),
            gene=_words(group, "gene"),
            label=label,
            stained_od=mean_stained_od(_weighted(group, "stained_od", "stained"), stained),
            h_score=ratio(_weighted(group, "h_score", "cell"), cell),
            tissue_tau=tau,
            top_tissue=top,
            gene_agreement=agreement.get(str(_gene_keys(group)[0])),
            hpa_intensity=_words(group, "hpa_intensity"),
            hpa_quantity=_words(group, "hpa_quantity"),
            hpa_location=_words(group, "hpa_location"),
            **_pool(group),
        )
        rows.append(row)
    return _ranked(rows, np.array(negative, dtype=bool))


def gene_rows(images: pd.DataFrame) -> list[GeneRow]:
    """Pool images by gene, as `antibody_rows` does by antibody.

    A gene is an Ensembl id, or a symbol where the id is unknown; images with neither are left out.
    """
    table = _columns(images)
    agreement = _gene_agreement(table)
    rows, negative = [], []
    for key, group in _groups(table, _gene_keys(table)):
        if not key:
            continue
        negative.append(_label(group) == NEGATIVE)
        row = GeneRow(
            ensembl_id=_words(group, "ensembl_id"),
            gene=_words(group, "gene"),
            antibodies=len(set(group["antibody_id"])),
            agreement=agreement.get(key),
            **_pool(group),
        )
        rows.append(row)
    return _ranked(rows, np.array(negative, dtype=bool))


def _columns(images: pd.DataFrame) -> Columns:
    """Return the frame's columns as arrays, which are far quicker to cut into groups."""
    words = {name: images[name].to_numpy(dtype=object) for name in WORDS}
    areas = {name: images[name].to_numpy(dtype=np.int64) for name in AREAS}
    values = {name: images[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in MEASURES}
    return {**words, **areas, **values}


def _groups(table: Columns, keys: NDArray[Any]) -> Iterator[tuple[str, Columns]]:
    """Yield the table's rows by key, keys in order."""
    if keys.size == 0:
        return
    names, of, counts = np.unique(keys.astype(str), return_inverse=True, return_counts=True)
    rows = np.argsort(of, kind="stable")
    for name, places in zip(names.tolist(), np.split(rows, np.cumsum(counts)[:-1]), strict=True):
        yield name, {column: values[places] for column, values in table.items()}


def _gene_keys(table: Columns) -> NDArray[Any]:
    return np.where(table["ensembl_id"] != "", table["ensembl_id"], table["gene"])


def _gene_agreement(table: Columns) -> dict[str, float]:
    """Return the agreement of the antibodies of each gene that has at least two."""
    ratios, genes = [], []
    for _, group in _groups(table, table["antibody_id"]):
        keys = set(_gene_keys(group)) - {""}
        pooled = ratio(group["stained_area_px"].sum(), group["cell_area_px"].sum())
        for key in keys:
            ratios.append(np.nan if pooled is None else pooled)
            genes.append(str(key))
    return specificity.agreement_within(np.array(ratios, dtype=np.float64), genes)


def _tissues(group: Columns) -> tuple[float | None, str]:
    """Return tau over the tissues of one antibody, and the tissue of its highest ratio."""
    ratios = {}
    for tissue, part in _groups(group, group["tissue"]):
        pooled = ratio(part["stained_area_px"].sum(), part["cell_area_px"].sum())
        if tissue and pooled is not None:
            ratios[tissue] = pooled
    if len(ratios) < 2:
        return None, ""
    tau = specificity.tissue_tau(np.array(list(ratios.values())))
    top = max(ratios, key=lambda tissue: ratios[tissue]) if tau is not None else ""
    return tau, top


def _pool(group: Columns) -> dict[str, Any]:
    """Return the fields that antibodies and genes share; rank, z, p and q are still to come."""
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
            _weighted(group, "border_share", "dab"), int(dab.sum())
        ),
        "z": None,
        "p_value": None,
        "q_value": None,
        "hpa_staining": _words(group, "hpa_staining"),
    }


def _ranked(rows: Sequence[Pooled], negative: NDArray[np.bool_]) -> list[Pooled]:
    ratios = np.array(
        [np.nan if row.stained_to_cell_ratio is None else row.stained_to_cell_ratio for row in rows]
    )
    p_values = significance.empirical_p(ratios, negative)
    q_values = significance.benjamini_hochberg(p_values)
    z_values = significance.robust_z(ratios, negative)
    order = np.argsort(-ratios, kind="stable")
    return [
        dataclasses.replace(
            rows[index],
            rank=rank,
            z=_or_none(z_values[index]),
            p_value=_or_none(p_values[index]),
            q_value=_or_none(q_values[index]),
        )
        for rank, index in enumerate(order.tolist(), start=1)
    ]


def _label(group: Columns) -> str:
    """Return the label that the images agree on; empty where they have none or several."""
    labels = set(group["label"]) - {""}
    return str(labels.pop()) if len(labels) == 1 else ""


def _words(group: Columns, column: str) -> str:
    return join_unique(str(value) for value in group[column])


def _weighted(group: Columns, column: str, area: str) -> float:
    """Return the sum of a mean times its area; an image without that area counts nothing."""
    return float(np.nansum(group[column] * group[f"{area}_area_px"]))


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
