"""Drawings in the workflow: which rules run again when they change, and a missing folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from cacl import config, tables
from cacl.diagnostics.workflow_triggers import training_settings
from cacl.tables.schemas import AnnotationRow, ImageRow
from tests.fixtures.drawings import area, write_drawing
from tests.fixtures.workflow import Workflow

pytestmark = pytest.mark.slow

TRAINED_AGAIN = dict.fromkeys(
    ("all", "select", "train", "segment", "measure", "controls", "report"), 1
)


def sections(kind: str) -> dict[str, Any]:
    source = {"kind": "manifest", "manifest": "manifest.csv"} if kind == "manifest" else {}
    return {"source": source, "census": {"shards": 1}, "labels": {"drawn": "drawn"}}


@pytest.fixture(scope="module", params=["phantom", "manifest"])
def finished(
    request: pytest.FixtureRequest, checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> Workflow:
    """A run that Snakemake regards as finished, with two drawings."""
    workflow = Workflow(checkout, tmp_path_factory.mktemp(f"finished_{request.param}"))
    (workflow.folder / "manifest.csv").touch()
    for name in ("A_1", "B/2"):
        write_drawing(workflow.folder / "drawn", name, [area("positive", (0, 0, 9, 9))])
    settings = sections(request.param)
    path = workflow.configure(**settings)
    summary = workflow("--configfile", path, "--summary")
    for line in summary.stdout.splitlines()[1:]:
        product = workflow.folder / line.split("\t")[0]
        product.parent.mkdir(parents=True, exist_ok=True)
        product.touch()
    lists = workflow.folder / "results/catalog"
    tables.write_parquet(lists / "shards/0.parquet", [], ImageRow)
    tables.write_parquet(lists / "annotations/0.parquet", [], AnnotationRow)
    trained = workflow.folder / "results/training/config.txt"
    before = Path.cwd()
    os.chdir(workflow.folder)
    try:
        trained.write_text(training_settings(config.resolve(settings)))
    finally:
        os.chdir(before)
    touched = workflow("--configfile", path, "--touch", "--forceall")
    assert touched.returncode == 0, touched.stdout + touched.stderr
    return workflow


@pytest.fixture
def run(finished: Workflow, tmp_path: Path, checkout: Path) -> Workflow:
    shutil.copytree(finished.folder, tmp_path / "run")
    return Workflow(checkout, tmp_path / "run")


def plan(workflow: Workflow) -> dict[str, int]:
    return workflow.jobs("--configfile", workflow.folder / "config.yaml")


def test_changed_drawings_train_again_whatever_the_source(run: Workflow) -> None:
    folder = run.folder / "drawn"
    assert plan(run) == {}
    (folder / "notes.txt").touch()
    os.utime(folder / "A_1.geojson", (2e9, 2e9))
    assert plan(run) == {}
    text = (folder / "A_1.geojson").read_text()
    (folder / "A_1.geojson").write_text(text.replace("positive", "negative"))
    assert plan(run) == TRAINED_AGAIN
    (folder / "A_1.geojson").write_text(text)
    assert plan(run) == {}
    (folder / "A_1.geojson").rename(folder / "A_2.geojson")
    assert plan(run) == TRAINED_AGAIN


def test_missing_folder_is_found_before_anything_runs(run: Workflow) -> None:
    shutil.rmtree(run.folder / "drawn")
    result = run("--configfile", run.folder / "config.yaml", "--dry-run")
    assert result.returncode == 1
    assert "labels.drawn: there is no folder drawn; name one" in result.stdout + result.stderr
