"""A disk that fills up in a step: the job fails, says so, and goes on where it stopped."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from cacl import tables
from cacl.cli import app
from cacl.errors import DiskError, Reason
from cacl.runtime.images import raise_on_disk_errors
from cacl.tables.schemas import AcquiredRow, FailureRow, TileStatRow
from tests.fixtures.small_disk import small_disk

IMAGES = 4
IMAGE_KB = 3 * 512 * 512 // 1024


def acquired(folder: Path) -> Path:
    """Write noise, which no codec makes smaller, and the table of what was acquired."""
    rng, rows = np.random.default_rng(0), []
    for number in range(IMAGES):
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), rng.integers(0, 200, (512, 512, 3), np.uint8))
        rows.append(
            AcquiredRow(
                image_id=f"HPA000001/{number}",
                antibody_id="HPA000001",
                path=str(path),
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                size_bytes=path.stat().st_size,
                mpp=None,
            )
        )
    table = folder / "acquired.parquet"
    tables.write_parquet(table, rows, AcquiredRow)
    return table


def tile(table: Path, disk: Path) -> Result:
    options = {
        "--acquired": table,
        "--store": disk / "atlas.zarr",
        "--out": disk / "tiles.parquet",
        "--failures": disk / "failures.csv",
        "--source-px": 64,
        "--tile-px": 64,
        "--min-tissue-fraction": 0,
    }
    return CliRunner().invoke(
        app, ["tile", *(str(part) for pair in options.items() for part in pair)]
    )


def test_a_full_disk_fails_the_step_and_the_next_run_makes_what_is_missing(tmp_path: Path) -> None:
    table, disk = acquired(tmp_path), tmp_path / "disk"
    with small_disk(disk, 5 * IMAGE_KB // 2):
        result = tile(table, disk)
        assert result.exit_code == 1
        said = " ".join(result.output.split())
        assert "could not be written, the first one because: " in said
        assert "No space left on device; free some space" in said
        assert said.endswith("run the same command again: it goes on where it stopped")
        whole = sorted(disk.glob("atlas.zarr/*/*/zarr.json"))
        assert 1 <= len(whole) < IMAGES
        made = [path.stat().st_mtime_ns for path in whole]

        subprocess.run(["mount", "-o", f"remount,size={9 * IMAGE_KB}k", str(disk)], check=True)
        again = tile(table, disk)
        assert again.exit_code == 0, again.output
        rows = tables.read_parquet(disk / "tiles.parquet", TileStatRow)
        assert len({row.image_id for row in rows}) == IMAGES
        assert [path.stat().st_mtime_ns for path in whole] == made


def test_only_what_the_disk_kept_back_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "failures.csv"
    damaged = failed(Reason.DAMAGED, "It is cut short")
    kept_back = failed(Reason.UNWRITABLE, "No space left")
    tables.write_csv(path, [damaged], FailureRow)
    raise_on_disk_errors(path)
    tables.write_csv(path, [damaged, kept_back], FailureRow)
    with pytest.raises(DiskError, match=r"^1 image\(s\) could not be written.*No space left; free"):
        raise_on_disk_errors(path)


def failed(reason: Reason, message: str) -> FailureRow:
    return FailureRow(
        image_id="A/1", stage="tile", reason=str(reason), message=message, source="1.png"
    )
