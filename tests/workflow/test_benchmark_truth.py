"""The rule `benchmark` and the true masks: what it reads, and when it runs again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from cacl import tables
from cacl.tables.schemas import AnnotationRow, ImageRow
from tests.fixtures.workflow import Workflow

MANIFEST: dict[str, Any] = {"kind": "manifest", "manifest": "manifest.csv"}
MASKS = ("A/a.png", "A/b.geojson", "B_c.cell.png")


def sections(**benchmark: str) -> dict[str, Any]:
    return {"source": MANIFEST, "census": {"shards": 1}, "benchmark": benchmark}


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def finish(workflow: Workflow, **configuration: Any) -> None:
    """Make Snakemake regard a run and its benchmark as finished."""
    path = workflow.configure(**configuration)
    summary = workflow("benchmark", "--configfile", path, "--summary")
    for line in summary.stdout.splitlines()[1:]:
        touch(workflow.folder / line.split("\t")[0])
    touch(workflow.folder / "logs/benchmarks/benchmark.tsv")
    lists = workflow.folder / "results" / "catalog"
    tables.write_parquet(lists / "shards/0.parquet", [], ImageRow)
    tables.write_parquet(lists / "annotations/0.parquet", [], AnnotationRow)
    touched = workflow("benchmark", "--configfile", path, "--touch", "--forceall")
    assert touched.returncode == 0, touched.stdout + touched.stderr


@pytest.fixture(scope="module")
def finished(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """A finished run with the user's masks."""
    workflow = Workflow(checkout, tmp_path_factory.mktemp("finished"))
    (workflow.folder / "manifest.csv").touch()
    for name in MASKS:
        touch(workflow.folder / "masks" / name)
        (workflow.folder / "masks" / name).write_text(name)
    finish(workflow, **sections(truth="masks"))
    return workflow


def plan(workflow: Workflow) -> dict[str, int]:
    return workflow.jobs("benchmark", "--configfile", workflow.folder / "config.yaml")


@pytest.fixture
def run(finished: Workflow, tmp_path: Path, checkout: Path) -> Workflow:
    shutil.copytree(finished.folder, tmp_path / "run")
    return Workflow(checkout, tmp_path / "run")


def test_changed_true_masks_run_the_benchmark_again(run: Workflow) -> None:
    masks = run.folder / "masks"
    assert plan(run) == {}
    (masks / "notes.txt").touch()
    os.utime(masks / "A/a.png", (2e9, 2e9))
    assert plan(run) == {}
    (masks / "A/b.geojson").write_text("[]")
    assert plan(run) == {"benchmark": 1}
    (masks / "A/b.geojson").write_text("A/b.geojson")
    assert plan(run) == {}
    (masks / "A/a.png").rename(masks / "A/d.png")
    assert plan(run) == {"benchmark": 1}
    (masks / "A/d.png").rename(masks / "A/a.png")
    (masks / "A/new.png").touch()
    assert plan(run) == {"benchmark": 1}


def test_only_synthetic_images_have_synthetic_external_sets(run: Workflow) -> None:
    (run.folder / "results/benchmark/table.csv").unlink()
    options = ("--configfile", run.folder / "config.yaml", "--dry-run", "--printshellcmds")
    text = run("benchmark", *options).stdout
    assert "--truth masks" in " ".join(text.split())
    assert "--external" not in text
    path = run.configure(benchmark={"truth": "masks"}, census={"shards": 1})
    jobs = run.jobs("benchmark", "--configfile", path)
    assert jobs["synthesise_external"] == 6
    text = run("benchmark", "--configfile", path, "--dry-run", "--printshellcmds").stdout
    assert "--truth masks --external results/benchmark/external/duodenum-a" in text


@pytest.mark.parametrize(
    ("benchmark", "sentence"),
    [
        ({}, "which images of source.kind manifest do not have. Set benchmark.truth"),
        ({"truth": "nowhere"}, "benchmark.truth: there is no folder nowhere; name one"),
    ],
)
def test_missing_true_masks_are_found_before_anything_runs(
    checkout: Path, tmp_path: Path, benchmark: dict[str, str], sentence: str
) -> None:
    workflow = Workflow(checkout, tmp_path)
    (tmp_path / "manifest.csv").touch()
    path = workflow.configure(**sections(**benchmark))
    result = workflow("benchmark", "--configfile", path, "--dry-run")
    assert result.returncode == 1
    assert sentence in result.stdout + result.stderr
    assert workflow("--configfile", path, "--dry-run").returncode == 0


def test_changed_masks_of_synthetic_images_run_their_benchmark_again(
    checkout: Path, tmp_path: Path
) -> None:
    workflow = Workflow(checkout, tmp_path)
    mask = tmp_path / "resources/phantom/truth/HPA900001/1.png"
    touch(mask)
    finish(workflow, census={"shards": 1})
    assert plan(workflow) == {}
    mask.write_text("other")
    assert plan(workflow) == {"benchmark": 1}
