"""Tables: schemas, reading and writing, the data dictionary, CSV files of users."""

from cacl.tables.atomic import write_atomically, write_bytes, write_text
from cacl.tables.checksums import (
    check_file,
    write_checked_bytes,
    write_checked_text,
    write_sums,
)
from cacl.tables.io import (
    arrow_schema,
    columns,
    read_arrow,
    read_csv,
    read_frame,
    read_made_with,
    read_parquet,
    table_csv,
    to_table,
    write_csv,
    write_parquet,
)
from cacl.tables.made_with import made_with

__all__ = [
    "arrow_schema",
    "check_file",
    "columns",
    "made_with",
    "read_arrow",
    "read_csv",
    "read_frame",
    "read_made_with",
    "read_parquet",
    "table_csv",
    "to_table",
    "write_atomically",
    "write_bytes",
    "write_checked_bytes",
    "write_checked_text",
    "write_csv",
    "write_parquet",
    "write_sums",
    "write_text",
]
