"""Step `controls`: known bands, tables, pictures, cores that cannot serve."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks._lib.untrained_model import write_untrained_model
from cacl import tables
from cacl.config import ControlsConfig, SegmentConfig
from cacl.controls import dab_threshold
from cacl.controls.candidates import Candidate
from cacl.controls.core import (
    MIN_BORDER_UM,
    ControlCore,
    PaintedCore,
    measure,
    painted_cores,
    read_core,
)
from cacl.image.apical_border import DEFAULT_MPP
from cacl.image.stain import DAB_OD, dab_density
from cacl.steps.controls import controls
from cacl.steps.parameters import ControlFiles
from cacl.tables.control_schemas import (
    MODEL,
    ControlCoreRow,
    ControlMeasureRow,
    ControlRow,
    LimitRow,
)
from cacl.tables.schemas import FailureRow, TileRow
from tests.fixtures.epithelium import facing_epithelia
from tests.fixtures.model_atlas import ModelAtlas

CONFIG = ControlsConfig(cores=3, doses_od=(0.2, 0.8))
PRODUCTS = ("cores", "measures", "controls", "limits")


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> ModelAtlas:
    """Five negative test antibodies, one of them without layers, and a model."""
    atlas = ModelAtlas(tmp_path_factory.mktemp("atlas"))
    rows = []
    for number in range(1, 6):
        image_id = f"HPA{number:06d}/{number}_A_7_2"
        rgb = facing_epithelia(layered=number != 5, seed=number)
        rows += [
            TileRow(
                image_id=image_id,
                antibody_id=image_id.split("/")[0],
                row=tile.row,
                col=tile.col,
                label="negative",
                split="test",
                selected=tile.tissue_fraction > 0.2,
                reason="",
            )
            for tile in atlas.add(image_id, rgb)
        ]
    tables.write_parquet(atlas.path("training.parquet"), rows, TileRow)
    write_untrained_model(atlas.path("model"))
    return atlas


def run(atlas: ModelAtlas, out: Path, config: ControlsConfig = CONFIG, threads: int = 1) -> Path:
    files = ControlFiles(
        tiles=atlas.path("training.parquet"),
        store=atlas.path("atlas.zarr"),
        model=atlas.path("model"),
    )
    segment = SegmentConfig()
    controls(files, out, out / "failures.csv", config, segment, seed=0, threads=threads)
    return out


def of_dose(
    atlas: ModelAtlas, dose: float, width_um: float = 3.0
) -> tuple[ControlCore, PaintedCore, PaintedCore]:
    candidate = Candidate("HPA000001/1_A_7_2", "HPA000001", tuple(
        (row, col) for row in range(16) for col in range(8) if col not in (3, 4)
    ))  # fmt: skip
    core = read_core(atlas.store, candidate, np.random.default_rng(0))
    unpainted, painted = painted_cores(core, [width_um], [dose], DAB_OD)
    return core, unpainted, painted


def test_painted_band_comes_back_as_painted(atlas: ModelAtlas) -> None:
    three_px = 3.0 * DEFAULT_MPP
    core, _, painted = of_dose(atlas, 0.8, three_px)
    found = dab_density(painted.rgb) > 0.4
    row = measure(painted, "threshold", found)
    assert row.overlap_px / row.painted_px > 0.97
    assert row.overlap_px / row.found_px > 0.97
    assert row.dice_sum / row.tiles > 0.97
    assert row.found_ratio == pytest.approx(row.painted_ratio, rel=0.05)
    painted_um2 = painted.true_mask.sum() * core.border.mpp**2
    assert painted_um2 == pytest.approx(three_px * core.painted_um, rel=0.15)


def test_dose_of_0_is_the_core_as_it_is(atlas: ModelAtlas) -> None:
    core, unpainted, painted = of_dose(atlas, 0.8)
    assert unpainted.dose_od == 0.0
    assert unpainted.rgb.tobytes() == core.rgb.tobytes()
    assert np.array_equal(unpainted.true_mask, painted.true_mask)


def test_dice_at_every_threshold_equals_that_of_the_masks(atlas: ModelAtlas) -> None:
    _, _, painted = of_dose(atlas, 0.4)
    by_level = dab_threshold.dice_by_level(painted)
    for level in (0, 3, 10, 20, 63):
        row = measure(painted, "x", dab_threshold.dab_mask_above(painted, level))
        assert by_level[level] == pytest.approx(row.dice_sum)


def test_tables_list_cores_bands_and_limits(atlas: ModelAtlas, tmp_path: Path) -> None:
    out = run(atlas, tmp_path)
    cores = tables.read_parquet(out / "cores.parquet", ControlCoreRow)
    assert sum(core.used for core in cores) == 3
    assert all(core.used == (core.border_um >= MIN_BORDER_UM) for core in cores)
    measures = tables.read_parquet(out / "measures.parquet", ControlMeasureRow)
    used = {core.image_id for core in cores if core.used}
    assert {(row.image_id, row.method, row.dose_od) for row in measures} == {
        (image, method, dose)
        for image in used
        for method in (MODEL, dab_threshold.METHOD)
        for dose in (0.0, 0.2, 0.8)
    }
    rows = tables.read_parquet(out / "controls.parquet", ControlRow)
    best = [row for row in rows if row.method == dab_threshold.METHOD]
    assert [row.dose_od for row in best] == [0.0, 0.2, 0.8]
    assert best[2].recall is not None
    assert best[2].recall > 0.9
    assert best[0].recall == 0.0
    assert 0.0 < (best[0].threshold or 0.0) < 0.8
    limits = tables.read_parquet(out / "limits.parquet", LimitRow)
    assert {row.method for row in limits} == {MODEL, dab_threshold.METHOD}
    pictures = sorted(out.glob("picture-*.jpg"))
    assert len(pictures) == 3
    picture = cv2.imread(str(pictures[0]))
    assert picture is not None
    assert picture.shape == (2 * 32 + 4, 3 * 32 + 2 * 4, 3)


def test_equal_seeds_give_equal_bytes_with_one_and_two_threads(
    atlas: ModelAtlas, tmp_path: Path
) -> None:
    first, second = run(atlas, tmp_path / "a"), run(atlas, tmp_path / "b", threads=2)
    for path in sorted(first.iterdir()):
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name


def test_core_without_apical_border_is_examined_and_not_painted(
    atlas: ModelAtlas, tmp_path: Path
) -> None:
    out = run(atlas, tmp_path, ControlsConfig(cores=24, doses_od=(0.8,)))
    rows = tables.read_parquet(out / "cores.parquet", ControlCoreRow)
    cores = {row.antibody_id: row for row in rows}
    assert len(cores) == 5
    assert not cores["HPA000005"].used
    assert cores["HPA000005"].note == (
        "less than 150 um of border between columnar epithelium and empty glass"
    )


def test_damaged_core_is_a_failure_and_the_others_are_painted(
    atlas: ModelAtlas, tmp_path: Path
) -> None:
    copy = ModelAtlas(tmp_path / "atlas")
    shutil.copytree(atlas.root, copy.root)
    shutil.rmtree(copy.store.path("HPA000002/2_A_7_2"))
    out = run(copy, tmp_path / "out", ControlsConfig(cores=24, doses_od=(0.8,)))
    failures = tables.read_csv(out / "failures.csv", FailureRow)
    assert failures["image_id"].tolist() == ["HPA000002/2_A_7_2"]
    assert failures["reason"].tolist() == ["damaged"]
    cores = tables.read_parquet(out / "cores.parquet", ControlCoreRow)
    assert sum(core.used for core in cores) == 3


@pytest.mark.parametrize("changes", [{"split": "train"}, {"label": "positive"}])
def test_without_unseen_negative_cores_the_tables_are_empty(
    atlas: ModelAtlas, tmp_path: Path, changes: dict[str, str]
) -> None:
    copy = ModelAtlas(tmp_path / "atlas")
    shutil.copytree(atlas.root, copy.root)
    rows = tables.read_parquet(copy.path("training.parquet"), TileRow)
    changed = [dataclasses.replace(row, **changes) for row in rows]
    tables.write_parquet(copy.path("training.parquet"), changed, TileRow)
    out = run(copy, tmp_path / "out")
    for name, record in zip(
        PRODUCTS, (ControlCoreRow, ControlMeasureRow, ControlRow, LimitRow), strict=True
    ):
        assert tables.read_parquet(out / f"{name}.parquet", record) == []


def test_pictures_of_an_earlier_run_are_removed(atlas: ModelAtlas, tmp_path: Path) -> None:
    run(atlas, tmp_path)
    run(atlas, tmp_path, ControlsConfig(cores=0))
    assert not list(tmp_path.glob("picture-*.jpg"))
    assert tables.read_parquet(tmp_path / "controls.parquet", ControlRow) == []
