"""The data dictionary: every table and column, and what spreadsheets do to them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any, get_args, get_type_hints

from cacl.tables.schemas import (
    AgreementRow,
    AntibodyRow,
    ClassRow,
    DisagreementRow,
    FailureRow,
    GeneRow,
    MeasureRow,
    ReviewRow,
)

MAX_NAMES = 12

# Month words that Excel reads in front of a number, in English and in languages near it; a number
# with an E between digits becomes a power of ten.
TAKEN_FOR_DATES = re.compile(
    r"(jan|feb|mar|marc|march|mars|apr|april|may|mai|jun|june|jul|july|aug|ago|sep|sept|set|oct|okt"
    r"|nov|dec|dez|dic)[ -]?\d{1,4}"
    r"|\d+e\d+",
    re.IGNORECASE,
)
FORMULA_STARTS = ("=", "+", "-", "@")


@dataclass(frozen=True)
class Table:
    """A table of the report.

    Parameters
    ----------
    name
        Its file name without ending.
    record
        The class of its rows.
    title, about
        What it is called, and what a row of it is.
    key
        The column that names a row; empty where none does.
    names_antibody
        Whether its `antibody_id` is a row of `antibodies`.
    """

    name: str
    record: type
    title: str
    about: str
    key: str
    names_antibody: bool = False


@dataclass(frozen=True)
class Column:
    """One column: name, type in words, unit, meaning, and whether it can be empty."""

    name: str
    kind: str
    unit: str
    meaning: str
    is_optional: bool


KINDS = {str: "string", int: "integer", float: "number", bool: "boolean"}


def report_tables(cell_type: str) -> list[Table]:
    """Return the tables of a report on a cell type, in the order a reader wants them."""
    return [
        Table(
            "antibodies",
            AntibodyRow,
            "Antibodies",
            "One row an antibody, pooled over its images, by falling stained-to-cell ratio. p, q "
            "and z compare it with the antibodies labelled negative (those that the atlas "
            f"annotates as not detected in {cell_type}, unless you gave labels), leaving out "
            "itself; they are empty where there are too few of them.",
            "antibody_id",
        ),
        Table(
            "genes",
            GeneRow,
            "Genes",
            "One row a gene, pooled over the images of its antibodies, by falling ratio.",
            "rank",
        ),
        Table(
            "disagreements",
            DisagreementRow,
            "Disagreements with the atlas",
            "One row an antibody whose ratio is not where its annotation would have it, the "
            "largest disagreement first: what a curator wants to look at.",
            "rank",
            names_antibody=True,
        ),
        Table(
            "review",
            ReviewRow,
            "Cores worth a look",
            "One row a core, at most 100: those most worth an expert's look, by the sum of four "
            "doubts (views of the model, annotation, interval, quality), with the reason.",
            "image_id",
            names_antibody=True,
        ),
        Table(
            "agreement",
            AgreementRow,
            "Agreement with the atlas",
            "One row a statistic of how well ratios and annotation agree over all antibodies.",
            "measure",
        ),
        Table(
            "images",
            MeasureRow,
            "Images",
            "One row an image: areas, ratio with its interval, intensity, quality, annotation.",
            "image_id",
            names_antibody=True,
        ),
        Table(
            "classes",
            ClassRow,
            "Classes",
            "One row an image and class of `labels.classes`: the stained area of each class. Where "
            "there is one class alone it is `stain`, and says what `images` says.",
            "",
            names_antibody=True,
        ),
        Table(
            "failures",
            FailureRow,
            "Failures",
            "One row an image that a step could not use, with the reason and what to do about it.",
            "",
        ),
    ]


def described(record: type) -> list[Column]:
    """Return the columns of a record class, in order, as `cacl.tables.schemas` declares them."""
    hints = get_type_hints(record)
    found = []
    for field in dataclasses.fields(record):
        hint = hints[field.name]
        parts = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        kind = next(KINDS[part] for part in parts if part is not type(None))
        found.append(
            Column(
                name=field.name,
                kind=kind,
                unit=field.metadata["unit"],
                meaning=field.metadata["meaning"],
                is_optional=type(None) in parts,
            )
        )
    return found


def taken_for_dates(names: Iterable[str]) -> list[str]:
    """Return the names that a spreadsheet turns into a date or a number, sorted.

    References
    ----------
    Ziemann, Eren, El-Osta, Genome Biol 2016, 17:177; Abeysooriya et al., PLoS Comput Biol 2021,
    17:e1008984. The gene nomenclature has renamed these genes since (MARCHF1, SEPTIN2, DELEC1),
    but older releases and users' tables still carry the old names.
    """
    return sorted({name for name in names if TAKEN_FOR_DATES.fullmatch(name.strip())})


def taken_for_formulas(names: Iterable[str]) -> list[str]:
    """Return the names that a spreadsheet would run as a formula, sorted."""
    return sorted({name for name in names if name.startswith(FORMULA_STARTS)})


def reading_notes(names: Iterable[str]) -> list[str]:
    """Return how to open the CSVs without damage, for the gene and other names of this run."""
    given = list(names)
    dates, formulas = taken_for_dates(given), taken_for_formulas(given)
    notes = [
        "Every CSV is UTF-8, comma-separated, with `.` as decimal point, line feeds, six "
        "significant digits and empty fields for “unknown”. Its Parquet twin has full precision.",
        "There is no byte order mark: R, pandas and validators would take it for part of the first "
        "column's name. What is not ASCII, such as names in your own manifest, therefore "
        "needs Excel's import below.",
        "R: `read.csv(\"antibodies.csv\")` or `readr::read_csv`; the gene `NA`, if there is one, "
        "needs `na.strings = \"\"`. Python: `pandas.read_csv(..., keep_default_na=False)` or the "
        "Parquet file.",
        "Excel: use Data > From Text/CSV, file origin 65001 (UTF-8), and import names as Text. "
        "A double click reads the file with your system's decimal point and turns some gene names "
        "into dates, for good once it is saved.",
    ]  # fmt: skip
    if dates:
        notes.append(
            f"In this run Excel would change {_listed(dates)}: import the column `gene` as Text."
        )
    else:
        notes.append(
            "In this run no gene has a name that Excel takes for a date, such as MARCH1, SEPT2 or "
            "DEC1."
        )
    if formulas:
        notes.append(
            f"{_listed(formulas)}: such names begin like a formula; import them as Text and do not "
            "double click the file."
        )
    return notes


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MAX_NAMES])
    return f"{shown} and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else shown


def markdown(tables: Sequence[Table], notes: Sequence[str]) -> str:
    """Return the data dictionary as Markdown."""
    lines = ["# Data dictionary", "", *(f"- {note}" for note in notes)]
    for table in tables:
        lines += ["", f"## `{table.name}.csv`, `{table.name}.parquet`", "", table.about, ""]
        lines += ["| column | type | unit | meaning |", "|---|---|---|---|"]
        lines += [
            f"| `{column.name}` | {column.kind}{', may be empty' if column.is_optional else ''} "
            f"| {column.unit} | {_cell(column.meaning)} |"
            for column in described(table.record)
        ]
    return "\n".join(lines) + "\n"


def _cell(text: Any) -> str:
    return str(text).replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
