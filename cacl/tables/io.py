"""Read and write tables of records: atomic, and equal bytes for equal rows."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cacl.errors import TableError
from cacl.tables.cells import printable

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


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary path next to `path`, then rename it to `path`.

    Raises
    ------
    OSError
        Disk full or no permission; `path` is then unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_parquet(path: Path, rows: Iterable[Any], record: type) -> None:
    """Write records, or a data frame with the record's columns, as Parquet."""
    table = to_table(rows, record)
    write_atomically(path, lambda temporary: pq.write_table(table, temporary, compression="zstd"))


def write_csv(path: Path, rows: Iterable[Any], record: type) -> None:
    """Write records, or a data frame with the record's columns, as CSV.

    UTF-8, decimal point, line feeds, six significant digits; missing values are empty. A value with
    a comma, a quote or any kind of line end is in quotes: there are as many records as rows.
    """
    table = to_table(rows, record)
    values = [[_csv_value(value) for value in column.to_pylist()] for column in table.columns]
    write_text(path, csv_text([table.column_names, *zip(*values, strict=True)]))


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
    frame: pd.DataFrame = table.to_pandas(types_mapper=_nullable)
    return frame


def read_csv(path: Path, record: type) -> pd.DataFrame:
    """Read a CSV file of `write_csv` as text; see `read_frame` for errors."""
    schema = arrow_schema(record)
    try:
        frame = pd.read_csv(path, keep_default_na=False, dtype="string")
    except (OSError, ValueError) as error:
        raise TableError(_unreadable(path, error)) from error
    _check_columns(path, list(frame.columns), schema, record)
    return frame


def _read_checked(path: Path, schema: pa.Schema, record: type) -> pa.Table:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise TableError(_unreadable(path, error)) from error
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
    return f"The table {path} {problem}; run the step that writes it again"


def _nullable(dtype: pa.DataType) -> Any:
    return {
        pa.string(): pd.StringDtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.float64(): pd.Float64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
    }[dtype]


def _csv_value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.{CSV_SIGNIFICANT_DIGITS}g}"
    return "" if value is None else str(value)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
