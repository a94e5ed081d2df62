"""Snakemake's own report of a finished run."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from cacl import tables
from cacl.tables.control_schemas import ControlRow
from tests.fixtures.reports import cores, run, write_model
from tests.fixtures.small_atlas import build
from tests.fixtures.workflow import TINY, Workflow

CATEGORIES = {
    "Benchmark": {"results/benchmark/table.csv", "results/benchmark/table.html"},
    "Controls": {"results/controls/controls.csv"},
    "Figures": {"results/report/figures/index.html"},
    "Methods": {"results/report/columns.md", "results/report/methods.md"},
    "Agreement": {
        "results/report/agreement.csv",
        "results/report/disagreements.csv",
        "results/report/review.csv",
    },
    "Census": {
        "results/report/antibodies.csv",
        "results/report/failures.csv",
        "results/report/genes.csv",
        "results/report/images.csv",
        "results/report/classes.csv",
    },
}


@pytest.fixture(scope="module")
def carried(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The archive of a run whose report and benchmark are there, with the folder of the run.

    Snakemake asks only what it carries to be there, so that no model is trained for this.
    """
    folder = tmp_path_factory.mktemp("run")
    atlas = build(folder / "atlas", cores())
    atlas.measure()
    write_model(atlas)
    table = folder / "results" / "benchmark" / "table.csv"
    table.parent.mkdir(parents=True)
    table.write_text("method,dice\nCaCL robust,0.9\n")
    tables.write_csv(folder / "results" / "controls" / "controls.csv", [], ControlRow)
    table.with_suffix(".html").write_text("<!doctype html><title>Benchmark</title><p>0.9")
    run(atlas, out="../results/report", failures=[], benchmark=table)
    workflow = Workflow(checkout, folder)
    archive = folder / "report.zip"
    config = workflow.configure(**TINY)
    result = workflow("--configfile", config, "--report", archive, "--", "all", "benchmark")
    assert result.returncode == 0, result.stderr
    return zipfile.ZipFile(archive), folder


def value(archive: zipfile.ZipFile, name: str) -> Any:
    """Return a value that the archive's page sets in its script."""
    page = archive.read("report/report.html").decode()
    start = page.index(f"var {name} = {{") + len(f"var {name} = ")
    return json.JSONDecoder().raw_decode(page, start)[0]


def test_every_table_and_figure_has_its_category(carried: Any) -> None:
    archive, _ = carried
    paths_by_category = {
        name: {path for paths in groups.values() for path in paths}
        for name, groups in value(archive, "categories").items()
    }
    assert paths_by_category == CATEGORIES


def test_each_has_a_caption_and_a_label_of_its_own(carried: Any, checkout: Path) -> None:
    archive, _ = carried
    results = value(archive, "results")
    assert set(results) == set.union(*CATEGORIES.values())
    for path, result in results.items():
        assert len(result["caption"]) > 40, path
        assert len(result["labels"]) == 1, path
    labels = {path: next(iter(result["labels"].items())) for path, result in results.items()}
    assert len(set(labels.values())) == len(labels)
    assert labels["results/report/review.csv"] == ("table", "cores to review")
    assert labels["results/benchmark/table.html"] == ("table", "methods, with tiles")
    captions = {file.stem for file in (checkout / "workflow" / "report").glob("*.rst")}
    assert captions == {
        "workflow",
        *("benchmark", "figures", "columns", "methods", "agreement", "disagreements", "review"),
        *("antibodies", "controls", "failures", "genes", "images", "classes"),
    }


def test_what_it_carries_is_what_the_run_wrote(carried: Any) -> None:
    archive, folder = carried
    inside = {Path(name).name: name for name in archive.namelist()}
    for path in set.union(*CATEGORIES.values()) - {"results/benchmark/table.csv"}:
        assert archive.read(inside[Path(path).name]) == (folder / path).read_bytes(), path
    figures = {path.name for path in (folder / "results/report/figures").iterdir()}
    assert figures == {"index.html", "figures.css", "draw.js", "specs.js", "plotly.min.js"}
    assert figures <= set(inside)
    page = archive.read("report/report.html").decode()
    assert "Census of the Human Protein Atlas by CaCL Atlas" in page
