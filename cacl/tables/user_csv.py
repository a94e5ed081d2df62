"""Read CSV files written by users; errors name the line and the remedy."""

from __future__ import annotations

import csv
import difflib
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cacl.errors import CaclError
from cacl.tables.cells import clean, clean_name, problem_of, problem_of_name, trim
from cacl.tables.text_file import numbered_lines, read_user_text

log = logging.getLogger(__name__)
DELIMITERS = (",", ";", "\t", "|")
MAX_COLUMNS = 1000
MAX_TITLE_LINES = 20
"""Lines in which the header is looked for, to say that it is not the first."""

MIN_SIMILARITY = 0.8
"""Similarity to a known column from which an unknown column counts as misspelt, 0-1."""
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)


@dataclass(frozen=True)
class Line:
    """A line: its number in the file from 1, and its values as `cacl.tables.cells` cleans them."""

    number: int
    values: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The known columns of a table, in lower case, and how their values are read.

    Parameters
    ----------
    required, optional
        Names of the columns; a missing optional column gives empty values.
    paths
        Columns that hold paths, which are kept as they are written.
    names
        Columns that hold names of genes, patients, ..., in which a spreadsheet's shortened numbers
        and formulas are refused.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def known(self) -> tuple[str, ...]:
        """All columns."""
        return (*self.required, *self.optional)


def read_lines(path: Path, columns: Columns, error: type[CaclError]) -> list[Line]:
    """Return the lines of a CSV file.

    The delimiter is a comma, a semicolon (Excel in much of Europe), a tab, a bar, or spaces between
    quoted values (R); a first line `sep=;` names it. Row names of R, an index without a name and
    empty fields at the end of a line are left out. Unknown columns are ignored with a warning,
    unless they look like a misspelt known column.

    Parameters
    ----------
    path
        The file; see `read_user_text` for its encodings.
    columns
        The known columns.
    error
        Class of the exception that is raised.

    Raises
    ------
    CaclError
        Of the class `error`: the file cannot be read as text, is empty, a column is missing,
        duplicate or misspelt, a line has another number of fields than the header, or a value holds
        a control character or a spreadsheet's error.
    """
    text = read_user_text(path, error)
    rows = list(_rows(path, text, error))
    if not rows:
        raise error(f"{path} is empty; its first line must be {','.join(columns.required)}")
    header = [_column_name(name) for name in rows[0][1]]
    body = rows[1:]
    while header and not header[-1] and not any(_has_values(row, len(header) - 1) for row in body):
        header.pop()
    _check_title(path, rows[:MAX_TITLE_LINES], columns, error)
    _check_header(path, header, columns, error)
    if _has_row_names(text, header, body):
        header = ["", *header]
    lines = [_line(path, number, header, fields, columns, error) for number, fields in body]
    if not lines:
        raise error(f"{path} has a header but no line below it; add one line per image")
    return lines


def _rows(path: Path, text: str, error: type[CaclError]) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines that are not empty, as fields, with the number of their first line."""
    number = 0
    lines = numbered_lines(path, text, error)

    def physical_lines() -> Iterator[str]:
        nonlocal number
        for number, line in lines:  # noqa: B007  the number is read by the error messages
            yield line

    separator, first = None, next(((n, line) for n, line in lines if line.strip()), None)
    if first is not None:
        match = SEPARATOR_LINE.fullmatch(first[1].strip("\r\n"))
        separator = match[1] if match else None
    if first is not None and separator is not None:
        first = next(((n, line) for n, line in lines if line.strip()), None)
    if first is None:
        return
    number, header = first
    delimiter = separator or delimiter_of(header)
    if header.count(delimiter) > MAX_COLUMNS:
        raise error(
            f"{path}, line {number}: {header.count(delimiter) + 1:,} columns; expected a table of "
            f"at most {MAX_COLUMNS:,}"
        )

    def all_lines() -> Iterator[str]:
        yield header
        yield from physical_lines()

    reader = csv.reader(all_lines(), delimiter=delimiter, strict=True)
    start = number
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                yield start, fields
            start = number + 1
    except csv.Error as problem:
        raise error(f"{path}, line {start}: {_csv_problem(problem)}") from problem


def delimiter_of(header: str) -> str:
    """Return the delimiter of a table by its header, a space if the header has no other one."""
    outside = re.sub(r'"[^"]*"', "x", header).strip("\r\n")
    best = max(DELIMITERS, key=outside.count)
    if outside.count(best):
        return best
    return " " if " " in outside.strip() else ","


def _has_values(row: tuple[int, list[str]], start: int) -> bool:
    """Return whether a line has values from a column on."""
    return any(field.strip() for field in row[1][start:])


def _csv_problem(problem: csv.Error) -> str:
    if "new-line" in str(problem):
        return "a carriage return stands inside a value; remove it, or save the table again as CSV"
    return f"not a line of a CSV ({problem}); save it again as CSV"


def _has_row_names(text: str, header: list[str], body: list[tuple[int, list[str]]]) -> bool:
    """Return whether each line begins with a row name of R, which the header does not count."""
    if not body or any(len(fields) != len(header) + 1 for _, fields in body):
        return False
    names = [trim(fields[0]) for _, fields in body]
    if len(set(names)) < len(names):
        return False
    quoted = text.rstrip().rpartition("\n")[2].lstrip().startswith('"')
    return quoted or all(name.isdecimal() for name in names)


def _line(
    path: Path,
    number: int,
    header: list[str],
    fields: list[str],
    columns: Columns,
    error: type[CaclError],
) -> Line:
    if len(fields) < len(header) or _has_values((number, fields), len(header)):
        raise error(
            f"{path}, line {number}: {len(fields)} fields, expected {len(header)} as in the "
            "header; quote a value that contains the delimiter, and name a column of row names"
        )
    raw = dict(zip(header, fields, strict=False))
    values: dict[str, str] = {}
    for name in columns.known:
        is_path = name in columns.paths
        value = (clean if is_path else clean_name)(raw.get(name, ""))
        problem = (problem_of_name if name in columns.names else problem_of)(value)
        if problem:
            raise error(f"{path}, line {number}: {name} {problem}")
        values[name] = value
    if all(value.lower().replace(" ", "_") in ("", name) for name, value in values.items()) and any(
        values.values()
    ):
        raise error(f"{path}, line {number}: the header is repeated; remove the line")
    return Line(number, values)


def _column_name(text: str) -> str:
    return re.sub(r"[\s._-]+", "_", trim(text).lower())


def _check_title(
    path: Path, rows: list[tuple[int, list[str]]], columns: Columns, error: type[CaclError]
) -> None:
    """Check that no title, as Numbers and people write it, stands above the header."""
    for number, fields in rows:
        names = re.split(r"[,;\t|]", ",".join(fields))
        if set(columns.required) <= set(map(_column_name, names)):
            if number == rows[0][0]:
                return
            raise error(
                f"{path}: the header is on line {number}, below the line "
                f"{','.join(rows[0][1])[:100]!r}; remove the lines above it"
            )


def _check_header(path: Path, header: list[str], columns: Columns, error: type[CaclError]) -> None:
    missing = [name for name in columns.required if name not in header]
    if missing and len(header) == 1 and any(mark in header[0] for mark in DELIMITERS):
        raise error(
            f"{path}: each line is in quotes as a whole, {header[0][:200]!r}; remove the quotes "
            "around the lines, or import the text as a table and save it again as CSV"
        )
    if missing:
        raise error(
            f"{path} has no column {', '.join(missing)}; its first line must name at least "
            f"{','.join(columns.required)} and is {','.join(header)[:200]}"
        )
    duplicates = sorted({name for name in header if name and header.count(name) > 1})
    if duplicates:
        raise error(f"{path} has the column {', '.join(duplicates)} twice; keep one")
    for name in header:
        if name and name not in columns.known:
            near = difflib.get_close_matches(name, columns.known, n=1, cutoff=MIN_SIMILARITY)
            if near:
                raise error(f"{path}: unknown column {name!r}; did you mean {near[0]!r}?")
            known = list(columns.known)
            log.warning("%s: column %r is ignored; known columns are %s", path, name, known)
