"""Drawings in the workflow: which rules run again when they change, and a missing folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from cacl import config, tables
from cacl.diagnostics.workflow_triggers import drawings_digest, training_settings
from cacl.tables.schemas import AnnotationRow, ImageRow
from tests.fixtures.drawings import area, write_drawing
from tests.fixtures.workflow import Workflow

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
    workflow.make_empty_products("--configfile", path)
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


@pytest.mark.slow
def test_changed_drawings_train_again_whatever_the_source(
    finished: Workflow, checkout: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished.folder, tmp_path / "run")
    run = Workflow(checkout, tmp_path / "run")
    folder, path = run.folder / "drawn", run.folder / "config.yaml"
    (folder / "notes.txt").touch()
    os.utime(folder / "A_1.geojson", (2e9, 2e9))
    assert run.jobs("--configfile", path) == {}
    write_drawing(folder, "A_1", [area("negative", (0, 0, 9, 9))])
    assert run.jobs("--configfile", path) == TRAINED_AGAIN


@pytest.mark.slow
def test_missing_folder_is_found_before_anything_runs(checkout: Path, tmp_path: Path) -> None:
    workflow = Workflow(checkout, tmp_path)
    path = workflow.configure(**sections("phantom"))
    result = workflow("--configfile", path, "--dry-run")
    assert result.returncode == 1
    assert "labels.drawn: there is no folder drawn; name one" in result.stdout + result.stderr


def test_names_and_bytes_of_drawings_count(tmp_path: Path) -> None:
    assert drawings_digest(None) == drawings_digest(tmp_path / "nowhere") == ""
    path = write_drawing(tmp_path, "A/1", [area("positive", (0, 0, 9, 9))])
    settings = config.resolve({"labels": {"drawn": tmp_path}})
    before, trained = drawings_digest(tmp_path), training_settings(settings)
    (tmp_path / "notes.txt").touch()
    os.utime(path, (2e9, 2e9))
    assert (drawings_digest(tmp_path), training_settings(settings)) == (before, trained)
    path.rename(tmp_path / "A_1.geojson")
    renamed = drawings_digest(tmp_path)
    write_drawing(tmp_path, "A_1", [area("negative", (0, 0, 9, 9))])
    assert len({before, renamed, drawings_digest(tmp_path)}) == 3
    assert training_settings(settings) != trained
