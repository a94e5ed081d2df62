"""Files of a run on Slurm: they appear late, or the disk is full."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cacl import tables
from cacl.tables.schemas import TileStatRow
from tests.fixtures.small_disk import small_disk
from tests.workflow.slurm.slurm_run import Run

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(1800)]

LATE = """#!/bin/sh
# What a job writes is seen after a while, as on a network file system.
{cacl} "$@" || exit
mv {product} late
(sleep {seconds}; mv late {product}) >/dev/null 2>&1 &
"""


def show_late(folder: Path, product: str, seconds: int) -> Path:
    """Return a folder with a `cacl` whose product is seen only after a while."""
    program = folder / "cacl"
    folder.mkdir(exist_ok=True)
    cacl = Path(sys.executable).with_name("cacl")
    program.write_text(LATE.format(cacl=cacl, product=product, seconds=seconds))
    program.chmod(0o755)
    return folder


def test_files_that_appear_late(finished: Run, tmp_path: Path) -> None:
    product = "results/training/tiles.parquet"
    slow = show_late(tmp_path / "bin", product, 60)
    run = finished.copy(tmp_path / "run", programs=slow)
    result = run("--force", "--retries", "0", "--latency-wait", "2", "--", product)
    assert result.returncode == 1
    sentence = "Rule select wrote files that were not seen in time: raise `latency-wait`"
    assert sentence in result.stdout
    assert not (run.folder / product).exists()

    show_late(slow, product, 4)
    again = run("--", product)
    assert again.returncode == 0, again.stdout
    assert (run.folder / product).exists()


def test_a_full_disk_is_said_and_the_run_goes_on(finished: Run, tmp_path: Path) -> None:
    disk, product = tmp_path / "disk", "results/tiles/0.parquet"
    with small_disk(disk, 200_000):
        run = finished.copy(disk)
        (run.folder / product).unlink()
        shutil.rmtree(run.folder / "results/atlas.zarr")
        ballast = disk / "ballast"
        leave_free(ballast, 1_000_000)
        result = run("--retries", "0", "--", product)
        assert result.returncode == 1
        assert "Rule tile found the disk full: free some space" in result.stdout
        assert not (run.folder / product).exists()

        ballast.unlink()
        again = run("--", product)
        assert again.returncode == 0, again.stdout
        rows = tables.read_parquet(run.folder / product, TileStatRow)
        assert rows == tables.read_parquet(finished.folder / product, TileStatRow)
        assert len((run.folder / "results/failures/tile/0.csv").read_text().splitlines()) == 1


def leave_free(ballast: Path, free_bytes: int) -> None:
    """Fill a disk with a file until so many bytes are left."""
    size = shutil.disk_usage(ballast.parent).free - free_bytes
    subprocess.run(["fallocate", "--length", str(size), str(ballast)], check=True)
