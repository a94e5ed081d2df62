"""A flipped bit in a table, or in a list with a recorded digest, is a `TableError`."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from benchmarks._lib.bit_flips import flips, is_flipped
from cacl import tables
from cacl.errors import TableError
from cacl.runtime.step_versions import STEP_VERSIONS
from cacl.tables.schemas import FailureRow, TileStatRow

ROWS = [
    TileStatRow(
        image_id=f"HPA{number:06d}/1_A_7_2",
        antibody_id=f"HPA{number:06d}",
        row=number % 7,
        col=number % 5,
        tissue_fraction=(number % 13) / 13,
        dab_fraction=(number % 17) / 17,
        digest=hashlib.sha256(bytes([number])).hexdigest(),
    )
    for number in range(100)
]
FAILURES = [
    FailureRow(image_id=f"A/{number}", stage="tile", reason="damaged", message="m", source="s")
    for number in range(50)
]


@pytest.mark.parametrize("count", [0, 1, 100])
def test_each_of_100_flipped_bits_of_a_parquet_table_is_a_table_error(
    tmp_path: Path, count: int
) -> None:
    path = tmp_path / "t.parquet"
    tables.write_parquet(path, ROWS[:count], TileStatRow, tables.made_with("tile", version=1))
    for place in flips(path, 100):
        with is_flipped(path, place), pytest.raises(TableError, match="cannot be read"):
            tables.read_frame([path], TileStatRow)
    assert tables.read_parquet(path, TileStatRow) == ROWS[:count]


def test_truncated_and_appended_tables_are_table_errors(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    tables.write_parquet(path, ROWS, TileStatRow)
    data = path.read_bytes()
    for changed in (data[:-1], data[:100], data + b"\0", b""):
        path.write_bytes(changed)
        with pytest.raises(TableError, match="cannot be read"):
            tables.read_frame([path], TileStatRow)


def test_other_programs_read_tables_and_verify_their_pages(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    tables.write_parquet(path, ROWS, TileStatRow)
    assert pq.read_table(path, page_checksum_verification=True).num_rows == 100
    assert pd.read_parquet(path)["image_id"][3] == "HPA000003/1_A_7_2"
    data = bytearray(path.read_bytes())
    data[len(data) // 4] ^= 1
    path.write_bytes(data)
    with pytest.raises(OSError, match=r"(?i)crc checksum"):
        pq.read_table(path, page_checksum_verification=True)


def test_table_that_another_program_wrote_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    tables.to_table(ROWS, TileStatRow).to_pandas().to_parquet(path)
    with pytest.raises(TableError, match=r"holds no digest of its own.*run the step that writes"):
        tables.read_frame([path], TileStatRow)


def test_values_with_the_text_of_a_digest_do_not_disturb_that_of_the_table(tmp_path: Path) -> None:
    text = "cacl-sha256:" + "0" * 64
    rows = [FailureRow(image_id=text, stage=text, reason=text, message=text, source=text)]
    tables.write_parquet(tmp_path / "t.parquet", rows, FailureRow, tables.made_with(text, a=text))
    assert tables.read_parquet(tmp_path / "t.parquet", FailureRow) == rows
    assert tables.read_made_with(tmp_path / "t.parquet")["parameters"] == {"a": text}


def test_made_with_names_step_parameters_and_software(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    tables.write_parquet(path, ROWS, TileStatRow, tables.made_with("tile", tile_px=64))
    record = tables.read_made_with(path)
    parameters = {"version": STEP_VERSIONS["tile"], "tile_px": 64}
    assert (record["step"], record["parameters"]) == ("tile", parameters)
    assert {"cacl-atlas", "Python", "numpy", "torch"} <= set(record["software"])
    tables.write_parquet(path, ROWS, TileStatRow)
    assert tables.read_made_with(path) == {}


@pytest.mark.parametrize("name", ["failures.csv", "failures.csv.sha256"])
def test_each_of_100_flipped_bits_of_a_list_or_its_digest_is_a_table_error(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "failures.csv"
    tables.write_checked_text(path, tables.table_csv(FAILURES, FailureRow))
    for place in flips(tmp_path / name, 100):
        with is_flipped(tmp_path / name, place), pytest.raises(TableError):
            tables.read_csv(path, FailureRow)
    assert len(tables.read_csv(path, FailureRow)) == 50


def test_list_without_a_recorded_digest_is_read(tmp_path: Path) -> None:
    tables.write_csv(tmp_path / "failures.csv", FAILURES, FailureRow)
    assert len(tables.read_csv(tmp_path / "failures.csv", FailureRow)) == 50


def test_kill_between_a_list_and_its_digest_leaves_no_digest_of_another_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "failures.csv"
    tables.write_checked_text(path, "old\n")

    def killed(target: Path, text: str) -> None:
        if target.suffix == ".sha256":
            raise KeyboardInterrupt
        tables.write_text(target, text)

    monkeypatch.setattr("cacl.tables.checksums.write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        tables.write_checked_text(path, "new\n")
    tables.check_file(path)
    assert [item.name for item in tmp_path.iterdir()] == ["failures.csv"]


def test_sha256sum_checks_the_digests_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.js").write_text("1")
    (tmp_path / ".page.html.tmp").write_text("half")
    tables.write_checked_text(tmp_path / "t.csv", "é\n")
    tables.write_sums(tmp_path)
    names = [line[66:] for line in (tmp_path / "SHA256SUMS").read_text().splitlines()]
    assert names == ["a/x.js", "t.csv", "t.csv.sha256"]
    for sums in ("SHA256SUMS", "t.csv.sha256"):
        command = ["sha256sum", "--check", "--strict", sums]
        assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0
    (tmp_path / "a" / "x.js").write_text("2")
    command = ["sha256sum", "--check", "--status", "SHA256SUMS"]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 1
