from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cacl import tables
from cacl.hpa.catalog import shard_of
from cacl.tables.schemas import MeasureRow
from tests.fixtures.workflow import TINY, Workflow


@pytest.fixture
def workflow(checkout: Path, tmp_path: Path) -> Workflow:
    return Workflow(checkout, tmp_path)


def test_plain_snakemake_is_the_demo(workflow: Workflow) -> None:
    per_shard = dict.fromkeys(("acquire", "tile", "segment", "measure"), 4)
    once = dict.fromkeys(
        ("all", "phantom", "catalog", "list_tile_tables", "select", "train", "controls", "report"),
        1,
    )
    assert workflow.jobs() == per_shard | once


def test_configurations_merge_without_the_values_of_the_demo(workflow: Workflow) -> None:
    first = workflow.folder / "first.yaml"
    manifest = workflow.folder / "manifest.csv"
    manifest.touch()
    first.write_text(f"source: {{kind: manifest, manifest: {manifest}}}\ncensus: {{shards: 7}}\n")
    second = workflow.folder / "second.yaml"
    second.write_text("census: {shards: 3}\n")
    jobs = workflow.jobs("--configfile", first, second)
    assert jobs["tile"] == 3
    assert "phantom" not in jobs


def test_missing_manifest_stops_a_run_whose_catalog_exists(workflow: Workflow) -> None:
    manifest = workflow.folder / "own.csv"
    manifest.write_text("image_path,antibody_id,patient_id\na.jpg,A,1\n")
    path = workflow.configure(source={"kind": "manifest", "manifest": "own.csv"})
    made = workflow("--configfile", path, "--", "results/catalog/images.parquet")
    assert made.returncode == 0, made.stderr
    manifest.unlink()
    result = workflow("--configfile", path, "--dry-run")
    assert result.returncode == 1
    assert f"source.manifest: there is no file {manifest}" in result.stdout + result.stderr


def test_misspelt_key_is_one_sentence(workflow: Workflow) -> None:
    path = workflow.configure(tiles={"tile_pix": 64})
    result = workflow("--configfile", path, "--dry-run")
    assert result.returncode == 1
    assert "tiles: unknown key 'tile_pix'; did you mean 'tile_px'?" in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr


def test_key_that_a_file_has_twice_is_named_with_its_lines(workflow: Workflow) -> None:
    path = workflow.folder / "twice.yaml"
    path.write_text("seed: 1\ncensus: {shards: 3}\nseed: 2\n")
    result = workflow("--configfile", path, "--dry-run")
    assert result.returncode == 1
    output = result.stdout + result.stderr
    assert f"{path}: the key 'seed' is on line 1 and again on line 3" in output
    assert "Traceback" not in output


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_run_completes_resumes_and_reruns_only_what_changed(
    small_runs: Path, checkout: Path, tmp_path: Path
) -> None:
    workflow = Workflow(checkout, tmp_path / "run")
    shutil.copytree(small_runs / "phantom", workflow.folder)
    path = workflow.folder / "config.yaml"
    census = tables.read_frame(sorted(workflow.folder.glob("results/census/*.parquet")), MeasureRow)
    assert len(census) == 4
    assert (workflow.folder / "results/report/report.html").stat().st_size > 10_000

    assert workflow.jobs("--configfile", path) == {}

    wider = workflow.configure(**TINY, segment={"morphology": "dilation"})
    jobs = workflow.jobs("--configfile", wider)
    assert jobs == {"all": 1, "controls": 1, "segment": 2, "measure": 2, "report": 1}
    assert workflow("--configfile", wider).returncode == 0

    tables_before = (workflow.folder / "results/report/images.csv").read_bytes()
    (workflow.folder / "results/census/0.parquet").unlink()
    assert workflow("--configfile", wider, "--forcerun", "measure").returncode == 0
    assert (workflow.folder / "results/report/images.csv").read_bytes() == tables_before

    one_more_antibody_runs_its_own_shard_only(workflow)


def one_more_antibody_runs_its_own_shard_only(workflow: Workflow) -> None:
    results = workflow.folder / "results"
    more = TINY | {"phantom": {"antibodies": 5, "patients": 1}}
    shard = shard_of("HPA900005", TINY["census"]["shards"])
    products = [path for path in results.rglob("*") if path.is_file()]
    before = {path: path.stat().st_mtime_ns for path in products}
    path = workflow.configure(**more, segment={"morphology": "dilation"})
    result = workflow("--configfile", path)
    assert result.returncode == 0, result.stderr
    ran = set(
        re.findall(
            r"^(Acquiring|Tiling|Segmenting|Measuring).* shard (\d+)$", job_messages(result), re.M
        )
    )
    assert ran == {
        (step, str(shard)) for step in ("Acquiring", "Tiling", "Segmenting", "Measuring")
    }

    made = {path for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert results / f"census/{shard}.parquet" in made
    assert results / f"census/{1 - shard}.parquet" not in made
    assert not [path for path in made if {"model", "training"} & set(path.parts)]
    assert not [path for path in made if results / "atlas.zarr" in path.parents]
    assert len(list(results.glob("atlas.zarr/*/*/labels/stain/zarr.json"))) == 5
    assert len(tables.read_frame(sorted(results.glob("census/*.parquet")), MeasureRow)) == 5
    assert workflow.jobs("--configfile", path) == {}


def job_messages(result: subprocess.CompletedProcess[str]) -> str:
    """Return the messages of jobs, without their numbers."""
    return re.sub(r"^Job \d+: ", "", result.stdout + result.stderr, flags=re.M)
