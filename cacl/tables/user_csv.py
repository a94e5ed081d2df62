"""Read CSV files written by users; errors name the line and the remedy."""

from __future__ import annotations

import csv
import difflib
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cacl.errors import CaclError

log = logging.getLogger(__name__)
MAX_BYTES = 200 * 2**20
DELIMITERS = (",", ";", "\t")
MIN_SIMILARITY = 0.8
"""Similarity to a known column from which an unknown column counts as misspelt, 0-1."""


@dataclass(frozen=True)
class Line:
    """A line: its number in the file from 1, and its values without outer spaces, by column."""

    number: int
    values: dict[str, str]


def read_lines(
    path: Path, *, required: Sequence[str], optional: Sequence[str], error: type[CaclError]
) -> list[Line]:
    """Return the lines of a CSV file; missing optional columns give empty values.

    The delimiter is a comma, a semicolon (Excel in much of Europe) or a tab; the text is UTF-8 with
    or without a byte order mark. Unknown columns are ignored with a warning, unless they look like
    a misspelt known column.

    Parameters
    ----------
    path
        The file.
    required, optional
        Names of the known columns, in lower case.
    error
        Class of the exception that is raised.

    Raises
    ------
    CaclError
        Of the class `error`: the file is missing, empty, not UTF-8 text or too large, a column is
        missing, duplicate or misspelt, or a line has another number of fields than the header.
    """
    text = _text(path, required, error)
    reader = csv.reader(io.StringIO(text), delimiter=_delimiter(text), strict=True)
    known = [*required, *optional]
    lines: list[Line] = []
    try:
        header = [name.strip().lower() for name in next(reader)]
        _check_header(path, header, required, known, error)
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            if len(fields) != len(header):
                raise error(
                    f"{path}, line {reader.line_num}: {len(fields)} fields, expected "
                    f"{len(header)} as in the header; quote a value that contains the delimiter"
                )
            values = dict(zip(header, (field.strip() for field in fields), strict=True))
            lines.append(Line(reader.line_num, {name: values.get(name, "") for name in known}))
    except csv.Error as problem:
        raise error(
            f"{path}, line {reader.line_num}: not a line of a CSV ({problem}); save it again as CSV"
        ) from problem
    if not lines:
        raise error(f"{path} has a header but no line below it; add one line per image")
    return lines


def _text(path: Path, required: Sequence[str], error: type[CaclError]) -> str:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise error(f"{path} has {size} bytes; expected a table of at most {MAX_BYTES} bytes")
        data = path.read_bytes()
    except OSError as problem:
        raise error(f"{path} cannot be read ({problem.strerror}); check the path") from problem
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise error(
            f"{path} is not UTF-8 text (byte {problem.start}); save it as 'CSV UTF-8'"
        ) from problem
    if "\0" in text:
        raise error(f"{path} is not a text file; save the table as 'CSV UTF-8'")
    if not text.strip():
        raise error(f"{path} is empty; its first line must be {','.join(required)}")
    return text.lstrip("\r\n")


def _delimiter(text: str) -> str:
    header = text.split("\n", 1)[0]
    return max(DELIMITERS, key=header.count)


def _check_header(
    path: Path,
    header: list[str],
    required: Sequence[str],
    known: list[str],
    error: type[CaclError],
) -> None:
    missing = [name for name in required if name not in header]
    if missing:
        raise error(
            f"{path} has no column {', '.join(missing)}; its first line must name at least "
            f"{','.join(required)} and is {','.join(header)[:200]}"
        )
    duplicates = sorted({name for name in header if header.count(name) > 1})
    if duplicates:
        raise error(f"{path} has the column {', '.join(duplicates)} twice; keep one")
    for name in header:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=MIN_SIMILARITY)
            if near:
                raise error(f"{path}: unknown column {name!r}; did you mean {near[0]!r}?")
            log.warning("%s: column %r is ignored; known columns are %s", path, name, known)
