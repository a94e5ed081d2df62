"""Files of a run on Slurm: delayed files, and a full disk."""

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

DELAYED = """#!/bin/sh
# The product of a job appears with a delay, as on a network file system.
{cacl} "$@" || exit
mv {product} late
(sleep {seconds}; mv late {product}) >/dev/null 2>&1 &
"""


def write_delayed_program(folder: Path, product: str, seconds: int) -> Path:
    """Write a program `cacl` whose product appears with a delay; return its folder."""
    program = folder / "cacl"
    folder.mkdir(exist_ok=True)
    cacl = Path(sys.executable).with_name("cacl")
    program.write_text(DELAYED.format(cacl=cacl, product=product, seconds=seconds))
    program.chmod(0o755)
    return folder


def test_reports_delayed_files(finished: Run, tmp_path: Path) -> None:
    product = "results/training/tiles.parquet"
    slow = write_delayed_program(tmp_path / "bin", product, 60)
    run = finished.copy(tmp_path / "run", programs=slow)
    result = run("--force", "--retries", "0", "--latency-wait", "2", "--", product)
    assert result.returncode == 1
    sentence = "Rule select wrote files that did not appear in time: raise `latency-wait`"
    assert sentence in result.stdout
    assert not (run.folder / product).exists()

    write_delayed_program(slow, product, 4)
    again = run("--", product)
    assert again.returncode == 0, again.stdout
    assert (run.folder / product).exists()


def test_reports_full_disk_and_the_next_run_continues(finished: Run, tmp_path: Path) -> None:
    disk, product = tmp_path / "disk", "results/tiles/0.parquet"
    with small_disk(disk, 200_000):
        run = finished.copy(disk)
        (run.folder / product).unlink()
        shutil.rmtree(run.folder / "results/atlas.zarr")
        ballast = disk / "ballast"
        leave_free(ballast, 1_000_000)
        result = run("--retries", "0", "--", product)
        assert result.returncode == 1
        assert "Rule tile ran out of disk space: free some space" in result.stdout
        assert not (run.folder / product).exists()

        ballast.unlink()
        again = run("--", product)
        assert again.returncode == 0, again.stdout
        rows = tables.read_parquet(run.folder / product, TileStatRow)
        assert rows == tables.read_parquet(finished.folder / product, TileStatRow)
        assert len((run.folder / "results/failures/tile/0.csv").read_text().splitlines()) == 1


def leave_free(ballast: Path, free_bytes: int) -> None:
    """Fill a disk with a file until only `free_bytes` are free."""
    size = shutil.disk_usage(ballast.parent).free - free_bytes
    subprocess.run(["fallocate", "--length", str(size), str(ballast)], check=True)
