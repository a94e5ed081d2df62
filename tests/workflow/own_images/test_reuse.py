"""`train.model` in the workflow: equal tables, exactly the steps that follow, early refusals."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from cacl.model.model_file import FILES, write_model_file
from cacl.runtime.file_digest import json_with_digest
from tests.fixtures import censuses
from tests.fixtures.censuses import FAST, Census
from tests.fixtures.workflow import Workflow

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

NEW_MASKS = {f"{step} {shard}" for step in ("segment", "measure") for shard in censuses.ALL_SHARDS}
REUSED = {"reuse_model", "select_test", "controls", "report", *NEW_MASKS}
"""What follows from another model."""

NOT_COMPARED = {
    "results/model/speed.csv",
    "results/training/config.txt",
    "results/report/methods.md",
}
"""Of the training alone, and the paragraph that names the model's source."""


def with_model(census: Census, model: str) -> None:
    path = census.folder / "config.yaml"
    sections: dict[str, Any] = yaml.safe_load(path.read_text())
    sections["train"] = FAST["train"] | {"model": model}
    census.configure(**sections)


def contents(folder: Path) -> dict[str, Any]:
    """Return rows of the tables and bytes of the other texts, by path; without digests of them."""
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("results/**/*")):
        name = path.relative_to(folder).as_posix()
        if name in NOT_COMPARED:
            continue
        if path.suffix == ".parquet":
            found[name] = pq.read_table(path).to_pydict()
        elif path.suffix in (".csv", ".md"):
            found[name] = path.read_bytes()
    return found


@pytest.fixture(scope="module")
def reusing(repaired: Census, tmp_path_factory: pytest.TempPathFactory) -> Census:
    """The census in a new folder, with the model that it trained; it starts from nothing."""
    census = repaired.copy_to(tmp_path_factory.mktemp("reusing") / "run")
    shutil.copytree(census.folder / "results/model", census.folder / "model")
    for name in ("results", "resources", ".snakemake", "logs"):
        shutil.rmtree(census.folder / name, ignore_errors=True)
    with_model(census, "model")
    census.last_run = census.run()
    return census


def test_every_table_equals_that_of_the_census_that_trained_the_model(
    repaired: Census, reusing: Census
) -> None:
    assert {"select", "train"}.isdisjoint(reusing.last_run)
    assert reusing.last_run >= REUSED
    before, after = contents(repaired.folder), contents(reusing.folder)
    assert before.keys() == after.keys()
    assert len(before) > 40
    assert [name for name in before if before[name] != after[name]] == []
    for name in FILES:
        model = Path("results/model") / name
        assert (reusing.folder / model).read_bytes() == (repaired.folder / model).read_bytes()
    page = (reusing.folder / "results/report/report.html").read_text(encoding="utf-8")
    assert "weights and thresholds are those of model, digest" in page
    methods = (reusing.folder / "results/report/methods.md").read_text(encoding="utf-8")
    assert "with the model of another run, trained with image-wise labels" in methods
    assert "- model of another run: model\n" in methods


def test_changed_model_is_copied_again_with_all_that_follows(
    reusing: Census, tmp_path: Path
) -> None:
    census = reusing.copy_to(tmp_path / "run")
    description = census.folder / "model/model.json"
    os.utime(description, (2e9, 2e9))
    assert census.plan() == {}
    changed = json.loads(description.read_text()) | {"seed": 4711}
    description.write_bytes(json_with_digest(changed))
    assert census.run() == REUSED
    assert census.plan() == {}
    assert (census.folder / "results/model/model.json").read_bytes() == description.read_bytes()
    path = census.folder / "model.safetensors"
    write_model_file(census.folder / "model", path)
    with_model(census, "model.safetensors")
    assert census.plan()["reuse_model"] == 1
    path.unlink()
    result = census("--configfile", census.folder / "config.yaml", "--dry-run")
    assert "train.model: there is no model model.safetensors; name" in result.stdout + result.stderr


def test_images_without_labels_are_measured(reusing: Census, tmp_path: Path) -> None:
    census = reusing.copy_to(tmp_path / "run")
    manifest = census.folder / "manifest.csv"
    lines = [line.rpartition(",")[0] for line in manifest.read_text().splitlines()]
    manifest.write_text("\n".join(lines) + "\n")
    path = census.folder / "config.yaml"
    census.configure(**(yaml.safe_load(path.read_text()) | {"labels": {}}))
    areas = census.measured()
    census.run()
    assert census.measured() == areas
    page = (census.folder / "results/report/report.html").read_text(encoding="utf-8")
    assert "There are no spike-in controls" in page


@pytest.mark.parametrize("key", ["model", "start_from"])
def test_model_that_the_run_would_replace_is_refused_before_anything_runs(
    checkout: Path, tmp_path: Path, key: str
) -> None:
    workflow = Workflow(checkout, tmp_path)
    own = tmp_path / "results/model"
    own.mkdir(parents=True)
    (own / "model.json").touch()
    (tmp_path / "link").symlink_to(own)
    path = workflow.configure(train={key: "link"}, census={"shards": 1})
    result = workflow("--configfile", path, "--dry-run")
    assert result.returncode == 1
    assert f"train.{key}: link is this run's own model, which the run replaces" in (
        result.stdout + result.stderr
    )
