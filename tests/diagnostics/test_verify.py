"""`cacl verify` finds what is bad, `cacl compare` what differs, on a small run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks._lib.small_run import write_small_run
from benchmarks.reliability.bit_flips import KINDS, count_flips, save_training
from cacl import tables
from cacl.cli import app
from cacl.config import SegmentConfig
from cacl.diagnostics.compare import compare
from cacl.diagnostics.verify import verify
from cacl.errors import TableError
from cacl.store import Store
from cacl.tables.schemas import AcquiredRow, SegmentedRow

pytestmark = pytest.mark.slow

CHECKED = {
    "image": 6,
    "table": 25,
    "list": 14,
    "store": 1,
    "image in the store": 6,
    "model file": 2,
    "report file": 71,
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = write_small_run(tmp_path_factory.mktemp("run"))
    save_training(results)
    return results


@pytest.fixture
def results(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished.parent, tmp_path / "run")
    return tmp_path / "run" / "results"


def first_bad(results: Path) -> dict[str, tuple[int, str]]:
    return {found.kind: (found.bad, found.first) for found in verify(results, 2) if found.bad}


def test_finished_run_is_good(finished: Path) -> None:
    assert {found.kind: found.checked for found in verify(finished, 2)} == CHECKED
    result = CliRunner().invoke(app, ["verify", str(finished), "--json"])
    assert result.exit_code == 0
    assert [kind["bad"] for kind in json.loads(result.output)] == [0] * len(CHECKED)


def test_command_names_the_first_bad_of_each_kind_and_exits_with_1(results: Path) -> None:
    image = next((results.parent / "resources/images").rglob("*.jpg"))
    data = bytearray(image.read_bytes())
    data[len(data) // 2] ^= 1
    image.write_bytes(data)
    page = results / "report" / "report.html"
    page.write_text(page.read_text() + " ")
    result = CliRunner().invoke(app, ["verify", str(results)])
    assert result.exit_code == 1
    text = result.output.replace("\n", " ")
    assert f"First bad image: {image} has changed since it was acquired" in text
    assert "run `cacl acquire` again (`snakemake --forcerun acquire`)" in text
    assert f"First bad report file: {page} has changed" in text
    assert "2 of 125 are bad" in text


@pytest.mark.parametrize("kind", KINDS)
def test_each_of_100_flipped_bits_is_found_or_harmless(results: Path, kind: str) -> None:
    [row] = count_flips(results, 100, kinds=[kind])
    assert row.files >= 1
    assert (row.found + row.harmless, row.missed) == (100, 0)
    if not kind.startswith("chunks"):
        assert row.found == 100


@pytest.mark.parametrize(
    ("name", "kind", "sentence"),
    [
        ("resources/images/*/*_A_7_2.jpg", "image", "describes a file that is missing"),
        ("resources/images/*/*_A_7_2.json", "image", "is missing or damaged, the record of"),
        ("results/atlas.zarr/HPA900001/*/0/c/0/0/0", "image in the store", "has missing data"),
        ("results/model/checkpoint.safetensors", "model file", "is missing"),
        ("results/failures/tile/0.csv.sha256", "list", "has no recorded digest"),
        ("results/report/SHA256SUMS", "report file", "SHA256SUMS is missing"),
        ("results/report/genes.csv", "report file", "genes.csv is missing"),
    ],
)
def test_missing_files_are_found(results: Path, name: str, kind: str, sentence: str) -> None:
    paths = sorted(results.parent.glob(name))
    assert paths, sorted(map(str, results.parent.glob("resources/images/*/*")))
    paths[0].unlink()
    bad = first_bad(results)
    assert list(bad) == [kind]
    assert sentence in bad[kind][1]


def test_tables_and_store_that_do_not_belong_together_are_found(results: Path) -> None:
    path = results / "segmented" / "0.parquet"
    rows = tables.read_parquet(path, SegmentedRow)
    others = [SegmentedRow(**(vars(row) | {"digest": "f" * 64})) for row in rows]
    tables.write_parquet(path, others, SegmentedRow, tables.read_made_with(path))
    bad = first_bad(results)
    assert [(kind, count) for kind, (count, _) in bad.items()] == [("image in the store", 6)]
    assert "another digest of the mask stain" in bad["image in the store"][1]


def test_masks_of_another_model_are_found(results: Path) -> None:
    path = results / "segmented" / "0.parquet"
    made_with = tables.read_made_with(path)
    made_with["parameters"]["model"] = "0" * 64
    tables.write_parquet(path, tables.read_parquet(path, SegmentedRow), SegmentedRow, made_with)
    assert "are of the model 000000000000, but" in first_bad(results)["table"][1]


def test_csv_that_differs_from_its_parquet_twin_is_found(results: Path) -> None:
    path = results / "report" / "antibodies.csv"
    path.write_text(path.read_text().replace("HPA9", "HPA8"))
    tables.write_sums(results / "report")
    bad = first_bad(results)
    assert bad["report file"][0] == 1
    assert "antibodies.csv and its Parquet twin differ" in bad["report file"][1]


def test_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="has no results; name the folder"):
        verify(tmp_path)
    assert CliRunner().invoke(app, ["compare", str(tmp_path), str(tmp_path)]).exit_code == 2


def test_equal_runs_are_equal(finished: Path, results: Path) -> None:
    assert all(topic.is_equal for topic in compare(finished, results, 2))
    result = CliRunner().invoke(app, ["compare", str(finished), str(results)])
    assert result.exit_code == 0
    assert "masks: equal" in result.output


def test_other_parameters_are_the_reason_of_other_masks(finished: Path, tmp_path: Path) -> None:
    other = write_small_run(
        tmp_path, morphology=SegmentConfig(morphology="dilation", radius_px=2), steps=3
    )
    topics = {topic.name: topic.differences for topic in compare(finished, other, 2)}
    assert topics["images"] == topics["labels"] == topics["software"] == ()
    assert "segment: morphology: none -> dilation" in topics["parameters"]
    assert "segment: radius_px: 1 -> 2" in topics["parameters"]
    assert "steps: 2 -> 3" in topics["model"]
    result = CliRunner().invoke(app, ["compare", str(finished), str(other)])
    assert result.exit_code == 1


def test_other_images_rows_and_masks_are_counted(finished: Path, results: Path) -> None:
    path = results / "acquired" / "0.parquet"
    rows = tables.read_parquet(path, AcquiredRow)
    changed = AcquiredRow(**(vars(rows[0]) | {"sha256": "0" * 64}))
    tables.write_parquet(path, [changed, *rows[2:]], AcquiredRow, tables.read_made_with(path))
    store = Store(results / "atlas.zarr")
    mask = np.asarray(store.label(rows[2].image_id, "stain"))
    digest = store.label_digest(rows[2].image_id, "stain")
    attributes = store.label_attrs(rows[2].image_id, "stain")
    mask[:64] ^= 1
    store.write_labels(
        rows[2].image_id,
        {"stain": mask},
        str(digest),
        lambda: {name: attributes[name] for name in ("confidence", "ratio_sd")},
    )
    topics = {topic.name: topic.differences for topic in compare(finished, results, 2)}
    assert topics["images"] == (
        f"1 image only in the first run: {rows[1].image_id}",
        f"1 image changed: {rows[0].image_id}",
    )
    share = 100 * 64 / len(mask)
    assert topics["masks"] == (
        f"1 of 12 masks differ; the most, {share:.3g} % of the pixels, in {rows[2].image_id}",
    )
