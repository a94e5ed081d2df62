"""Read a list of gene names that a person made: a text, a column of a table, a copied line.

Every text of the list that can be a name is returned, so that a name that the source does not have
is reported and none is dropped.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from cacl.errors import ConfigError
from cacl.hpa.gene_names import without_version
from cacl.tables.cells import clean_name, decimal, problem_of
from cacl.tables.text_file import numbered_lines, read_user_text

MAX_LIST_BYTES = 8 * 2**20
MAX_NAMES = 100_000
DELIMITERS = re.compile(r"[,;\t|]")
QUOTES = "'`\"\u201c\u201d\u2018\u2019\u201e\u00ab\u00bb[](){}"
SEPARATOR_LINE = re.compile(r'"?sep=.?"?', re.IGNORECASE)
COMMENT = re.compile(r"#(?!N/?A|REF!|NAME\?|VALUE!|DIV/0!|NUM!|NULL!).*", re.IGNORECASE)
ID_HEADERS = ("ensembl", "ensembl id", "ensembl gene id", "ensembl gene", "ensg", "gene id")
SYMBOL_HEADERS = (
    *("gene", "genes", "gene name", "gene names", "gene symbol", "gene symbols", "symbol"),
    *("symbols", "hgnc symbol", "approved symbol", "external gene name", "genename", "name"),
    *("names", "x", "v1", "protein", "target"),
)


def read_gene_list(path: Path) -> list[str]:
    """Return the names of a gene list in order, each once (in any case).

    Names stand one per line or side by side, apart by commas, semicolons, tabs, bars or spaces,
    with or without quotes. Text after `#` is a comment. In a table with a header that names a
    column of genes, such as `gene` or `ensembl_id`, only that column counts. Columns of numbers
    beside names (an index, a fold change) are left out. Versions of Ensembl ids are removed, and
    missing values are those of `cacl.tables.cells.MISSING`.

    Raises
    ------
    ConfigError
        The list cannot be read as text (see `read_user_text`), has no name, or has more than
        100,000.
    """
    text = read_user_text(path, ConfigError, max_bytes=MAX_LIST_BYTES)
    rows: list[list[str]] = []
    for number, line in numbered_lines(path, text, ConfigError):
        rows += [_fields(path, number, COMMENT.sub("", part)) for part in line.splitlines()]
    names = [without_version(name) for name in _names([row for row in rows if any(row)]) if name]
    unique = list({name.casefold(): name for name in reversed(names)}.values())[::-1]
    if not unique:
        raise ConfigError(f"The gene list {path} is empty; write one symbol or Ensembl id per line")
    if len(unique) > MAX_NAMES:
        raise ConfigError(
            f"The gene list {path} has {len(unique):,} names, and a genome has some 20,000 genes; "
            "write a list of gene symbols or Ensembl ids"
        )
    return unique


def _fields(path: Path, number: int, line: str) -> list[str]:
    """Return the fields of a line; a line without a delimiter is split at spaces."""
    line = line.strip("\ufeff \r\n")
    if line.isalnum() and line.isascii():
        return [clean_name(line)]
    if SEPARATOR_LINE.fullmatch(line):
        return []
    match = DELIMITERS.search(re.sub(r'"[^"]*"', "", line))
    delimiter = match[0] if match else " "
    if match is None and '"' not in line:
        raw = line.split()
    else:
        try:
            raw = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
        except csv.Error as problem:
            raise ConfigError(
                f"The gene list {path}, line {number}: {problem}; write one symbol or Ensembl id "
                "per line"
            ) from problem
    return [_name(path, number, field) if field else "" for field in raw]


def _name(path: Path, number: int, field: str) -> str:
    name = clean_name(clean_name(field).strip(QUOTES))
    problem = problem_of(name)
    if problem:
        raise ConfigError(f"The gene list {path}, line {number}: a name {problem}")
    return name


def _names(rows: Sequence[list[str]]) -> Iterable[str]:
    """Return the names of the rows of a list."""
    if not rows:
        return []
    header = [re.sub(r"[\s._-]+", " ", field.lower()) for field in rows[0]]
    ids = [column for column, name in enumerate(header) if name in ID_HEADERS]
    symbols = [column for column, name in enumerate(header) if name in SYMBOL_HEADERS]
    body = rows
    if ids or symbols:
        body = rows[1:]
        offset = int(bool(body) and all(len(row) == len(header) + 1 for row in body))
        wanted = [column + offset for column in [*ids, *symbols]]
        return [_first(row, wanted) for row in body]
    if not header[0] and len(header) > 1:  # an index without a name: the line is a header
        body = rows[1:]
    return _without_numbers(body)


def _first(row: list[str], columns: Iterable[int]) -> str:
    return next((row[column] for column in columns if column < len(row) and row[column]), "")


def _without_numbers(rows: Sequence[list[str]]) -> list[str]:
    """Return all fields except those of columns of numbers beside a column of names."""
    width = max(map(len, rows), default=0)
    if width < 2:
        return [field for row in rows for field in row]
    columns = [[row[index] for row in rows if index < len(row)] for index in range(width)]
    numeric = [all(not value or decimal(value) is not None for value in each) for each in columns]
    if all(numeric) or len(rows) == 1:
        numeric = [False] * width
    return [field for row in rows for field, skip in zip(row, numeric, strict=False) if not skip]
