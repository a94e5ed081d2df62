"""Tables: schemas, reading and writing, the data dictionary, CSV files of users."""

from cacl.tables.io import (
    arrow_schema,
    columns,
    read_csv,
    read_frame,
    read_parquet,
    to_table,
    write_atomically,
    write_csv,
    write_parquet,
    write_text,
)

__all__ = [
    "arrow_schema",
    "columns",
    "read_csv",
    "read_frame",
    "read_parquet",
    "to_table",
    "write_atomically",
    "write_csv",
    "write_parquet",
    "write_text",
]
