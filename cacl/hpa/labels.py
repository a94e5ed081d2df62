"""The rule that labels an image positive or negative, and the user's overrides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cacl.config import LabelsConfig
from cacl.errors import ConfigError
from cacl.tables.cells import whole_number
from cacl.tables.schemas import AnnotationRow
from cacl.tables.user_csv import Columns, read_lines

OVERRIDE_COLUMNS = Columns(
    required=("image_id", "label"), optional=("row", "col"), names=("image_id",)
)
LABELS = ("positive", "negative")
NO_LABEL = ""
FALL_BACK_CELL_TYPE = "glandular cells"
FALL_BACK_LOCATION = "membran"


@dataclass(frozen=True, kw_only=True)
class LabelRule:
    """The rule of one class; all texts are in lower case.

    Parameters
    ----------
    cell_type
        Cell type whose annotation gives the label.
    positive, negative
        Staining levels of the two labels.
    location
        Text that the location of a positive staining must contain; empty for any.
    """

    cell_type: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    location: str = ""


def label_rules(labels: LabelsConfig) -> dict[str, LabelRule]:
    """Return the rule of each class by its name; the name of a single class is empty."""
    plain = LabelRule(
        cell_type=labels.cell_type, positive=labels.positive, negative=labels.negative
    )
    rules = {
        name: replace(plain, cell_type=entry.cell_type, location=entry.location)
        for name, entry in labels.classes.items()
    }
    return rules or {"": plain}


@dataclass(frozen=True)
class Label:
    """`positive`, `negative` or empty, and the annotation that it is based on."""

    label: str
    source: str


@dataclass(frozen=True)
class Override:
    """A user's label of an image, or of one of its tiles (then with row and column).

    An empty label leaves the image or tile out of training. `line` is its line in the file.
    """

    image_id: str
    row: int | None
    col: int | None
    label: str
    line: int = field(default=0, compare=False)


def label_of(
    antibody: Sequence[AnnotationRow], gene: Sequence[AnnotationRow], rule: LabelRule
) -> Label:
    """Return the label of an antibody's images in one tissue.

    The label comes from the annotation of the configured cell type: of the antibody, else of its
    gene. If both lack it, the label comes from the glandular cells of the antibody, else of the
    gene. There a positive label also needs a membranous location, because cytoplasmic staining is
    no evidence for the brush border. If antibody and gene contradict each other, the label is
    empty and the source starts with "disagree".

    A rule with a location applies it to every annotation: staining only at other locations is
    negative, and staining at an unknown location gives no label.

    Parameters
    ----------
    antibody, gene
        Annotation of one tissue, of any cell types.
    rule
        Cell type and staining levels.
    """
    of_antibody = _label_from_rows(antibody, rule.cell_type, "antibody", rule)
    of_gene = _label_from_rows(gene, rule.cell_type, "gene", rule)
    if rule.cell_type != FALL_BACK_CELL_TYPE:
        fall_back = _label_from_rows(antibody, FALL_BACK_CELL_TYPE, "antibody", rule)
        if of_antibody is None and (of_gene is None or _contradicts(fall_back, of_gene)):
            of_antibody = fall_back
        if of_gene is None and of_antibody is None:
            of_gene = _label_from_rows(gene, FALL_BACK_CELL_TYPE, "gene", rule)
    if of_antibody and of_gene and {of_antibody.label, of_gene.label} == set(LABELS):
        return Label(NO_LABEL, f"disagree: {of_antibody.source}; {of_gene.source}")
    return of_antibody or of_gene or Label(NO_LABEL, "")


def read_overrides(path: Path) -> list[Override]:
    """Return the user's labels of images and tiles, for `cacl catalog` and `cacl select`.

    Raises
    ------
    ConfigError
        The file is not a table, an image id is missing, a label is unknown, only one of row and
        col is set, a row or col is not a whole number, or an image or tile is listed twice.
    """
    overrides: list[Override] = []
    line_numbers: dict[tuple[str, int | None, int | None], int] = {}
    for line in read_lines(path, OVERRIDE_COLUMNS, ConfigError):
        location = f"{path}, line {line.number}"
        if not line.values["image_id"]:
            raise ConfigError(f"{location}: image_id is empty; write <antibody>/<image>")
        label = line.values["label"].lower()
        if label not in (*LABELS, NO_LABEL):
            raise ConfigError(
                f"{location}: the label {line.values['label'][:50]!r} is unknown; expected "
                "positive, negative, or nothing to leave the image or tile out"
            )
        row, col = (_parse_int(line.values[name], location, name) for name in ("row", "col"))
        if (row is None) != (col is None):
            raise ConfigError(f"{location}: a tile needs both row and col, an image neither")
        override = Override(line.values["image_id"], row, col, label, line.number)
        key = (override.image_id, row, col)
        if key in line_numbers:
            raise ConfigError(
                f"{location}: {override.image_id} is already labelled on line {line_numbers[key]}; "
                "remove one"
            )
        line_numbers[key] = line.number
        overrides.append(override)
    return overrides


def _contradicts(of_antibody: Label | None, of_gene: Label) -> bool:
    """Return whether a negative antibody contradicts the positive label of its gene."""
    return of_antibody is not None and (of_antibody.label, of_gene.label) == (
        "negative",
        "positive",
    )


def _label_from_rows(
    rows: Iterable[AnnotationRow], cell_type: str, level: str, rule: LabelRule
) -> Label | None:
    """Return the label from the annotation of one cell type, or None if it is not annotated.

    `level` is "antibody" or "gene", for the source.
    """
    rows = [row for row in rows if row.cell_type == cell_type and row.staining]
    if not rows:
        return None
    labels = {_label(row, rule) for row in rows}
    descriptions = ", ".join(sorted({_describe(row, rule) for row in rows}))
    source = f"{cell_type} {descriptions} ({level})"
    if len(labels) > 1:
        return Label(NO_LABEL, f"disagree: {source}")
    return Label(labels.pop(), source)


def _label(row: AnnotationRow, rule: LabelRule) -> str:
    if row.staining in rule.negative:
        return "negative"
    if row.staining not in rule.positive:
        return NO_LABEL
    if _required_location(row, rule) in row.location:
        return "positive"
    return "negative" if rule.location and row.location else NO_LABEL


def _required_location(row: AnnotationRow, rule: LabelRule) -> str:
    """Return the text that the location of a positive staining must contain; empty for any."""
    is_fall_back = row.cell_type == FALL_BACK_CELL_TYPE != rule.cell_type
    return rule.location or (FALL_BACK_LOCATION if is_fall_back else "")


def _describe(row: AnnotationRow, rule: LabelRule) -> str:
    location = row.location or "location unknown"
    has_location = _required_location(row, rule) and row.staining in rule.positive
    return f"{row.staining}, {location}" if has_location else row.staining


def _parse_int(text: str, location: str, name: str) -> int | None:
    if not text:
        return None
    number = whole_number(text)
    if number is None:
        raise ConfigError(f"{location}: {name} is {text[:50]!r}; expected a whole number from 0")
    return number
