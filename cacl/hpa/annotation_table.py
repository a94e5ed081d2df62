"""Read the bulk annotation table of the Human Protein Atlas, of any release.

Up to release 23 it is `normal_tissue.tsv`, from 24 on `normal_ihc_data.tsv`; both come zipped.
Tables that went through R have dots for spaces in the column names.
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
FAULTS = (OSError, EOFError, zlib.error, zipfile.BadZipFile, csv.Error, RuntimeError)
COLUMNS = {
    "ensembl_id": ("ensembl", "gene"),
    "gene": ("gene name",),
    "tissue": ("ihc tissue name", "tissue"),
    "cell_type": ("cell type",),
    "staining": ("level",),
    "reliability": ("reliability",),
}


def read_bulk(path: Path, *, tissues: frozenset[str] = frozenset()) -> Iterator[AnnotationRow]:
    """Yield one gene-level row a gene, tissue and cell type, values lower-cased.

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
    with ExitStack() as stack, unreadable(path):
        lines = csv.reader(table_lines(open_table(path, stack), path), delimiter="\t")
        places = _places(path, next(lines, []))
        for fields in lines:
            row = _row(fields, places)
            if row is not None and (not tissues or row.tissue in tissues):
                yield row


@contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """Turn what can go wrong with a compressed text file into a `CatalogError`."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise CatalogError(f"The table {path} is not UTF-8 text; fetch it again") from error
    except FAULTS as error:
        raise CatalogError(f"The table {path} cannot be read ({error}); fetch it again") from error


def open_table(path: Path, stack: ExitStack) -> IO[bytes]:
    """Open a table for reading: as it is, gzip-compressed, or the only one of a zip archive."""
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
            f"The annotation table {path} holds {len(names)} tables, expected one .tsv; fetch it "
            "again"
        )
    return stack.enter_context(archive.open(names[0]))


def table_lines(stream: IO[bytes], path: Path) -> Iterator[str]:
    """Yield lines, refusing what no table of the atlas has: 2 GB, or a line of 100,000 signs."""
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    total = 0
    while line := text.readline(MAX_LINE_CHARACTERS):
        total += len(line)
        if total > MAX_UNPACKED_BYTES or len(line) == MAX_LINE_CHARACTERS:
            raise CatalogError(
                f"The annotation table {path} is larger than any table of the atlas; it is refused"
            )
        yield line


def _places(path: Path, header: list[str]) -> dict[str, list[int]]:
    names = [re.sub(r"[._\s]+", " ", name).strip().lower() for name in header]
    wanted = dict(COLUMNS)
    if "gene name" not in names:
        wanted["ensembl_id"], wanted["gene"] = ("ensembl",), ("gene",)
    places = {
        column: [names.index(name) for name in aliases if name in names]
        for column, aliases in wanted.items()
    }
    missing = [wanted[column][0] for column, found in places.items() if not found]
    if missing:
        raise CatalogError(
            f"The annotation table {path} has no column {', '.join(missing)}; expected Gene, Gene "
            f"name, Tissue, Cell type, Level, Reliability, got {', '.join(header)[:200]}"
        )
    return places


def _row(fields: list[str], places: dict[str, list[int]]) -> AnnotationRow | None:
    values = {column: _first(fields, found) for column, found in places.items()}
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


def _first(fields: list[str], places: list[int]) -> str:
    found = (fields[place].strip() for place in places if place < len(fields))
    return next((value for value in found if value and value != "NA"), "")
