"""The data dictionary: tables and columns of the report, and how spreadsheets misread them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any, get_args, get_type_hints

from cacl.tables.cells import as_text
from cacl.tables.control_schemas import ControlRow, LimitRow
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

MAX_LISTED_NAMES = 12

# Excel reads a month name before a number as a date, in English and related languages, and digits
# with an E between them as a power of ten.
DATE_LIKE = re.compile(
    r"(jan|feb|mar|marc|march|mars|apr|april|may|mai|jun|june|jul|july|aug|ago|sep|sept|set|oct|okt"
    r"|nov|dec|dez|dic)[ -]?\d{1,4}"
    r"|\d+e\d+",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Table:
    """A table of the report.

    Parameters
    ----------
    name
        File name without suffix.
    record
        Record class of the rows.
    title, about
        Title and description.
    key
        Column that identifies a row; empty if there is none.
    names_antibody
        Whether `antibody_id` refers to a row of the table `antibodies`.
    """

    name: str
    record: type
    title: str
    about: str
    key: str
    names_antibody: bool = False


@dataclass(frozen=True)
class Column:
    """A column: name, type in words, unit, meaning, and whether it can be empty."""

    name: str
    kind: str
    unit: str
    meaning: str
    is_optional: bool


KINDS = {str: "string", int: "integer", float: "number", bool: "boolean"}


def report_tables(cell_type: str) -> list[Table]:
    """Return the tables of a report on a cell type, the most important ones first."""
    return [
        Table(
            "antibodies",
            AntibodyRow,
            "Antibodies",
            "One row per antibody, pooled over its images, by decreasing stained-to-cell ratio. p, "
            "q and z compare it with the other antibodies that are labelled negative (annotated in "
            f"the HPA as not detected in {cell_type}, unless you give labels); they are empty if "
            "there are too few of these.",
            "antibody_id",
        ),
        Table(
            "genes",
            GeneRow,
            "Genes",
            "One row per gene, pooled over the images of its antibodies, by decreasing ratio.",
            "rank",
        ),
        Table(
            "disagreements",
            DisagreementRow,
            "Disagreements with the HPA",
            "One row per antibody whose ratio disagrees with its annotation, the largest "
            "disagreement first, for curators.",
            "rank",
            names_antibody=True,
        ),
        Table(
            "review",
            ReviewRow,
            "Cores to review",
            "One row per core, at most 100: the cores that an expert should review first, by the "
            "sum of four uncertainties (views of the model, annotation, interval, quality), with "
            "the reason.",
            "image_id",
            names_antibody=True,
        ),
        Table(
            "agreement",
            AgreementRow,
            "Agreement with the HPA",
            "One row per statistic of the agreement of ratios and annotation over all antibodies.",
            "measure",
        ),
        Table(
            "images",
            MeasureRow,
            "Images",
            "One row per image: areas, ratio with its interval, intensity, quality, annotation.",
            "image_id",
            names_antibody=True,
        ),
        Table(
            "classes",
            ClassRow,
            "Classes",
            "One row per image and class of `labels.classes`: the stained area of each class. A "
            "single class is called `stain` and has the same values as in `images`.",
            "",
            names_antibody=True,
        ),
        Table(
            "controls",
            ControlRow,
            "Spike-in controls",
            "One row per method, width and density of a DAB band that was painted on negative "
            "cores; empty if no core could be painted.",
            "",
        ),
        Table(
            "limits",
            LimitRow,
            "Detection limits",
            "One row per method and width: the lowest density of which half is found.",
            "",
        ),
        Table(
            "failures",
            FailureRow,
            "Failures",
            "One row per image that a step could not process, with the reason and the remedy.",
            "",
        ),
    ]


def describe_columns(record: type) -> list[Column]:
    """Return the columns of a record class in order, as declared in `cacl.tables.schemas`."""
    hints = get_type_hints(record)
    described = []
    for field in dataclasses.fields(record):
        hint = hints[field.name]
        parts = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        kind = next(KINDS[part] for part in parts if part is not type(None))
        described.append(
            Column(
                name=field.name,
                kind=kind,
                unit=field.metadata["unit"],
                meaning=field.metadata["meaning"],
                is_optional=type(None) in parts,
            )
        )
    return described


def date_like_names(names: Iterable[str]) -> list[str]:
    """Return the names that a spreadsheet converts to a date or a number, sorted.

    References
    ----------
    Ziemann, Eren, El-Osta, Genome Biol 2016, 17:177; Abeysooriya et al., PLoS Comput Biol 2021,
    17:e1008984. These genes have new names (MARCHF1, SEPTIN2, DELEC1), but older releases and
    users' tables still have the old ones.
    """
    return sorted({name for name in names if DATE_LIKE.fullmatch(name.strip())})


def formula_like_names(names: Iterable[str]) -> list[str]:
    """Return the names that a spreadsheet evaluates as a formula, sorted."""
    return sorted({name for name in names if as_text(name) != name})


def reading_notes(names: Iterable[str]) -> list[str]:
    """Return how to open the CSV files without damage to the names of genes, tissues, ..."""
    all_names = list(names)
    dates, formulas = date_like_names(all_names), formula_like_names(all_names)
    notes = [
        "The CSV files are UTF-8, comma-separated, with `.` as decimal point, line feeds, six "
        "significant digits, `TRUE` and `FALSE`, and empty fields for unknown values. The Parquet "
        "file of the same name has full precision.",
        "There is no byte order mark, because R, pandas and validators read it as part of the "
        "first column's name. Text that is not ASCII, such as names in your manifest, therefore "
        "needs Excel's import, see below.",
        "R: `read.csv(\"antibodies.csv\")` or `readr::read_csv`; the gene `NA`, if there is one, "
        "needs `na.strings = \"\"`. Python: `pandas.read_csv(..., keep_default_na=False)` or the "
        "Parquet file.",
        "Excel, LibreOffice: `cacl export --xlsx atlas.xlsx` writes all tables as one workbook, "
        "whose names are texts and whose numbers are numbers. To open a CSV in Excel, use Data > "
        "From Text/CSV, file origin 65001 (UTF-8), and import names as Text. A double click reads "
        "the file with your system's decimal point and converts some gene names to dates, "
        "permanently once the file is saved.",
    ]  # fmt: skip
    if dates:
        notes.append(
            f"In this run Excel would change {_listed(dates)}: import the column `gene` as Text."
        )
    else:
        notes.append(
            "In this run no gene has a name that Excel reads as a date, such as MARCH1, SEPT2 or "
            "DEC1."
        )
    if formulas:
        notes.append(
            f"{_listed(formulas)}: a spreadsheet evaluates these names as formulas, so that the "
            "CSV files have an apostrophe before them; the Parquet files hold the names alone."
        )
    return notes


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MAX_LISTED_NAMES])
    return (
        f"{shown} and {len(names) - MAX_LISTED_NAMES} more"
        if len(names) > MAX_LISTED_NAMES
        else shown
    )


def markdown(tables: Sequence[Table], notes: Sequence[str]) -> str:
    """Return the data dictionary as Markdown."""
    lines = ["# Data dictionary", "", *(f"- {note}" for note in notes)]
    for table in tables:
        lines += ["", f"## `{table.name}.csv`, `{table.name}.parquet`", "", table.about, ""]
        lines += ["| column | type | unit | meaning |", "|---|---|---|---|"]
        lines += [
            f"| `{column.name}` | {column.kind}{', may be empty' if column.is_optional else ''} "
            f"| {column.unit} | {_cell(column.meaning)} |"
            for column in describe_columns(table.record)
        ]
    return "\n".join(lines) + "\n"


def _cell(text: Any) -> str:
    return str(text).replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
