"""Read and write tables of records: atomic, and equal bytes for equal rows.

A Parquet table holds the SHA-256 of its own bytes, besides the checksums of its pages; a CSV that a
later step reads has its SHA-256 beside it (`cacl.tables.checksums`). Both are checked on reading.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cacl.errors import TableError
from cacl.runtime.file_digest import BLANK_DIGEST, FILE_DIGEST, check_digest, embed_digest
from cacl.runtime.json_text import parse_json
from cacl.tables.atomic import write_atomically, write_text
from cacl.tables.cells import as_text, printable, without_mark
from cacl.tables.checksums import SUFFIX, check_file

DIGEST_KEY = f"cacl.{FILE_DIGEST}"
MADE_WITH_KEY = "cacl.made_with"
"""Keys of the metadata of a Parquet file; the digest is the last one."""

CSV_SIGNIFICANT_DIGITS = 6

ARROW_TYPES: dict[Any, pa.DataType] = {
    str: pa.string(),
    bool: pa.bool_(),
    int: pa.int64(),
    int | None: pa.int64(),
    float: pa.float64(),
    float | None: pa.float64(),
}


def columns(record: type) -> list[str]:
    """Return the column names of a record class in order."""
    return [field.name for field in dataclasses.fields(record)]


def arrow_schema(record: type) -> pa.Schema:
    """Return the Arrow schema of a record class; its metadata holds the name of the class."""
    hints = get_type_hints(record)
    fields = [
        pa.field(field.name, ARROW_TYPES[hints[field.name]]) for field in dataclasses.fields(record)
    ]
    return pa.schema(fields, metadata={"cacl.record": record.__name__})


def to_table(rows: Iterable[Any], record: type) -> pa.Table:
    """Return records, or a data frame with the record's columns, as an Arrow table.

    Raises
    ------
    TableError
        A text cannot be written as UTF-8: it holds a path whose name is not UTF-8.
    """
    schema = arrow_schema(record)
    try:
        if isinstance(rows, pd.DataFrame):
            return pa.Table.from_pandas(rows[schema.names], schema=schema, preserve_index=False)
        return pa.Table.from_pylist([dataclasses.asdict(row) for row in rows], schema=schema)
    except UnicodeEncodeError as error:
        raise TableError(
            f"A table of {record.__name__} cannot hold '{printable(str(error.object))[:300]}', "
            "which is not UTF-8; rename the file or folder"
        ) from error


def write_parquet(
    path: Path, rows: Iterable[Any], record: type, made_with: Mapping[str, Any] | None = None
) -> None:
    """Write records, or a data frame with the record's columns, as Parquet.

    Parameters
    ----------
    path
        The file.
    rows, record
        The rows, and their schema.
    made_with
        What the rows depend on besides the inputs; see `cacl.tables.made_with`.
    """
    table = to_table(rows, record)
    stream = pa.BufferOutputStream()
    with pq.ParquetWriter(
        stream, table.schema, compression="zstd", write_page_checksum=True
    ) as writer:
        writer.write_table(table)
        if made_with is not None:
            text = json.dumps(made_with, sort_keys=True, ensure_ascii=False)
            writer.add_key_value_metadata({MADE_WITH_KEY: text})
        writer.add_key_value_metadata({DIGEST_KEY: BLANK_DIGEST})
    data = embed_digest(stream.getvalue().to_pybytes())
    write_atomically(path, lambda temporary: temporary.write_bytes(data))


def write_csv(path: Path, rows: Iterable[Any], record: type) -> None:
    """Write records, or a data frame with the record's columns, as CSV.

    UTF-8, decimal point, line feeds, six significant digits, `TRUE` and `FALSE`; missing values are
    empty. A value with a comma, a quote or any kind of line end is in quotes: there are as many
    records as rows. A text that a spreadsheet evaluates as a formula has an apostrophe before it.
    """
    Path(f"{path}{SUFFIX}").unlink(missing_ok=True)  # that of a former `write_checked_text`
    write_text(path, table_csv(rows, record))


def table_csv(rows: Iterable[Any], record: type) -> str:
    """Return the content of the file that `write_csv` writes."""
    table = to_table(rows, record)
    values = [[_csv_value(value) for value in column.to_pylist()] for column in table.columns]
    return csv_text([table.column_names, *zip(*values, strict=True)])


def csv_text(rows: Iterable[Sequence[str]]) -> str:
    """Return rows as CSV with line feeds.

    The csv module quotes a carriage return or a line feed only if its own line end holds that
    character, so rows are written with both and the end is replaced.
    """
    lines: list[str] = []
    for row in rows:
        line = io.StringIO()
        csv.writer(line, lineterminator="\r\n").writerow(row)
        lines.append(line.getvalue().removesuffix("\r\n"))
    return "".join(f"{line}\n" for line in lines)


def read_parquet(path: Path, record: type) -> list[Any]:
    """Read a Parquet table as records.

    Raises
    ------
    TableError
        The file is missing or damaged, or its columns differ from those of the record.
    """
    frame = read_frame([path], record)
    values = frame.astype(object).where(frame.notna(), None)
    names = columns(record)
    return [record(**dict(zip(names, row, strict=True))) for row in values.to_numpy().tolist()]


def read_frame(paths: Sequence[Path], record: type) -> pd.DataFrame:
    """Read Parquet tables of one record class into one data frame, in the order of `paths`.

    Raises
    ------
    TableError
        As for `read_parquet`.
    """
    schema = arrow_schema(record)
    tables = [_read_checked(path, schema, record) for path in paths]
    table = pa.concat_tables(tables) if tables else schema.empty_table()
    frame: pd.DataFrame = table.to_pandas(types_mapper=_nullable, use_threads=False)
    return frame


def read_csv(path: Path, record: type) -> pd.DataFrame:
    """Read a CSV file of `write_csv` as text; see `read_frame` for errors.

    Its digest is checked if one is recorded beside it. Texts are as they were before `write_csv`
    marked formulas.
    """
    schema = arrow_schema(record)
    check_file(path)
    try:
        frame = pd.read_csv(path, keep_default_na=False, dtype="string")
    except (OSError, ValueError) as error:
        raise TableError(_unreadable(path, error)) from error
    _check_columns(path, list(frame.columns), schema, record)
    return frame.map(without_mark).astype("string")


def read_arrow(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet table after a check of the digest of its bytes and of those of its pages.

    Parameters
    ----------
    path
        A file of `write_parquet`.
    columns
        The columns to read; None for all.

    Raises
    ------
    TableError
        The file is missing, damaged, without a digest, or lacks a column.
    """
    try:
        data = path.read_bytes()
        check_digest(data)
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        # One thread: Arrow waits forever if a thread of its pool cannot start, as memory is short.
        table = file.read(None if columns is None else list(columns), use_threads=False)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise TableError(_unreadable(path, error)) from error
    if columns is not None and table.num_columns != len(columns):
        raise TableError(
            f"{path} lacks one of the columns {list(columns)}; delete it and run again"
        )
    return table


def read_made_with(path: Path) -> dict[str, Any]:
    """Return `made_with` of a Parquet table; empty if it has none. Raises as `read_arrow`."""
    try:
        data = path.read_bytes()
        check_digest(data)
        metadata = pq.ParquetFile(pa.BufferReader(data)).metadata.metadata or {}
        made_with: dict[str, Any] = parse_json(metadata.get(MADE_WITH_KEY.encode(), b"{}"))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise TableError(_unreadable(path, error)) from error
    return made_with


def _read_checked(path: Path, schema: pa.Schema, record: type) -> pa.Table:
    table = read_arrow(path)
    _check_columns(path, table.column_names, schema, record)
    return table.cast(schema)


def _check_columns(path: Path, names: list[str], schema: pa.Schema, record: type) -> None:
    if names == schema.names:
        return
    missing = [name for name in schema.names if name not in names]
    extra = [name for name in names if name not in schema.names]
    raise TableError(
        f"{path} is not a table of {record.__name__}: missing columns {missing or 'none'}, unknown "
        f"columns {extra or 'none'}; another version wrote it, so delete it and run again"
    )


def _unreadable(path: Path, error: Exception) -> str:
    problem = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
    return f"The table {path} {problem}; delete it, and run the step that writes it again"


def _nullable(dtype: pa.DataType) -> Any:
    return {
        pa.string(): pd.StringDtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.float64(): pd.Float64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
    }[dtype]


def _csv_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).upper()  # R reads TRUE as a truth value, True and true as a text
    if isinstance(value, float):
        return f"{value:.{CSV_SIGNIFICANT_DIGITS}g}"
    if isinstance(value, str):
        return as_text(value)
    return "" if value is None else str(value)
