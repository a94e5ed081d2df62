"""Read the bulk annotation table of the Human Protein Atlas, of any release.

Up to release 23 it is `normal_tissue.tsv`, from 24 on `normal_ihc_data.tsv`; both are zipped.
Tables that were written by R have dots instead of spaces in the column names.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from cacl.errors import CatalogError
from cacl.tables.schemas import AnnotationRow

MAX_UNPACKED_BYTES = 2 * 2**30
MAX_LINE_CHARACTERS = 100_000
READ_ERRORS = (OSError, EOFError, zlib.error, zipfile.BadZipFile, csv.Error, RuntimeError)
COLUMNS = {
    "ensembl_id": ("ensembl", "gene"),
    "gene": ("gene name",),
    "tissue": ("ihc tissue name", "tissue"),
    "cell_type": ("cell type",),
    "staining": ("level",),
    "reliability": ("reliability",),
}


def read_annotation_table(
    path: Path, *, tissues: frozenset[str] = frozenset()
) -> Iterator[AnnotationRow]:
    """Yield one gene-level row per gene, tissue and cell type, with values in lower case.

    Parameters
    ----------
    path
        `.tsv`, `.tsv.gz` or `.tsv.zip`.
    tissues
        Lower-case names of the tissues to read; empty for all.

    Raises
    ------
    CatalogError
        The file is missing or damaged, lacks a column, or unpacks to more than 2 GB.
    """
    with ExitStack() as stack, read_errors_as_catalog_errors(path):
        lines = csv.reader(table_lines(open_table(path, stack), path), delimiter="\t")
        column_indices = _column_indices(path, next(lines, []))
        for fields in lines:
            row = _row(fields, column_indices)
            if row is not None and (not tissues or row.tissue in tissues):
                yield row


@contextmanager
def read_errors_as_catalog_errors(path: Path) -> Iterator[None]:
    """Raise a `CatalogError` for any error that reading a compressed text file can raise."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise CatalogError(f"The table {path} is not UTF-8 text; download it again") from error
    except READ_ERRORS as error:
        raise CatalogError(
            f"The table {path} cannot be read ({error}); download it again"
        ) from error


def open_table(path: Path, stack: ExitStack) -> IO[bytes]:
    """Open a table that is plain, gzip-compressed, or the only table of a zip archive."""
    stream = stack.enter_context(path.open("rb"))
    magic = stream.read(2)
    stream.seek(0)
    if magic == b"\x1f\x8b":
        return io.BufferedReader(stack.enter_context(gzip.GzipFile(fileobj=stream)))
    if magic != b"PK":
        return stream
    archive = stack.enter_context(zipfile.ZipFile(stream))
    names = [name for name in archive.namelist() if name.lower().endswith((".tsv", ".txt"))]
    if len(names) != 1:
        raise CatalogError(
            f"The annotation table {path} contains {len(names)} tables, expected one .tsv; "
            "download it again"
        )
    return stack.enter_context(archive.open(names[0]))


def table_lines(stream: IO[bytes], path: Path) -> Iterator[str]:
    """Yield the lines of a table.

    Raises
    ------
    CatalogError
        The text has more than 2 GB, or a line more than 100,000 characters.
    """
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    total = 0
    while line := text.readline(MAX_LINE_CHARACTERS):
        total += len(line)
        if total > MAX_UNPACKED_BYTES or len(line) == MAX_LINE_CHARACTERS:
            raise CatalogError(
                f"The annotation table {path} exceeds {MAX_UNPACKED_BYTES // 2**30} GB, or a line "
                f"exceeds {MAX_LINE_CHARACTERS:,} characters; no table of the HPA does, so it is "
                "rejected"
            )
        yield line


def _column_indices(path: Path, header: list[str]) -> dict[str, list[int]]:
    """Return the indices of each column and its fall-backs in a line."""
    names = [re.sub(r"[._\s]+", " ", name).strip().lower() for name in header]
    columns = dict(COLUMNS)
    if "gene name" not in names:
        columns["ensembl_id"], columns["gene"] = ("ensembl",), ("gene",)
    indices = {
        column: [names.index(name) for name in aliases if name in names]
        for column, aliases in columns.items()
    }
    missing = [columns[column][0] for column in columns if not indices[column]]
    if missing:
        raise CatalogError(
            f"The annotation table {path} has no column {', '.join(missing)}; expected Gene, Gene "
            f"name, Tissue, Cell type, Level, Reliability, got {', '.join(header)[:200]}"
        )
    return indices


def _row(fields: list[str], column_indices: dict[str, list[int]]) -> AnnotationRow | None:
    values = {column: _first_value(fields, indices) for column, indices in column_indices.items()}
    if not (values["ensembl_id"] and values["tissue"]):
        return None
    return AnnotationRow(
        antibody_id="",
        ensembl_id=values["ensembl_id"],
        gene=values["gene"],
        tissue=values["tissue"].lower(),
        cell_type=values["cell_type"].lower(),
        staining=values["staining"].lower(),
        intensity="",
        quantity="",
        location="",
        reliability=values["reliability"].lower(),
    )


def _first_value(fields: list[str], indices: list[int]) -> str:
    values = (fields[index].strip() for index in indices if index < len(fields))
    return next((value for value in values if value and value != "NA"), "")
