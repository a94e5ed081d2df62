"""The workbook holds names as texts and numbers as numbers, whatever they look like."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from typer.testing import CliRunner

from cacl import tables
from cacl.cli import app
from cacl.errors import ConfigError
from cacl.export import workbook
from cacl.tables.cells import as_text
from cacl.tables.dictionary import report_tables
from cacl.tables.schemas import AntibodyRow, MeasureRow
from tests.fixtures.hostile_names import GENES, antibodies
from tests.fixtures.reports import cores, run
from tests.fixtures.small_atlas import SmallAtlas, build

Sheets = dict[str, list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report whose antibodies have names that spreadsheets change."""
    atlas: SmallAtlas = build(tmp_path_factory.mktemp("atlas"), cores()[:3])
    atlas.measure()
    folder = run(atlas, failures=[atlas.path("failures.csv")])
    tables.write_parquet(folder / "antibodies.parquet", antibodies(), AntibodyRow)
    return folder


def read(path: Path) -> Sheets:
    book = openpyxl.load_workbook(path)
    assert all(cell.data_type != "f" for sheet in book for row in sheet for cell in row)
    return {sheet.title: list(sheet.iter_rows(values_only=True)) for sheet in book}


def test_every_table_is_a_sheet_and_the_last_one_explains_the_columns(
    report: Path, tmp_path: Path
) -> None:
    file = tmp_path / "atlas.xlsx"
    result = CliRunner().invoke(app, ["export", "--report", str(report), "--xlsx", str(file)])
    assert result.exit_code == 0, result.output
    assert "10 tables and the meaning of their columns" in result.output
    sheets = read(file)
    listed = report_tables("")
    assert list(sheets) == [*(table.name for table in listed), "columns"]
    for table in listed:
        assert list(sheets[table.name][0]) == tables.columns(table.record)
    explained = [row[:2] for row in sheets["columns"][1:]]
    assert explained == [(t.name, name) for t in listed for name in tables.columns(t.record)]
    rows: list[MeasureRow] = tables.read_parquet(report / "images.parquet", MeasureRow)
    assert [row[0] for row in sheets["images"][1:]] == [row.image_id for row in rows]


def test_names_are_texts_and_numbers_are_numbers(report: Path, tmp_path: Path) -> None:
    file = tmp_path / "atlas.xlsx"
    workbook.write_workbook(report, file)
    header, *rows = read(file)["antibodies"]
    column = {name: [row[place] for row in rows] for place, name in enumerate(header)}
    assert [name or "" for name in column["gene"]] == [as_text(name) for name in GENES]
    assert "'=HYPERLINK(1)" in column["gene"]
    for name in ("stained_to_cell_ratio", "p_value", "z"):
        values = [getattr(row, name) for row in antibodies()]
        assert column[name] == [None if v is None else float(f"{v:.16g}") for v in values]
    assert column["p_extrapolated"] == [False] * len(GENES)
    assert column["images"] == [1] * len(GENES)


def test_equal_reports_give_equal_bytes(report: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "1.xlsx", tmp_path / "2.xlsx"
    workbook.write_workbook(report, first)
    workbook.write_workbook(report, second)
    assert first.read_bytes() == second.read_bytes()


def test_control_characters_and_long_texts_fit_a_cell(report: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(report, tmp_path / "report")
    names = ("a\x01b", "x" * 40_000)
    rows = [dataclasses.replace(antibodies()[0], gene=name) for name in names]
    tables.write_parquet(folder / "antibodies.parquet", rows, AntibodyRow)
    workbook.write_workbook(folder, tmp_path / "atlas.xlsx")
    header, *cells = read(tmp_path / "atlas.xlsx")["antibodies"]
    genes = [row[header.index("gene")] for row in cells]
    assert genes == ["a_x0001_b", "x" * workbook.MAX_CHARACTERS]


def test_missing_package_and_too_many_rows_name_the_remedy(
    report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "atlas.xlsx"
    with monkeypatch.context() as patch:
        patch.setattr(workbook, "MAX_ROWS", 2)
        with pytest.raises(ConfigError, match="at most 2; use the CSV or Parquet files"):
            workbook.write_workbook(report, file)
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    result = CliRunner().invoke(app, ["export", "--report", str(report), "--xlsx", str(file)])
    assert result.exit_code == 1
    assert "needs the package xlsxwriter" in result.output
    assert not file.exists()
