"""`cacl status`: images done, failed and left, from the files that steps write."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cacl import tables
from cacl.cli import app
from cacl.diagnostics.status import StepStatus, read_status
from cacl.errors import TableError
from cacl.model.checkpoint import write_tensors
from cacl.tables.schemas import AcquiredRow, FailureRow, ImageRow, SegmentedRow
from tests.fixtures.model_atlas import image_row


def write_list(folder: Path, shard: int, names: list[str]) -> list[ImageRow]:
    rows = [
        replace(
            image_row(f"HPA{shard:06d}/{name}", ""),
            url=f"https://images.proteinatlas.org/{shard}/{name}.jpg",
        )
        for name in names
    ]
    tables.write_parquet(folder / f"results/catalog/shards/{shard}.parquet", rows, ImageRow)
    return rows


def acquired(row: ImageRow) -> AcquiredRow:
    return AcquiredRow(
        image_id=row.image_id,
        antibody_id=row.antibody_id,
        path="",
        sha256="",
        size_bytes=1,
        mpp=None,
    )


def failed(row: ImageRow, stage: str) -> FailureRow:
    return FailureRow(image_id=row.image_id, stage=stage, reason="damaged", message="m", source="s")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Shard 0 with three images is being segmented, shard 1 with two images acquired."""
    a, b, c = write_list(tmp_path, 0, ["a", "b", "c"])
    (d, _) = write_list(tmp_path, 1, ["d", "e"])
    results = tmp_path / "results"
    unlisted = replace(acquired(a), image_id="HPA000000/no-longer-listed")
    rows = [acquired(a), acquired(b), unlisted]
    tables.write_parquet(results / "acquired/0.parquet", rows, AcquiredRow)
    tables.write_csv(results / "failures/acquire/0.csv", [failed(c, "acquire")], FailureRow)
    tables.write_parquet(results / "tiles/0.parquet", [acquired(a)], AcquiredRow)
    tables.write_csv(results / "failures/tile/0.csv", [failed(b, "tile")], FailureRow)
    mask = results / "atlas.zarr" / a.image_id / "labels" / "stain"
    mask.mkdir(parents=True)
    (mask / "zarr.json").touch()
    provenance = tmp_path / "resources/images/1/d.json"
    provenance.parent.mkdir(parents=True)
    provenance.touch()
    assert d.image_id == "HPA000001/d"
    return tmp_path


def test_counts_images_by_shard_and_step(run: Path) -> None:
    status = read_status(run)
    first, second = status.shards
    assert first.steps == {
        "acquire": StepStatus(done=2, failed=1, left=0),
        "tile": StepStatus(done=1, failed=2, left=0),
        "segment": StepStatus(done=1, failed=2, left=0),
        "measure": StepStatus(done=0, failed=2, left=1),
    }
    assert second.steps["acquire"] == StepStatus(done=1, failed=0, left=1)
    assert status.total("measure") == StepStatus(done=0, failed=2, left=3)
    assert str(status) == (
        "0 of 5 images measured, 2 failed, 3 left; model not trained yet, report not written yet"
    )


def test_image_done_later_is_no_failure(run: Path) -> None:
    rows = tables.read_parquet(run / "results/catalog/shards/0.parquet", ImageRow)
    path = run / "results/segmented/0.parquet"
    segmented = [SegmentedRow(image_id=r.image_id, antibody_id="", digest="") for r in rows]
    tables.write_parquet(path, segmented, SegmentedRow)
    assert read_status(run).shards[0].steps["segment"] == StepStatus(done=3, failed=0, left=0)


def test_command_prints_table_total_and_json(run: Path) -> None:
    result = CliRunner().invoke(app, ["status", "--directory", str(run)])
    assert result.exit_code == 0
    assert "2 / 1 / 0" in result.output
    assert "0 of 5 images measured" in result.output
    document = CliRunner().invoke(app, ["status", "--directory", str(run), "--json"])
    loaded = json.loads(document.output)
    assert loaded["total"]["acquire"] == {"done": 3, "failed": 1, "left": 1}
    assert [shard["images"] for shard in loaded["shards"]] == [3, 2]
    assert loaded["model"] is False


def test_counts_failures_by_step_and_reason(run: Path) -> None:
    gene = FailureRow(
        image_id="ENSG00000000001", stage="catalog", reason="not_found", message="m", source="s"
    )
    tables.write_csv(run / "results/failures/catalog.csv", [gene], FailureRow)
    assert read_status(run).count_failures() == [
        ("catalog", "not_found", 1),
        ("acquire", "damaged", 1),
        ("tile", "damaged", 1),
    ]
    result = CliRunner().invoke(app, ["status", "--directory", str(run)])
    assert "failed at catalog: 1 not found (results/failures/catalog.csv)" in result.output
    assert "failed at tile: 1 damaged (results/failures/tile/*.csv)" in result.output
    loaded = json.loads(
        CliRunner().invoke(app, ["status", "--directory", str(run), "--json"]).output
    )
    assert loaded["failures"][1] == {"step": "acquire", "reason": "damaged", "count": 1}


def test_reports_last_saved_step_of_unfinished_training(run: Path) -> None:
    states = run / "results/model/states"
    for index, step in ((0, 54), (1, 20)):
        path = states / f"{index}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(path, {}, {"progress": json.dumps({"step": step}), "fingerprint": "f"})
        os.utime(path, ns=(index, index))
    assert "model not trained yet (saved: network 2 at step 20)" in str(read_status(run))
    (states / "1.safetensors").write_bytes(b"half of it")
    os.utime(states / "1.safetensors", ns=(1, 1))
    assert "model not trained yet, report" in str(read_status(run))


def test_rejects_folder_without_catalog(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="the run has not started; start `cacl run`"):
        read_status(tmp_path)


def test_rejects_damaged_table(run: Path) -> None:
    (run / "results/tiles/0.parquet").write_bytes(b"PAR1")
    with pytest.raises(TableError, match=r"0\.parquet cannot be read .*; delete it, and run"):
        read_status(run)
