"""R's read.csv reads every table of the report with its defaults: same names, same numbers."""

from __future__ import annotations

import csv
import os
import subprocess
from pathlib import Path

import pytest

from cacl import tables
from cacl.tables.dictionary import describe_columns, report_tables
from cacl.tables.schemas import AntibodyRow
from tests.fixtures.hostile_names import GENES, antibodies
from tests.interop.conftest import Census, Shown

pytestmark = pytest.mark.interop

UNIT, RECORD = "\x1f", "\x1e"
SCRIPT = r"""
arguments <- commandArgs(trailingOnly = TRUE)
x <- read.csv(arguments[1])
out <- file(arguments[2], "wb")
for (name in names(x)) {
  value <- x[[name]]
  text <- if (is.double(value)) sprintf("%.17g", value) else as.character(value)
  text <- ifelse(is.na(value), "", enc2utf8(text))
  writeLines(c(name, class(value), text), out, sep = "\x1f", useBytes = TRUE)
  writeLines("", out, sep = "\x1e")
}
close(out)
"""
CLASSES = {
    "number": {"numeric", "integer"}, "integer": {"integer"}, "boolean": {"logical"},
    "string": {"character", "integer"},
}  # fmt: skip


def read_in_r(table: Path, folder: Path) -> dict[str, tuple[str, list[str]]]:
    """Return class and values of each column as R has read them, in UTF-8."""
    script, out = folder / "read.R", folder / "columns"
    script.write_text(SCRIPT)
    subprocess.run(
        ["Rscript", "--vanilla", script, table, out],
        check=True, env=os.environ | {"LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    columns = [record.split(UNIT) for record in out.read_bytes().decode().split(RECORD)[:-1]]
    return {name: (kind, values[:-1]) for name, kind, *values in columns}


def check(table: Path, record: type, folder: Path) -> int:
    """Compare a table in R with the CSV's fields; return the number of values."""
    with table.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    read = read_in_r(table, folder)
    assert list(read) == header == tables.columns(record)
    kinds = {column.name: column.kind for column in describe_columns(record)}
    for place, name in enumerate(header):
        kind, values = read[name]
        fields = [row[place] for row in rows]
        if not any(fields):
            assert not any(values)
            continue
        assert kind in CLASSES[kinds[name]], (name, kind)
        if kind == "numeric":
            assert [value == "" for value in values] == [field == "" for field in fields]
            numbers = [float(field) for field in fields if field]
            assert [float(value) for value in values if value] == pytest.approx(numbers, rel=1e-15)
        else:
            assert values == fields
    return len(rows) * len(header)


def test_read_csv_reads_every_table_of_the_report(
    census: Census, tmp_path: Path, shown: Shown
) -> None:
    listed = report_tables("")
    values = sum(check(census.report / f"{t.name}.csv", t.record, tmp_path) for t in listed)
    hostile = tmp_path / "antibodies.csv"
    tables.write_csv(hostile, antibodies(), AntibodyRow)
    values += check(hostile, AntibodyRow, tmp_path)
    done = subprocess.run(["Rscript", "--version"], capture_output=True, text=True, check=True)
    release = (done.stdout + done.stderr).split("version ")[1].split()[0]
    shown(
        "R, `read.csv` without options",
        release,
        f"{len(listed)} tables of the report, and {len(GENES)} hostile names; {values} values",
        "names, decimals, empty fields, truth values and UTF-8 as written",
    )
