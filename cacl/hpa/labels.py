"""The rule that makes an image positive or negative, and the user's exceptions from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cacl.errors import ConfigError
from cacl.hpa.options import FALL_BACK_CELL_TYPE, FALL_BACK_LOCATION, LABELS, LabelOptions
from cacl.tables.schemas import AnnotationRow
from cacl.tables.user_csv import read_lines

LEAVE_OUT = ""


@dataclass(frozen=True)
class Label:
    """`positive`, `negative` or empty, and where that comes from."""

    label: str
    source: str


@dataclass(frozen=True)
class Override:
    """A user's label for an image, or for one of its tiles (then with row and column)."""

    image_id: str
    row: int | None
    col: int | None
    label: str


def label_of(
    antibody: Sequence[AnnotationRow], gene: Sequence[AnnotationRow], options: LabelOptions
) -> Label:
    """Return the label of an antibody's images in one tissue.

    The configured cell type decides: first as annotated for the antibody, else for its gene. Where
    both lack it, the antibody's glandular cells do, then the gene's; there, positive also needs a
    membranous location, because cytoplasmic staining says nothing of the brush border. Where the
    antibody and its gene say opposite things the label is empty and the source begins with
    "disagree".

    A rule with a location asks for that one everywhere: staining at other places only is negative,
    and staining at an unknown place gives no label.

    Parameters
    ----------
    antibody, gene
        Annotation of one tissue, of any cell types.
    options
        Cell type and staining levels.
    """
    mine = _judge(antibody, options.cell_type, "antibody", options)
    genes = _judge(gene, options.cell_type, "gene", options)
    if options.cell_type != FALL_BACK_CELL_TYPE:
        body = _judge(antibody, FALL_BACK_CELL_TYPE, "antibody", options)
        mine = mine or (body if genes is None or _denies(body, genes) else None)
        genes = genes or (_judge(gene, FALL_BACK_CELL_TYPE, "gene", options) if not mine else None)
    if mine and genes and {mine.label, genes.label} == set(LABELS):
        return Label("", f"disagree: {mine.source}; {genes.source}")
    return mine or genes or Label("", "")


def read_overrides(path: Path) -> list[Override]:
    """Return a user's own labels, of images and of tiles.

    Raises
    ------
    ConfigError
        The file cannot be read as a table, a label is unknown, only one of row and col is given or
        is no whole number, or an image or tile is named twice.
    """
    overrides: list[Override] = []
    seen: dict[tuple[str, int | None, int | None], int] = {}
    for line in read_lines(
        path, required=("image_id", "label"), optional=("row", "col"), error=ConfigError
    ):
        where = f"{path}, line {line.number}"
        label = line.values["label"].lower()
        if label not in (*LABELS, LEAVE_OUT):
            raise ConfigError(
                f"{where}: the label {line.values['label'][:50]!r} is unknown; expected positive, "
                "negative, or nothing to leave the image out"
            )
        row, col = (_whole(line.values[name], where, name) for name in ("row", "col"))
        if (row is None) != (col is None):
            raise ConfigError(f"{where}: a tile needs both row and col, an image neither")
        override = Override(line.values["image_id"], row, col, label)
        key = (override.image_id, row, col)
        if key in seen:
            raise ConfigError(
                f"{where}: {override.image_id} is already labelled on line {seen[key]}; remove one"
            )
        seen[key] = line.number
        overrides.append(override)
    return overrides


def _denies(body: Label | None, genes: Label) -> bool:
    """Return whether an antibody that stains nothing contradicts its gene's positive label."""
    return body is not None and (body.label, genes.label) == ("negative", "positive")


def _judge(
    rows: Iterable[AnnotationRow], cell_type: str, level: str, options: LabelOptions
) -> Label | None:
    """Return what the annotation of one cell type says, or None if there is none."""
    found = [row for row in rows if row.cell_type == cell_type and row.staining]
    if not found:
        return None
    labels = {_label(row, options) for row in found}
    said = ", ".join(sorted({_said(row, options) for row in found}))
    source = f"{cell_type} {said} ({level})"
    if len(labels) > 1:
        return Label("", f"disagree: {source}")
    return Label(labels.pop(), source)


def _label(row: AnnotationRow, options: LabelOptions) -> str:
    if row.staining in options.negative:
        return "negative"
    if row.staining not in options.positive:
        return ""
    if _location(row, options) in row.location:
        return "positive"
    return "negative" if options.location and row.location else ""


def _location(row: AnnotationRow, options: LabelOptions) -> str:
    """Return what a positive staining's location must name; empty for anything."""
    falls_back = row.cell_type == FALL_BACK_CELL_TYPE != options.cell_type
    return options.location or (FALL_BACK_LOCATION if falls_back else "")


def _said(row: AnnotationRow, options: LabelOptions) -> str:
    location = row.location or "location unknown"
    shown = _location(row, options) and row.staining in options.positive
    return f"{row.staining}, {location}" if shown else row.staining


def _whole(text: str, where: str, name: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal():
        raise ConfigError(f"{where}: {name} is {text[:50]!r}; expected a whole number from 0")
    return int(text)
