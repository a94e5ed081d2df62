"""The configurations of `.test` run, and Snakemake reports on them."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from cacl import tables
from cacl.tables.schemas import MeasureRow
from tests.fixtures.workflow import Workflow

IMAGES = {"phantom": 4, "mirror": 4, "manifest": 2}


@pytest.mark.timeout(900)
def test_every_small_run_completes_and_is_reported_on(
    small_runs: Path, checkout: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(small_runs, runs)
    assert {path.parent.name for path in runs.glob("*/config.yaml")} == set(IMAGES)
    for name, images in IMAGES.items():
        workflow = Workflow(checkout, runs / name)
        options = ("--configfile", runs / name / "config.yaml")
        if name != "phantom":
            done = workflow(*options)
            assert done.returncode == 0, done.stderr
        census = sorted(workflow.folder.glob("results/census/*.parquet"))
        assert len(tables.read_frame(census, MeasureRow)) == images
        reported = workflow(*options, "--report", "report.zip")
        assert reported.returncode == 0, reported.stderr
        with zipfile.ZipFile(workflow.folder / "report.zip") as archive:
            assert any(entry.endswith("report.html") for entry in archive.namelist())
