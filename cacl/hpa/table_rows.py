"""Read a tab-separated table of the Human Protein Atlas: plain, gzip or zip, of any release.

A quote is a letter in such a table, except where two of them enclose a whole value.
"""

from __future__ import annotations

import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from cacl.errors import CatalogError
from cacl.tables.cells import clean, problem_of
from cacl.tables.text_file import encoding_of

MAX_UNPACKED_BYTES = 2 * 2**30
MAX_LINE_CHARACTERS = 100_000
READ_ERRORS = (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, ValueError)
ENSEMBL_ID = re.compile(r"ENSG\d{11}(\.\d+)?", re.ASCII)


def read_table_rows(path: Path) -> Iterator[list[str]]:
    """Yield the header of a table and then its rows, all with as many fields as the header.

    Row names of R, which the header does not count, and empty fields at the end of a line are left
    out. Missing values (`cacl.tables.cells.MISSING`) are empty. Empty lines are skipped.

    Raises
    ------
    CatalogError
        The file is missing, damaged, not text, or unpacks to more than 2 GB, or a row has another
        number of fields than the header; the message names the line.
    """
    with ExitStack() as stack, _errors_as_catalog_errors(path):
        lines = _lines(_open(path, stack), path)
        first = next(lines, None)
        if first is None:
            raise CatalogError(f"The table {path} is empty; download it again")
        header = [clean(_unquoted(name)) for name in first[1]]
        yield header
        skip: int | None = None
        for number, fields in lines:
            values = [clean(_unquoted(field)) for field in fields]
            if skip is None:
                skip = int(_has_row_name(values, len(header)))
            values = _fitted(values[skip:], len(header))
            if len(values) != len(header):
                raise CatalogError(
                    f"The table {path}, line {number}, has {len(fields) - skip} fields, expected "
                    f"{len(header)} as in the header; download it again, or correct the line"
                )
            problem = next(filter(None, map(problem_of, values)), "")
            if problem:
                raise CatalogError(f"The table {path}, line {number}: a value {problem}")
            yield values


@contextmanager
def _errors_as_catalog_errors(path: Path) -> Iterator[None]:
    """Raise a `CatalogError` for any error that reading a compressed text file can raise."""
    try:
        yield
    except UnicodeError as error:
        raise CatalogError(f"The table {path} is not UTF-8 text; download it again") from error
    except READ_ERRORS as error:
        raise CatalogError(
            f"The table {path} cannot be read ({error}); download it again"
        ) from error


def _open(path: Path, stack: ExitStack) -> io.BufferedReader:
    """Open a table that is plain, gzip-compressed, or the only table of a zip archive."""
    stream = stack.enter_context(path.open("rb"))
    magic = stream.peek(4)[:4]
    if magic.startswith(b"\x1f\x8b"):
        return io.BufferedReader(stack.enter_context(gzip.GzipFile(fileobj=stream)))
    if not magic.startswith(b"PK"):
        return stream
    archive = stack.enter_context(zipfile.ZipFile(stream))
    names = [name for name in archive.namelist() if name.lower().endswith((".tsv", ".txt"))]
    if len(names) != 1:
        raise CatalogError(
            f"The annotation table {path} contains {len(names)} tables, expected one .tsv; "
            "download it again"
        )
    member: IO[bytes] = stack.enter_context(archive.open(names[0]))
    return io.BufferedReader(member)  # type: ignore[arg-type]  # a zip member is readable


def _lines(stream: io.BufferedReader, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the fields of the lines that are not empty, with the numbers of the lines from 1.

    Raises
    ------
    CatalogError
        The text has more than 2 GB, or a line more than 100,000 characters.
    """
    text = io.TextIOWrapper(stream, encoding=encoding_of(stream.peek(4)[:4]), newline="")
    total = number = 0
    while line := text.readline(MAX_LINE_CHARACTERS):
        total += len(line)
        number += 1
        if total > MAX_UNPACKED_BYTES or len(line) == MAX_LINE_CHARACTERS:
            raise CatalogError(
                f"The annotation table {path} exceeds {MAX_UNPACKED_BYTES // 2**30} GB, or a line "
                f"exceeds {MAX_LINE_CHARACTERS:,} characters; no table of the HPA does, so it is "
                "rejected"
            )
        if line.strip():
            yield number, line.rstrip("\r\n").split("\t")


def _has_row_name(values: Sequence[str], width: int) -> bool:
    """Return whether the first row begins with a row name of R: its Ensembl id stands second."""
    if len(values) != width + 1:
        return False
    return bool(
        ENSEMBL_ID.fullmatch(values[1]) or (values[0].isdecimal() and not values[1].isdecimal())
    )


def _fitted(values: list[str], width: int) -> list[str]:
    """Return a row without the empty fields beyond the header."""
    return values[:width] if not any(values[width:]) else values


def _unquoted(text: str) -> str:
    text = text.strip()
    is_quoted = len(text) >= 2 and text.startswith('"') and text.endswith('"')
    return text[1:-1].replace('""', '"') if is_quoted else text
