"""From measures of images to measures of antibodies and genes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cacl import statistics
from cacl.measures import border_share, joined
from cacl.records import AntibodyRow, GeneRow

NEGATIVE = "negative"
Pooled = TypeVar("Pooled", AntibodyRow, GeneRow)


def antibody_rows(images: pd.DataFrame, *, seed: int) -> list[AntibodyRow]:
    """Pool images by antibody and compare them with those annotated as not detected.

    Parameters
    ----------
    images
        Columns of `MeasureRow`, one row an image.
    seed
        Seed of the bootstrap.

    Returns
    -------
    One row an antibody, by falling ratio, then by name; antibodies without a ratio come last.
    """
    rows, negative = [], []
    for antibody_id, group in images.groupby("antibody_id", sort=True):
        label = _label(group)
        negative.append(label == NEGATIVE)
        row = AntibodyRow(
            antibody_id=str(antibody_id),
            ensembl_id=_words(group, "ensembl_id"),
            gene=_words(group, "gene"),
            label=label,
            hpa_intensity=_words(group, "hpa_intensity"),
            hpa_quantity=_words(group, "hpa_quantity"),
            hpa_location=_words(group, "hpa_location"),
            **_pool(group, f"antibody:{antibody_id}", seed),
        )
        rows.append(row)
    return _ranked(rows, np.array(negative, dtype=bool))


def gene_rows(images: pd.DataFrame, *, seed: int) -> list[GeneRow]:
    """Pool images by gene, as `antibody_rows` does by antibody.

    A gene is an Ensembl id, or a symbol where the id is unknown; images with neither are left out.
    """
    key = images["ensembl_id"].where(images["ensembl_id"] != "", images["gene"])
    rows, negative = [], []
    for name, group in images[key != ""].groupby(key[key != ""], sort=True):
        negative.append(_label(group) == NEGATIVE)
        row = GeneRow(
            ensembl_id=_words(group, "ensembl_id"),
            gene=_words(group, "gene"),
            antibodies=int(group["antibody_id"].nunique()),
            **_pool(group, f"gene:{name}", seed),
        )
        rows.append(row)
    return _ranked(rows, np.array(negative, dtype=bool))


def _pool(group: pd.DataFrame, name: str, seed: int) -> dict[str, Any]:
    """Return the fields that antibodies and genes share; rank, z, p and q are still to come."""
    stained, cell, dab = (
        group[column].to_numpy(dtype=np.int64)
        for column in ("stained_area_px", "cell_area_px", "dab_area_px")
    )
    share = group["border_share"].to_numpy(dtype=np.float64, na_value=0.0)
    patients = group["patient_id"].to_numpy(dtype=np.str_)
    pooled, low, high = statistics.pooled_ratio(stained, cell, patients, name=name, seed=seed)
    return {
        "rank": 0,
        "images": len(group),
        "patients": len(set(patients) - {""}),
        "cell_area_px": int(cell.sum()),
        "stained_area_px": int(stained.sum()),
        "stained_to_cell_ratio": pooled,
        "ratio_low": low,
        "ratio_high": high,
        "border_share": border_share(float((share * dab).sum()), int(dab.sum())),
        "z": None,
        "p_value": None,
        "q_value": None,
        "hpa_staining": _words(group, "hpa_staining"),
    }


def _ranked(rows: Sequence[Pooled], negative: NDArray[np.bool_]) -> list[Pooled]:
    ratios = np.array(
        [np.nan if row.stained_to_cell_ratio is None else row.stained_to_cell_ratio for row in rows]
    )
    p_values = statistics.empirical_p(ratios, negative)
    q_values = statistics.benjamini_hochberg(p_values)
    z_values = statistics.robust_z(ratios, negative)
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


def _label(group: pd.DataFrame) -> str:
    """Return the label that the images agree on; empty where they have none or several."""
    labels = set(group["label"]) - {""}
    return str(labels.pop()) if len(labels) == 1 else ""


def _words(group: pd.DataFrame, column: str) -> str:
    return joined(str(value) for value in group[column].unique())


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
