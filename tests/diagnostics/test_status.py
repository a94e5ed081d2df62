"""`cacl status`: what is done, failed and left, from the files that steps leave."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from cacl import tables
from cacl.cli import app
from cacl.diagnostics.status import StepStatus, status_of
from cacl.errors import TableError
from cacl.tables.schemas import AcquiredRow, FailureRow, ImageRow, SegmentedRow
from tests.fixtures.model_atlas import image_row


def listed(folder: Path, shard: int, names: list[str]) -> list[ImageRow]:
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
    """Shard 0 of three images is being segmented; shard 1 of two is being acquired."""
    a, b, c = listed(tmp_path, 0, ["a", "b", "c"])
    (d, _) = listed(tmp_path, 1, ["d", "e"])
    results = tmp_path / "results"
    gone = replace(acquired(a), image_id="HPA000000/no-longer-listed")
    rows = [acquired(a), acquired(b), gone]
    tables.write_parquet(results / "acquired/0.parquet", rows, AcquiredRow)
    tables.write_csv(results / "failures/acquire/0.csv", [failed(c, "acquire")], FailureRow)
    tables.write_parquet(results / "tiles/0.parquet", [acquired(a)], AcquiredRow)
    tables.write_csv(results / "failures/tile/0.csv", [failed(b, "tile")], FailureRow)
    mask = results / "atlas.zarr" / a.image_id / "labels" / "stain"
    mask.mkdir(parents=True)
    (mask / "zarr.json").touch()
    receipt = tmp_path / "resources/images/1/d.json"
    receipt.parent.mkdir(parents=True)
    receipt.touch()
    assert d.image_id == "HPA000001/d"
    return tmp_path


def test_receipts_count_by_shard_and_step(run: Path) -> None:
    found = status_of(run)
    first, second = found.shards
    assert first.steps == {
        "acquire": StepStatus(done=2, failed=1, left=0),
        "tile": StepStatus(done=1, failed=2, left=0),
        "segment": StepStatus(done=1, failed=2, left=0),
        "measure": StepStatus(done=0, failed=2, left=1),
    }
    assert second.steps["acquire"] == StepStatus(done=1, failed=0, left=1)
    assert found.total("measure") == StepStatus(done=0, failed=2, left=3)
    assert str(found) == (
        "0 of 5 images measured, 2 failed, 3 left; model not trained yet, report not written yet"
    )


def test_a_step_made_good_is_no_failure(run: Path) -> None:
    rows = tables.read_parquet(run / "results/catalog/shards/0.parquet", ImageRow)
    path = run / "results/segmented/0.parquet"
    receipts = [SegmentedRow(image_id=r.image_id, antibody_id="", digest="") for r in rows]
    tables.write_parquet(path, receipts, SegmentedRow)
    assert status_of(run).shards[0].steps["segment"] == StepStatus(done=3, failed=0, left=0)


def test_the_command_prints_a_table_a_total_and_json(run: Path) -> None:
    shown = CliRunner().invoke(app, ["status", "--directory", str(run)])
    assert shown.exit_code == 0
    assert "2 / 1 / 0" in shown.output
    assert "0 of 5 images measured" in shown.output
    document = CliRunner().invoke(app, ["status", "--directory", str(run), "--json"])
    loaded = json.loads(document.output)
    assert loaded["total"]["acquire"] == {"done": 3, "failed": 1, "left": 1}
    assert [shard["images"] for shard in loaded["shards"]] == [3, 2]
    assert loaded["model"] is False


def test_failures_are_told_by_step_and_reason(run: Path) -> None:
    gene = FailureRow(
        image_id="ENSG00000000001", stage="catalog", reason="not_found", message="m", source="s"
    )
    tables.write_csv(run / "results/failures/catalog.csv", [gene], FailureRow)
    found = status_of(run)
    assert found.failures() == [
        ("catalog", "not_found", 1),
        ("acquire", "damaged", 1),
        ("tile", "damaged", 1),
    ]
    shown = CliRunner().invoke(app, ["status", "--directory", str(run)])
    assert "failed at catalog: 1 not found (results/failures/catalog.csv)" in shown.output
    assert "failed at tile: 1 damaged (results/failures/tile/*.csv)" in shown.output
    loaded = json.loads(
        CliRunner().invoke(app, ["status", "--directory", str(run), "--json"]).output
    )
    assert loaded["failures"][1] == {"step": "acquire", "reason": "damaged", "count": 1}


def test_a_training_that_was_stopped_says_how_far_it_came(run: Path) -> None:
    states = run / "results/model/states"
    for place, step in ((0, 54), (1, 20)):
        path = states / f"{place}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"a": np.zeros(1)}, path, {"facts": json.dumps({"step": step})})
        os.utime(path, ns=(place, place))
    assert "model not trained yet (saved: network 2 at step 20)" in str(status_of(run))
    (states / "1.safetensors").write_bytes(b"half of it")
    os.utime(states / "1.safetensors", ns=(1, 1))
    assert "model not trained yet, report" in str(status_of(run))


def test_before_the_catalog(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="nothing has begun; start `snakemake`"):
        status_of(tmp_path)


def test_a_damaged_receipt(run: Path) -> None:
    (run / "results/tiles/0.parquet").write_bytes(b"PAR1")
    with pytest.raises(TableError, match=r"0\.parquet cannot be read .* delete it and run again"):
        status_of(run)
