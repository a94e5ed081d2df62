from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

import pandas as pd
import pytest

from cacl import tables
from cacl.errors import TableError
from cacl.tables.control_schemas import ControlCoreRow
from cacl.tables.schemas import FailureRow, MeasureRow, TileStatRow


@dataclass(frozen=True, kw_only=True)
class Coloured:
    """A record of another version."""

    image_id: str
    colour: str


STAT = TileStatRow(
    image_id="A/1",
    antibody_id="A",
    row=1,
    col=2,
    tissue_fraction=0.5,
    dab_fraction=1 / 3,
    digest="d",
)
FAILURE = FailureRow(image_id="A/1", stage="tile", reason="damaged", message='a, "b"', source="ü")


def test_parquet_round_trip(tmp_path: Path) -> None:
    tables.write_parquet(tmp_path / "t.parquet", [STAT, STAT], TileStatRow)
    assert tables.read_parquet(tmp_path / "t.parquet", TileStatRow) == [STAT, STAT]


def test_missing_values_and_integers_keep_their_type(tmp_path: Path) -> None:
    hints = get_type_hints(MeasureRow)
    columns = tables.columns(MeasureRow)
    values: dict[str, Any] = {name: "" if hints[name] is str else None for name in columns}
    values |= {"tiles": 3, "cell_area_px": 7, "stained_area_px": 0, "dab_area_px": 2**40}
    values |= {"stained_to_cell_ratio": None, "ratio_low": None, "ratio_high": 0.1234567891}
    row = MeasureRow(**values)
    tables.write_parquet(tmp_path / "m.parquet", [row], MeasureRow)
    assert tables.read_parquet(tmp_path / "m.parquet", MeasureRow) == [row]
    tables.write_csv(tmp_path / "m.csv", [row], MeasureRow)
    line = (tmp_path / "m.csv").read_text().splitlines()[1]
    assert line == ",,,,,,,3,7,0,,,0.123457,,,1099511627776" + "," * 16


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    for name in "ab":
        tables.write_parquet(tmp_path / f"{name}.parquet", [STAT], TileStatRow)
        tables.write_csv(tmp_path / f"{name}.csv", [FAILURE], FailureRow)
    for kind in ("parquet", "csv"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_truth_values_are_those_of_r_and_pandas(tmp_path: Path) -> None:
    row = ControlCoreRow(
        image_id="A/1", antibody_id="A", used=True, border_um=1.5, painted_um=1.0, note=""
    )
    rows = [row, replace(row, used=False)]
    tables.write_csv(tmp_path / "c.csv", rows, ControlCoreRow)
    lines = (tmp_path / "c.csv").read_text().splitlines()
    place = lines[0].split(",").index("used")
    assert [line.split(",")[place] for line in lines[1:]] == ["TRUE", "FALSE"]
    assert pd.read_csv(tmp_path / "c.csv")["used"].tolist() == [True, False]


def test_csv_quotes_values_and_keeps_unicode(tmp_path: Path) -> None:
    tables.write_csv(tmp_path / "f.csv", [FAILURE], FailureRow)
    assert (tmp_path / "f.csv").read_bytes() == (
        b'image_id,stage,reason,message,source\nA/1,tile,damaged,"a, ""b""",\xc3\xbc\n'
    )
    assert tables.read_csv(tmp_path / "f.csv", FailureRow).iloc[0].to_dict() == vars(FAILURE)


@pytest.mark.parametrize(
    "text", ["GE\rNE", "a\nb", "a\r\nb", '"', ",", ' "x', "\u2028", "-1.5", ""]
)
def test_csv_has_as_many_records_as_its_parquet_twin(tmp_path: Path, text: str) -> None:
    rows = [replace(STAT, image_id=text), STAT]
    tables.write_csv(tmp_path / "t.csv", rows, TileStatRow)
    tables.write_parquet(tmp_path / "t.parquet", rows, TileStatRow)
    twin = [row.image_id for row in tables.read_parquet(tmp_path / "t.parquet", TileStatRow)]
    frame = pd.read_csv(tmp_path / "t.csv", keep_default_na=False, lineterminator="\n")
    assert frame["image_id"].tolist() == twin == [text, "A/1"]
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as stream:
        assert [line["image_id"] for line in csv.DictReader(stream)] == twin


@pytest.mark.parametrize(
    "text", ["=1+1", "@SUM(1)", "+1+1", "-2+3", "'=1", "''@x", "=a\nb", "-cmd|' /C'!A0"]
)
def test_csv_marks_what_a_spreadsheet_evaluates(tmp_path: Path, text: str) -> None:
    rows = [replace(FAILURE, image_id=text)]
    tables.write_csv(tmp_path / "f.csv", rows, FailureRow)
    with (tmp_path / "f.csv").open(encoding="utf-8", newline="") as stream:
        assert next(csv.DictReader(stream))["image_id"] == f"'{rows[0].image_id}"
    frame = tables.read_csv(tmp_path / "f.csv", FailureRow)
    assert frame["image_id"].tolist() == [rows[0].image_id]


@pytest.mark.parametrize("text", ["'", "'a", "-1.5", "+3", "-", "a=1", "1-Mar", "", "'-5"])
def test_csv_leaves_other_texts_as_they_are(text: str) -> None:
    row = replace(FAILURE, image_id=text)
    assert tables.table_csv([row], FailureRow).splitlines()[1].startswith(f"{text},")


def test_csv_with_a_short_line_is_read_as_text(tmp_path: Path) -> None:
    header = ",".join(tables.columns(FailureRow))
    (tmp_path / "f.csv").write_text(f"{header}\n'=1,tile\n", encoding="utf-8")
    frame = tables.read_csv(tmp_path / "f.csv", FailureRow)
    assert frame["image_id"].tolist() == ["=1"]
    assert frame["source"].tolist() == [""]
    assert set(map(str, frame.dtypes)) == {"string"}


def test_failure_has_its_texts_in_one_line_of_utf_8(tmp_path: Path) -> None:
    row = replace(FAILURE, image_id="GE\rNE", message="a\nb\x1b[0m", source="folder \udcff/x.jpg")
    assert (row.image_id, row.message) == ("GE\\rNE", "a\\nb\\x1b[0m")
    tables.write_csv(tmp_path / "f.csv", [row], FailureRow)
    assert (tmp_path / "f.csv").read_bytes().count(b"\n") == 2
    assert tables.read_csv(tmp_path / "f.csv", FailureRow).iloc[0].to_dict() == vars(row)
    assert row.source == "folder \\udcff/x.jpg"


def test_rejects_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    for write in (tables.write_parquet, tables.write_csv):
        with pytest.raises(TableError, match=r"x\\udcff.*not UTF-8; rename the file or folder"):
            write(tmp_path / "t", [replace(STAT, image_id="x\udcff")], TileStatRow)
    assert not (tmp_path / "t").exists()


def test_empty_table_keeps_its_columns(tmp_path: Path) -> None:
    tables.write_parquet(tmp_path / "t.parquet", [], TileStatRow)
    frame = tables.read_frame([tmp_path / "t.parquet"], TileStatRow)
    assert list(frame.columns) == tables.columns(TileStatRow)
    assert len(frame) == 0


def test_rejects_table_with_other_columns_and_names_them(tmp_path: Path) -> None:
    path = tmp_path / "old.parquet"
    tables.write_parquet(path, [Coloured(image_id="A/1", colour="brown")], Coloured)
    with pytest.raises(TableError, match=r"unknown columns \['colour'\].*delete it and run again"):
        tables.read_frame([path], TileStatRow)


@pytest.mark.parametrize(
    ("content", "message"), [(None, "is missing"), (b"no parquet", "cannot be")]
)
def test_missing_or_damaged_table_raises(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "t.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TableError, match=message):
        tables.read_frame([path], TileStatRow)


def test_failed_write_keeps_the_old_file_and_removes_temporary_files(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    tables.write_text(path, "old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        tables.write_atomically(path, fail)
    assert [item.name for item in tmp_path.iterdir()] == ["t.txt"]
    assert path.read_text() == "old"
