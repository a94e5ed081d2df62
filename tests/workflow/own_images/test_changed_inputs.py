"""Changed inputs: exactly the steps that they concern run, and then nothing is left to do."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cacl import tables
from cacl.cli import app
from cacl.tables.schemas import TileStatRow
from tests.fixtures.censuses import SHARDS, TRAINED_AGAIN, Census, read_rgb, shard_jobs
from tests.fixtures.slides import write_dicom

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

DAMAGED = ("A7/a7", "tile", "damaged")
SMALL = ("A8/a8", "tile", "too_small")
SELECTED = "results/training/tiles.parquet"
SELECTED_AGAIN = {"list_tile_tables", "select"}
ONCE_AFTER_SELECTION, PER_SHARD = ("train", "controls", "report", "all"), ("segment", "measure")
TRAINED_AFTER_SELECTION = dict.fromkeys(ONCE_AFTER_SELECTION, 1) | dict.fromkeys(PER_SHARD, SHARDS)
"""What is left after the selection; the other tests here run it."""
MEASURED = {*(f"A{number}/a{number}" for number in range(1, 6)), "A9/0"}


@pytest.fixture
def census(repaired: Census, tmp_path: Path) -> Census:
    return repaired.copy_to(tmp_path / "run")


def retries(census: Census) -> dict[str, int]:
    """Return what `cacl status` says of changed, failed and retried images."""
    result = CliRunner().invoke(app, ["status", "--directory", str(census.folder), "--json"])
    assert result.exit_code == 0, result.output
    counts: dict[str, int] = json.loads(result.output)["retries"]
    return counts


def counts(
    stale: int, can_pass: int, for_good: int, retried: int, succeeded: int
) -> dict[str, int]:
    return {
        "stale": stale,
        "can_pass": can_pass,
        "for_good": for_good,
        "retried": retried,
        "succeeded": succeeded,
    }


REPEATED = ("acquire", "tile", "segment", "measure")
ONCE = ("list_tile_tables", "report")


def test_unchanged_damaged_image_is_tried_again_and_no_model_is_trained(
    damaged: Census, tmp_path: Path
) -> None:
    census = damaged.copy_to(tmp_path / "run")
    assert census.failed() == {DAMAGED, SMALL}
    assert set(census.measured()) == MEASURED
    assert retries(census) == counts(0, 1, 1, 0, 0)
    masks = census.folder / "results/segmented"
    before = {path.name: path.read_bytes() for path in masks.iterdir()}
    assert census.plan() == dict.fromkeys((*REPEATED, *ONCE, "all"), 1)
    # Snakemake compares small tables by content: after equal tiles no mask is written again.
    repeated = shard_jobs("A7", "acquire", "tile", "measure") | set(ONCE)
    assert census.run() == repeated
    assert census.run() == repeated
    assert census.failed() == {DAMAGED, SMALL}
    assert retries(census) == counts(0, 1, 1, 1, 0)
    assert {path.name: path.read_bytes() for path in masks.iterdir()} == before


def test_repaired_image_is_read(repaired: Census) -> None:
    assert repaired.last_run == shard_jobs("A7", "acquire", "tile") | TRAINED_AGAIN
    assert repaired.failed() == {SMALL}
    assert set(repaired.measured()) == MEASURED | {"A7/a7"}
    assert repaired.measured()["A7/a7"] == repaired.measured()["A3/a3"]
    assert repaired.plan() == {}
    assert retries(repaired) == counts(0, 0, 1, 2, 2)
    page = (repaired.folder / "results/report/report.html").read_text(encoding="utf-8")
    assert "images changed since they were read: 0; failed: 0 for a reason that can pass" in page


def test_image_that_is_replaced_under_its_name_is_read(census: Census) -> None:
    images = census.folder / "images"
    (images / "a1.jpg").write_bytes((images / "a2.jpg").read_bytes())
    assert retries(census)["stale"] == 1
    assert census.plan() == dict.fromkeys((*REPEATED, *ONCE, "all"), 1)
    assert census.run() == shard_jobs("A1", "acquire", "tile") | TRAINED_AGAIN
    assert census.measured()["A1/a1"] == census.measured()["A2/a2"]
    assert census.plan() == {}
    assert retries(census)["stale"] == 0


def test_newer_files_of_equal_content_run_nothing(census: Census) -> None:
    later = time.time() + 5
    for path in (*census.folder.glob("*.*"), *census.folder.glob("images/**/*")):
        os.utime(path, (later, later))
    assert census.plan() == {}


def test_line_added_to_a_gene_list_adds_the_gene(census: Census) -> None:
    with (census.folder / "genes.txt").open("a") as file:
        file.write("G6\n")
    assert (
        census.run(SELECTED) == {"catalog"} | shard_jobs("A6", "acquire", "tile") | SELECTED_AGAIN
    )
    assert census.plan() == TRAINED_AFTER_SELECTION
    tiles = sorted((census.folder / "results/tiles").glob("*.parquet"))
    assert "A6/a6" in set(tables.read_frame(tiles, TileStatRow)["image_id"])


def test_other_labels_train_again_and_read_no_image(census: Census) -> None:
    (census.folder / "labels.csv").write_text("image_id,label\nA5/a5,negative\n")
    assert census.run(SELECTED) == {"catalog", "select"}
    assert census.plan() == TRAINED_AFTER_SELECTION


def test_file_of_a_slide_that_the_manifest_does_not_name_is_part_of_it(census: Census) -> None:
    """The level that is read, 2 um per pixel, is in a file beside the named one."""
    other = read_rgb(census.folder / "images" / "a4.jpg")[:768:2, :768:2]
    area = census.measured()["A9/0"]
    slide = census.folder / "images" / "slide" / "1.dcm"
    write_dicom(slide, np.ascontiguousarray(other), series="1.2.3.9", level=1)
    assert census.run() == shard_jobs("A9", "acquire", "tile") | TRAINED_AGAIN
    assert census.measured()["A9/0"] != area
    assert census.plan() == {}


def test_image_that_failed_for_good_is_read_again_once_it_is_replaced(census: Census) -> None:
    assert census.plan() == {}
    images = census.folder / "images"
    (images / "a8.jpg").write_bytes((images / "a4.jpg").read_bytes())
    assert census.run() == shard_jobs("A8", "acquire", "tile") | TRAINED_AGAIN
    assert census.failed() == set()
    assert census.measured()["A8/a8"] == census.measured()["A4/a4"]
    assert census.plan() == {}
