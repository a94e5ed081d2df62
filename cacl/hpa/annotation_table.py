"""Read the bulk annotation table of the Human Protein Atlas, of any release.

Up to release 23 it is `normal_tissue.tsv`, from 24 on `normal_ihc_data.tsv`; both are zipped.
Tables that were written by R have dots instead of spaces in the column names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from cacl.errors import CatalogError
from cacl.hpa.gene_names import without_version
from cacl.hpa.table_rows import read_table_rows
from cacl.tables.schemas import AnnotationRow

COLUMNS = {
    "ensembl_id": ("ensembl", "gene"),
    "gene": ("gene name",),
    "tissue": ("ihc tissue name", "tissue"),
    "cell_type": ("cell type",),
    "staining": ("level",),
    "reliability": ("reliability",),
}


def read_annotation_table(
    path: Path, *, tissues: frozenset[str] = frozenset()
) -> Iterator[AnnotationRow]:
    """Yield one gene-level row per gene, tissue and cell type, with values in lower case.

    Parameters
    ----------
    path
        `.tsv`, `.tsv.gz` or `.tsv.zip`.
    tissues
        Lower-case names of the tissues to read; empty for all.

    Raises
    ------
    CatalogError
        The table lacks a column; see also `read_table_rows`.
    """
    rows = read_table_rows(path)
    column_indices = _column_indices(path, next(rows))
    for fields in rows:
        row = _row(fields, column_indices)
        if row is not None and (not tissues or row.tissue in tissues):
            yield row


def _column_indices(path: Path, header: list[str]) -> dict[str, list[int]]:
    """Return the indices of each column and its fall-backs in a line."""
    names = [re.sub(r"[._\s]+", " ", name).strip().lower() for name in header]
    columns = dict(COLUMNS)
    if "gene name" not in names:
        columns["ensembl_id"], columns["gene"] = ("ensembl",), ("gene",)
    indices = {
        column: [names.index(name) for name in aliases if name in names]
        for column, aliases in columns.items()
    }
    missing = [columns[column][0] for column in columns if not indices[column]]
    if missing:
        raise CatalogError(
            f"The annotation table {path} has no column {', '.join(missing)}; expected Gene, Gene "
            f"name, Tissue, Cell type, Level, Reliability, got {', '.join(header)[:200]}"
        )
    return indices


def _row(fields: list[str], column_indices: dict[str, list[int]]) -> AnnotationRow | None:
    values = {column: _first_value(fields, indices) for column, indices in column_indices.items()}
    if not (values["ensembl_id"] and values["tissue"]):
        return None
    return AnnotationRow(
        antibody_id="",
        ensembl_id=without_version(values["ensembl_id"]),
        gene=values["gene"],
        tissue=values["tissue"].lower(),
        cell_type=values["cell_type"].lower(),
        staining=values["staining"].lower(),
        intensity="",
        quantity="",
        location="",
        reliability=values["reliability"].lower(),
    )


def _first_value(fields: list[str], indices: list[int]) -> str:
    return next((fields[index] for index in indices if fields[index]), "")
