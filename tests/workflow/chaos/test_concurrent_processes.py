"""Two processes at work on one run: nothing is damaged, and each says what it waits for."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.reliability.census import PRESETS, Census, problems
from benchmarks.reliability.processes import running_jobs
from tests.fixtures.workflow import Workflow
from tests.workflow.chaos.conftest import Reference

NO_RESULTS_YET = "has no results"


def start_cacl(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cacl", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.timeout(1200)
def test_second_run_is_refused_and_verification_finds_no_fault_while_a_census_runs(
    reference: Reference, checkout: Path, tmp_path: Path
) -> None:
    census = Census(tmp_path, PRESETS["paper"])
    verified = 0
    with census.start() as process:
        next(running_jobs(tmp_path, process))
        second = Workflow(checkout, tmp_path)("--configfile", tmp_path / "config.yaml")
        assert second.returncode == 1
        assert f"is locked by process {process.pid} " in second.stderr
        while process.poll() is None:
            verification = start_cacl(tmp_path, "verify")
            output = verification.communicate()[0]
            assert verification.returncode == 0 or NO_RESULTS_YET in output, output
            verified += verification.returncode == 0
    assert process.returncode == 0, census.output.read_text()
    assert verified > 3
    assert problems(census, reference.products) == []


@pytest.mark.timeout(600)
def test_processes_that_tile_the_same_shard_write_the_store_of_one(
    reference: Reference, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(reference.folder, folder)
    census = Census(folder, PRESETS["paper"])
    shutil.rmtree(folder / "results" / "atlas.zarr")
    side = PRESETS["paper"]["tiles"]
    processes = [
        start_cacl(
            folder,
            *("tile", "--acquired", f"results/acquired/{shard}.parquet"),
            *("--store", "results/atlas.zarr", "--out", f"results/tiles/{shard}.parquet"),
            *("--failures", f"results/failures/tile/{shard}.csv"),
            *("--source-px", str(side["source_px"]), "--tile-px", str(side["tile_px"])),
        )
        for shard in (0, 0, 1, 1)
    ]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, outputs
    status, output = census.run("--forcerun", "segment")
    assert status == 0, output
    assert problems(census, reference.products) == []
