"""A full disk during a step: the job fails with a message, and the next run continues."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import cv2
import numpy as np
from typer.testing import CliRunner, Result

from cacl import tables
from cacl.cli import app
from cacl.tables.schemas import AcquiredRow, TileStatRow
from tests.fixtures.small_disk import small_disk

IMAGES = 4
IMAGE_KB = 3 * 512 * 512 // 1024


def acquired(folder: Path) -> Path:
    """Write images of noise, which no codec compresses, and the table of acquired images."""
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


def tile(table: Path, disk: Path, jobs: int = 1) -> Result:
    options = {
        "--acquired": table,
        "--store": disk / "atlas.zarr",
        "--out": disk / "tiles.parquet",
        "--failures": disk / "failures.csv",
        "--source-px": 64,
        "--tile-px": 64,
        "--min-tissue-fraction": 0,
        "--jobs": jobs,
    }
    return CliRunner().invoke(
        app, ["tile", *(str(part) for pair in options.items() for part in pair)]
    )


def test_full_disk_fails_the_step_and_the_next_run_continues(tmp_path: Path) -> None:
    table, disk = acquired(tmp_path), tmp_path / "disk"
    with small_disk(disk, 5 * IMAGE_KB // 2):
        result = tile(table, disk)
        assert result.exit_code == 1
        message = " ".join(result.output.split())
        assert message.count("Error: ") == 1
        assert "Error: tile: HPA000001/" in message
        assert "the disk is full, read-only or protected ([Errno 28] No space left" in message
        assert message.endswith("run the same command again: it continues where it stopped")
        assert not list(disk.glob("*.parquet"))
        assert not list(disk.glob("*.csv"))
        complete = sorted(disk.glob("atlas.zarr/*/*/zarr.json"))
        assert 1 <= len(complete) < IMAGES
        written_at = [path.stat().st_mtime_ns for path in complete]

        subprocess.run(["mount", "-o", f"remount,size={9 * IMAGE_KB}k", str(disk)], check=True)
        again = tile(table, disk)
        assert again.exit_code == 0, again.output
        rows = tables.read_parquet(disk / "tiles.parquet", TileStatRow)
        assert len({row.image_id for row in rows}) == IMAGES
        assert [path.stat().st_mtime_ns for path in complete] == written_at
