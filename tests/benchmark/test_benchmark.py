"""The table on a small set with known truth, its sample of tiles, and external test sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from cacl import tables
from cacl.benchmark import classifier
from cacl.benchmark.evaluation_set import balanced, read_atlas
from cacl.benchmark.external import STORE, TILES, TRUTH
from cacl.benchmark.ground_truth import read_truth
from cacl.benchmark.metrics import MIN_TRUTH_PX
from cacl.config import PhantomConfig, SegmentConfig, TilesConfig
from cacl.errors import ConfigError, TrainingError
from cacl.image.tile_grid import TileGrid
from cacl.model.training.train import train
from cacl.steps.benchmark import OWN_TEST_SPLIT, benchmark
from cacl.steps.parameters import EvaluationFiles, TrainedModels
from cacl.steps.synthesise_external import synthesise_external
from cacl.store import Store
from cacl.tables.schemas import TileRow
from tests.fixtures.model_atlas import ModelAtlas


def test_truth_is_averaged_and_padded(tmp_path: Path) -> None:
    grid = TileGrid(6, 8, source_px=4, tile_px=2)
    truth = np.zeros((6, 8), np.uint8)
    truth[:2, :2] = 2
    truth[2:4, 2] = 2
    truth[4:, :] = 1
    (tmp_path / "A").mkdir()
    cv2.imwrite(str(tmp_path / "A" / "1.png"), truth)
    stained, cell = read_truth(tmp_path, "A/1", grid)
    assert stained.shape == (grid.height, grid.width) == (4, 4)
    assert np.argwhere(stained).tolist() == [[0, 0]]
    assert cell[2].all()
    assert not cell[3].any()
    with pytest.raises(ConfigError, match=r"\(7, 8\).*found \(6, 8\) px"):
        read_truth(tmp_path, "A/1", TileGrid(7, 8, source_px=4, tile_px=2))
    with pytest.raises(ConfigError, match="found nothing that can be read"):
        read_truth(tmp_path, "A/2", grid)


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> ModelAtlas:
    made = ModelAtlas(tmp_path_factory.mktemp("atlas")).build(antibodies=12)
    made.select()
    made.train(max_steps=120)
    return made


def places(atlas: ModelAtlas) -> dict[str, Path]:
    names = {"tiles": "training.parquet", "store": "atlas.zarr", "truth": "truth"}
    return {key: atlas.path(name) for key, name in names.items()}


def run(atlas: ModelAtlas, out: Path, **changes: object) -> pd.DataFrame:
    given: dict[str, Any] = places(atlas) | changes
    files = EvaluationFiles(**{name: given.pop(name) for name in places(atlas)})
    models = TrainedModels(model=atlas.path("model"), **given)
    benchmark(files, models, out, SegmentConfig(morphology="none", radius_px=0), threads=1)
    return pd.read_csv(out / "table.csv").set_index(["atlas", "method"])


def test_the_sample_is_balanced_over_classes_and_antibodies(atlas: ModelAtlas) -> None:
    read = read_atlas("own", **places(atlas), seed=0)
    few = balanced(read.cores, seed=1, most=12)
    areas = few.truth.sum(axis=(1, 2))
    assert (areas[:6] >= MIN_TRUTH_PX).all()
    assert (areas[6:] == 0).all()
    assert len(areas) == 12
    antibodies = {core.antibody_id for core in read.cores}
    positive = {core.antibody_id for core in read.cores if core.truth.any()}
    assert set(few.antibody[:6]) == positive
    assert set(few.antibody) == antibodies
    counts = np.unique(few.antibody[:6], return_counts=True)[1]
    assert counts.max() - counts.min() <= 1
    again, other = balanced(read.cores, seed=1, most=12), balanced(read.cores, seed=2, most=12)
    assert again.places == few.places != other.places
    number, window = few.places[0]
    assert np.array_equal(few.cut([core.truth for core in read.cores]), few.truth)
    assert np.array_equal(read.cores[number].truth[window], few.truth[0])


def test_atlases_without_one_of_the_two_kinds_are_refused(atlas: ModelAtlas) -> None:
    cores = read_atlas("own", **places(atlas), seed=0).cores
    with pytest.raises(TrainingError, match="test tiles holds the pattern"):
        balanced([core for core in cores if not core.truth.any()], seed=0)


def test_the_table_ranks_cacl_above_its_baselines(atlas: ModelAtlas, tmp_path: Path) -> None:
    given = atlas.path("training.parquet"), atlas.path("atlas.zarr")
    train(*given, tmp_path / "paper", preset="paper", max_steps=1, threads=1)
    classifier.train_classifier(*given, tmp_path / "classifier", steps=4, threads=1)
    others = {"paper": tmp_path / "paper", "classifier": tmp_path / "classifier"}
    table = run(atlas, tmp_path / "one", **others).loc[OWN_TEST_SPLIT]
    methods = list(table.index)
    assert len(methods) == 1 + 4 + 12 + 4 + 1
    assert table["tiles"].nunique() == table["cores"].nunique() == 1

    empty, plain = table.loc["empty mask"], table.loc["CaCL teacher"]
    assert empty["dice"] == empty["recall"] == empty["precision"] == 0.5
    assert empty["dice_positive"] == empty["negative_percent"] == empty["boundary_f1"] == 0.0
    baselines = table[~table.index.str.startswith(("CaCL", "final"))]
    assert plain["dice_positive"] > 0.6
    assert plain["dice"] > baselines["dice"].max()
    assert plain["ccc"] > 0.7
    best = table[table.index.str.startswith("colour")]
    for criterion, name in (("dice", "for Dice"), ("dice_positive", "on positive tiles")):
        chosen = best.loc[f"colour deconvolution, best {name}", criterion]
        assert chosen == pytest.approx(best[criterion].max(), abs=0.01)
    measured = [name for name in table.columns if f"{name}_low" in table.columns]
    assert len(measured) == 8
    assert (table["dice_low"] <= table["dice"]).all()
    assert table.loc["final method", measured].equals(plain[measured].rename("final method"))

    page = (tmp_path / "one" / "table.html").read_text()
    shown = [name for name in methods if "0 to 1" not in name and "best for Dice" not in name]
    assert page.count("<img") == 6 * (2 + len(shown) - 1)
    assert "http" not in page
    assert "Classifier, validation tiles" in page
    run(atlas, tmp_path / "two", **others)
    for name in ("table.csv", "table.html", "antibodies.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_what_is_missing_is_named(atlas: ModelAtlas, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs a truth mask"):
        run(atlas, tmp_path / "out", truth=tmp_path)
    frame = tables.read_frame([atlas.path("training.parquet")], TileRow)
    few = tmp_path / "few.parquet"
    tables.write_parquet(few, frame[frame["split"] != "test"], TileRow)
    with pytest.raises(TrainingError, match="at least three antibodies"):
        run(atlas, tmp_path / "out", tiles=few)


def test_external_set_is_all_test_split_and_depends_on_the_seed(tmp_path: Path) -> None:
    phantom = PhantomConfig(setting="duodenum-a", antibodies=2, patients=1)
    for seed in (0, 1):
        synthesise_external(tmp_path / str(seed), phantom, TilesConfig(), seed=seed)
    first = tmp_path / "0"
    cores = read_atlas("a", first / TILES, first / STORE, first / TRUTH, seed=0).cores
    assert {core.antibody_id for core in cores} == {"HPA900001", "HPA900002"}
    rows = tables.read_frame([tmp_path / "0" / TILES], TileRow)
    assert set(rows["split"]) == {"test"}
    assert len(rows) == 2 * 64
    assert int(rows["kept"].sum()) == sum(len(core.windows) for core in cores)
    name = cores[0].image_id
    other = Store(tmp_path / "1" / STORE)
    assert not np.array_equal(np.asarray(other.image(name)[:]), cores[0].rgb)
