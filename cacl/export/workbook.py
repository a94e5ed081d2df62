"""The tables of a report as an Excel workbook, whose cells have types."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from cacl import tables
from cacl.errors import ConfigError
from cacl.tables.cells import as_text
from cacl.tables.dictionary import Table, describe_columns, report_tables

MAX_ROWS = 1_048_576
MAX_CHARACTERS = 32_767
"""Limits of a sheet and of a cell; Microsoft, "Excel specifications and limits"."""

CREATED = datetime(2000, 1, 1)
"""A fixed date, so that equal reports give equal bytes."""

DICTIONARY = "columns"
DICTIONARY_HEADER = ("table", "column", "type", "unit", "meaning")
WIDEST, NARROWEST = 30, 9


def write_workbook(report: Path, out: Path) -> int:
    """Write a report's tables as sheets of one workbook.

    A spreadsheet that opens a CSV guesses what a field is: by its own decimal sign, and with gene
    names as dates. In a workbook a name is a text and a number is a number.

    Parameters
    ----------
    report
        Folder of `cacl report`.
    out
        The `.xlsx` to write.

    Returns
    -------
    Number of tables: one sheet each, and the sheet `columns` with the meaning of every column.
    Texts are those of the CSV files, also with an apostrophe before what a spreadsheet evaluates.
    Numbers are those of the Parquet files with 16 significant digits; unknown ones are empty.

    Raises
    ------
    ConfigError
        The package `xlsxwriter` is not installed, or a table has more rows than a sheet.
    TableError
        The folder contains no report of this version.

    References
    ----------
    Ziemann, Eren, El-Osta, Genome Biol 2016, 17:177: gene names that spreadsheets change.
    """
    xlsxwriter = _xlsxwriter()
    buffer = io.BytesIO()
    listed = report_tables("")
    with xlsxwriter.Workbook(buffer, {"constant_memory": True}) as book:
        book.set_properties({"created": CREATED})
        bold = book.add_format({"bold": True})
        for table in listed:
            _write_sheet(book, table.name, _header(table), _rows(report, table), bold)
        _write_sheet(book, DICTIONARY, DICTIONARY_HEADER, _dictionary(listed), bold)
    tables.write_bytes(out, buffer.getvalue())
    return len(listed)


def _header(table: Table) -> list[str]:
    return tables.columns(table.record)


def _rows(report: Path, table: Table) -> list[list[Any]]:
    path = report / f"{table.name}.parquet"
    frame = tables.read_frame([path], table.record)
    if len(frame) >= MAX_ROWS:
        raise ConfigError(
            f"{path} has {len(frame):,} rows, a sheet of a workbook has at most {MAX_ROWS:,}; use "
            "the CSV or Parquet files"
        )
    rows: list[list[Any]] = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
    return rows


def _dictionary(listed: Sequence[Table]) -> list[list[str]]:
    return [
        [table.name, column.name, column.kind, column.unit, column.meaning]
        for table in listed
        for column in describe_columns(table.record)
    ]


def _write_sheet(
    book: Any, name: str, header: Sequence[str], rows: Iterable[Sequence[Any]], bold: Any
) -> None:
    sheet = book.add_worksheet(name)
    sheet.freeze_panes(1, 1)
    for place, title in enumerate(header):
        sheet.set_column(place, place, min(max(len(title) + 2, NARROWEST), WIDEST))
        sheet.write_string(0, place, title, bold)
    count = 0
    for count, row in enumerate(rows, start=1):
        for place, value in enumerate(row):
            _write_cell(sheet, count, place, value)
    sheet.autofilter(0, 0, count, len(header) - 1)


def _write_cell(sheet: Any, row: int, place: int, value: Any) -> None:
    if value is None or value == "":
        return
    if isinstance(value, bool):
        sheet.write_boolean(row, place, value)
    elif isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        sheet.write_number(row, place, value)
    else:
        sheet.write_string(row, place, as_text(str(value))[:MAX_CHARACTERS])


def _xlsxwriter() -> Any:
    try:
        import xlsxwriter
    except ImportError as error:
        raise ConfigError(
            "An .xlsx needs the package xlsxwriter, which is not installed; run "
            "pip install --constraint constraints.txt 'xlsxwriter', or '.[export]' in the checkout"
        ) from error
    return xlsxwriter
