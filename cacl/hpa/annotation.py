"""Annotation of one cell type, looked up by image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from cacl.tables.schemas import AnnotationRow, ImageRow

SEPARATOR = "; "
FIELDS = ("staining", "intensity", "quantity", "location")

AnnotationIndex = Mapping[tuple[str, str, str], Mapping[str, str]]
"""Annotation fields by (`antibody` or `gene`, its id, tissue in lower case)."""


def index_annotations(rows: Iterable[AnnotationRow], cell_type: str) -> AnnotationIndex:
    """Return the annotation of one cell type by antibody or gene, and tissue.

    Different values of several rows are sorted and joined; see `join_unique`.

    Parameters
    ----------
    rows
        The catalog's annotation; a row without an antibody annotates the gene.
    cell_type
        The cell type, case-insensitive.
    """
    name = cell_type.strip().lower()
    groups: dict[tuple[str, str, str], list[AnnotationRow]] = {}
    for row in rows:
        if row.cell_type.strip().lower() != name:
            continue
        target = ("antibody", row.antibody_id) if row.antibody_id else ("gene", row.ensembl_id)
        groups.setdefault((*target, row.tissue.lower()), []).append(row)
    return {key: _merge(group) for key, group in groups.items()}


def annotation_of(image: ImageRow, index: AnnotationIndex) -> Mapping[str, str]:
    """Return the annotation fields of an image, by name.

    The annotation of the antibody has precedence over that of the gene. All fields are empty if
    neither is annotated in the image's tissue.
    """
    tissue = image.tissue.lower()
    of_antibody = index.get(("antibody", image.antibody_id, tissue))
    of_gene = index.get(("gene", image.ensembl_id, tissue)) if image.ensembl_id else None
    return of_antibody or of_gene or dict.fromkeys(FIELDS, "")


def join_unique(values: Iterable[str]) -> str:
    """Return the non-empty values without duplicates, sorted and joined by `SEPARATOR`."""
    return SEPARATOR.join(sorted({value for value in values if value}))


def _merge(rows: Sequence[AnnotationRow]) -> dict[str, str]:
    return {field: join_unique(getattr(row, field) for row in rows) for field in FIELDS}
