"""Names that Snakemake or a shell could read as something else: braces, quotes, `$`, spaces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cacl.tables import read_parquet
from cacl.tables.schemas import ImageRow
from tests.fixtures.catalogs import VALID_XML, make_mirror
from tests.fixtures.workflow import Workflow

FOLDERS = (
    "{shard}",
    "a {x} b",
    "{unclosed",
    "{{double}}",
    "{a,b}",
    'it\'s "quoted"; $HOME `id` * & | > é 東',
)
CELL_TYPE = "cells {of} 'type' $HOME"


def census(folder: Path) -> dict[str, Any]:
    """Return a configuration of own images whose files lie in a folder."""
    (folder / "manifest.csv").write_text(
        "image_path,antibody_id,patient_id,gene\nx.jpg,AB1,p1,SI\ny.jpg,AB2,p2,ANPEP\nz.jpg,AB3,,X\n"
    )
    (folder / "genes.txt").write_text("SI, ANPEP\n")
    (folder / "labels.csv").write_text("image_id,label\nAB1/x,positive\n")
    return {
        "source": {
            "kind": "manifest",
            "manifest": str(folder / "manifest.csv"),
            "genes": str(folder / "genes.txt"),
        },
        "labels": {"overrides": str(folder / "labels.csv"), "cell_type": CELL_TYPE},
        "census": {"shards": 1},
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLDERS)
def test_plans_and_builds_a_catalog_from_any_folder(
    checkout: Path, tmp_path: Path, name: str
) -> None:
    folder, work = tmp_path / name, tmp_path / "work"
    folder.mkdir()
    work.mkdir()
    workflow = Workflow(checkout, work)
    workflow.configure(**census(folder))
    options = ("--configfile", "config.yaml")
    assert {"catalog", "select", "train"} <= workflow.jobs(*options).keys()
    done = workflow(*options, "--until", "catalog")
    assert done.returncode == 0, done.stderr
    rows = read_parquet(work / "results" / "catalog" / "images.parquet", ImageRow)
    assert [(row.image_id, row.label) for row in rows] == [("AB1/x", "positive"), ("AB2/y", "")]
    assert "catalog" not in workflow.jobs(*options, "--until", "catalog")
    (folder / "labels.csv").write_text("image_id,label\nAB1/x,negative\n")
    assert "catalog" in workflow.jobs(*options)


@pytest.mark.slow
def test_builds_a_catalog_of_a_mirror_with_braces(checkout: Path, tmp_path: Path) -> None:
    folder = tmp_path / "{shard} host"
    folder.mkdir()
    host = make_mirror(folder, VALID_XML)
    workflow = Workflow(checkout, tmp_path)
    classes = {"border": {"cell_type": "{x}"}, "nucleus": {"cell_type": "y", "location": "{z}"}}
    workflow.configure(source={"kind": "mirror", "mirror": str(host)}, labels={"classes": classes})
    done = workflow("--configfile", "config.yaml", "--until", "acquire")
    assert done.returncode == 0, done.stderr
    assert len(read_parquet(tmp_path / "results" / "catalog" / "images.parquet", ImageRow)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["{1}", "a {x} b", "{a,b}"])
def test_refuses_a_run_in_a_folder_that_snakemake_takes_for_a_pattern(
    checkout: Path, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    result = Workflow(checkout, folder)("--dry-run")
    assert result.returncode == 1
    assert f"The folder {folder} cannot hold a run" in result.stdout + result.stderr
    assert list(folder.glob("results*")) == []
