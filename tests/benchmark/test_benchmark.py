"""The benchmark on a small data set with ground truth: table, sample of tiles, external sets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from cacl import tables
from cacl.benchmark import classifier
from cacl.benchmark.evaluation_set import (
    EXTERNAL_STORE,
    EXTERNAL_TILES,
    OWN_SET,
    EvaluationSet,
    EvaluationSource,
    read_evaluation_set,
    sample_balanced_tiles,
)
from cacl.benchmark.ground_truth import PhantomTruth, read_ground_truth
from cacl.benchmark.metrics import MIN_POSITIVE_PX
from cacl.cli import app
from cacl.config import LabelsConfig, PhantomConfig, SegmentConfig, TilesConfig, TrainConfig
from cacl.errors import ConfigError, TrainingError
from cacl.image.tile_grid import TileGrid
from cacl.runtime.compute import Compute
from cacl.steps.benchmark import benchmark
from cacl.steps.parameters import TrainedModels, TrainFiles
from cacl.steps.synthesise_external import synthesise_external
from cacl.steps.train import train
from cacl.store import Store
from cacl.tables.schemas import TileRow
from tests.fixtures.model_atlas import ModelAtlas

pytestmark = pytest.mark.slow


def test_ground_truth_is_downsampled_and_padded(tmp_path: Path) -> None:
    grid = TileGrid(6, 8, source_px=4, tile_px=2)
    truth = np.zeros((6, 8), np.uint8)
    truth[:2, :2] = 2
    truth[2:4, 2] = 2
    truth[4:, :] = 1
    (tmp_path / "A").mkdir()
    cv2.imwrite(str(tmp_path / "A" / "1.png"), truth)
    stained, cell = read_ground_truth(tmp_path, "A/1", grid)
    assert stained.shape == (grid.height, grid.width) == (4, 4)
    assert np.argwhere(stained).tolist() == [[0, 0]]
    assert cell[2].all()
    assert not cell[3].any()
    with pytest.raises(ConfigError, match=r"\(7, 8\).*found \(6, 8\) px"):
        read_ground_truth(tmp_path, "A/1", TileGrid(7, 8, source_px=4, tile_px=2))
    with pytest.raises(ConfigError, match="found no readable file"):
        read_ground_truth(tmp_path, "A/2", grid)


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> ModelAtlas:
    made = ModelAtlas(tmp_path_factory.mktemp("atlas")).build(antibodies=12)
    made.select()
    made.train(max_steps=120)
    return made


def source(atlas: ModelAtlas) -> EvaluationSource:
    tiles, store, truth = map(atlas.path, ("training.parquet", "atlas.zarr", "truth"))
    return EvaluationSource(OWN_SET, tiles, store, PhantomTruth(truth))


def read_set(atlas: ModelAtlas) -> EvaluationSet:
    return read_evaluation_set(source(atlas), seed=0)


def run(
    atlas: ModelAtlas,
    out: Path,
    *,
    evaluation: EvaluationSource | None = None,
    folders: dict[str, Path] | None = None,
) -> pd.DataFrame:
    sources = [evaluation or source(atlas)]
    models = TrainedModels(model=atlas.path("model"), **folders or {})
    benchmark(sources, models, out, SegmentConfig(radius_px=0), threads=1)
    return pd.read_csv(out / "table.csv").set_index(["evaluation_set", "method"])


def test_sample_is_balanced_over_labels_and_antibodies(atlas: ModelAtlas) -> None:
    images = read_set(atlas).images
    sample = sample_balanced_tiles(images, seed=1, max_tiles=12)
    areas = sample.ground_truth.sum(axis=(1, 2))
    assert (areas[:6] >= MIN_POSITIVE_PX).all()
    assert (areas[6:] == 0).all()
    assert len(areas) == 12
    antibodies = {image.antibody_id for image in images}
    positive = {image.antibody_id for image in images if image.ground_truth.any()}
    assert set(sample.antibody_ids[:6]) == positive
    assert set(sample.antibody_ids) == antibodies
    counts = np.unique(sample.antibody_ids[:6], return_counts=True)[1]
    assert counts.max() - counts.min() <= 1
    same_seed = sample_balanced_tiles(images, seed=1, max_tiles=12)
    other_seed = sample_balanced_tiles(images, seed=2, max_tiles=12)
    assert same_seed.positions == sample.positions != other_seed.positions
    index, window = sample.positions[0]
    cropped = sample.crop([image.ground_truth for image in images])
    assert np.array_equal(cropped, sample.ground_truth)
    assert np.array_equal(images[index].ground_truth[window], sample.ground_truth[0])


def test_rejects_evaluation_set_without_positive_tiles(atlas: ModelAtlas) -> None:
    negative = [image for image in read_set(atlas).images if not image.ground_truth.any()]
    with pytest.raises(TrainingError, match="test tiles is positive"):
        sample_balanced_tiles(negative, seed=0)


def test_table_ranks_cacl_above_the_baselines(atlas: ModelAtlas, tmp_path: Path) -> None:
    inputs = atlas.path("training.parquet"), atlas.path("atlas.zarr")
    config = TrainConfig(preset="paper", max_steps=1)
    files = TrainFiles(tiles=inputs[0], store=inputs[1])
    train(files, tmp_path / "paper", config, LabelsConfig(), compute=Compute(threads=1))
    classifier.train_classifier(*inputs, tmp_path / "classifier", steps=4, threads=1)
    folders = {"paper": tmp_path / "paper", "classifier": tmp_path / "classifier"}
    table = run(atlas, tmp_path / "one", folders=folders).loc[OWN_SET]
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
    deconvolution = table[table.index.str.startswith("colour")]
    for criterion, name in (("dice", "for Dice"), ("dice_positive", "on positive tiles")):
        oracle = deconvolution.loc[f"colour deconvolution, best {name}", criterion]
        assert oracle == pytest.approx(deconvolution[criterion].max(), abs=0.01)
    measured = [name for name in table.columns if f"{name}_low" in table.columns]
    assert len(measured) == 8
    assert (table["dice_low"] <= table["dice"]).all()
    values = table[measured]
    np.testing.assert_array_equal(values.loc["final method"], values.loc["CaCL teacher"])

    page = (tmp_path / "one" / "table.html").read_text()
    shown = [name for name in methods if "0 to 1" not in name and "best for Dice" not in name]
    assert page.count("<img") == 6 * (2 + len(shown) - 1)
    assert "http" not in page
    assert "Classifier, validation tiles" in page
    run(atlas, tmp_path / "two", folders=folders)
    for name in ("table.csv", "table.html", "antibodies.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_reports_missing_ground_truth_and_test_split(atlas: ModelAtlas, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs a ground truth mask"):
        run(
            atlas,
            tmp_path / "out",
            evaluation=replace(source(atlas), ground_truth=PhantomTruth(tmp_path)),
        )
    frame = tables.read_frame([atlas.path("training.parquet")], TileRow)
    few = tmp_path / "few.parquet"
    tables.write_parquet(few, frame[frame["split"] != "test"], TileRow)
    with pytest.raises(TrainingError, match="at least three antibodies"):
        run(atlas, tmp_path / "out", evaluation=replace(source(atlas), tiles=few))


def test_users_masks_make_the_table_of_their_images(atlas: ModelAtlas, tmp_path: Path) -> None:
    """The phantom's files without their cells, as the user's: equal scores; one image is left out.

    The true ratio alone differs, because the cells are those of the store.
    """
    images = read_set(atlas).images
    left_out = images[-1].image_id
    for image in images[:-1]:
        (tmp_path / "truth" / image.antibody_id).mkdir(parents=True)
        mask = 255 * image.ground_truth.astype(np.uint8)
        cv2.imwrite(str(tmp_path / "truth" / f"{image.image_id}.png"), mask)
    names = {
        "tiles": "training.parquet", "store": "atlas.zarr", "model": "model"
    }  # fmt: skip
    options = [f"--{option}={atlas.path(name)}" for option, name in names.items()]
    options += [f"--out={tmp_path / 'out'}", "--radius-px=0", "--threads=1"]
    result = CliRunner().invoke(app, ["benchmark", *options, f"--truth={tmp_path / 'truth'}"])
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    assert set(table["evaluation_set"]) == {OWN_SET}
    table = table.set_index("method")
    final = table.loc["CaCL teacher"]
    assert final["cores"] == final["antibodies"] == len(images) - 1
    assert final["dice_positive_low"] <= final["dice_positive"] <= final["dice_positive_high"]
    assert final["dice"] > 0.5
    assert table.loc["empty mask"]["dice"] == 0.5
    page = (tmp_path / "out" / "table.html").read_text()
    assert f"True masks: {len(images) - 1} of {len(images)} test images, 1 without a mask" in page
    assert left_out not in page

    result = CliRunner().invoke(app, ["benchmark", *options])
    assert result.exit_code == 1
    assert "The benchmark has no true masks; name the folder of your own" in result.output


def test_external_set_has_only_test_tiles_and_depends_on_the_seed(tmp_path: Path) -> None:
    phantom = PhantomConfig(setting="duodenum-a", antibodies=2, patients=1)
    for seed in (0, 1):
        synthesise_external(tmp_path / str(seed), phantom, TilesConfig(), seed=seed)
    images = read_evaluation_set(EvaluationSource.external(tmp_path / "0"), seed=0).images
    assert {image.antibody_id for image in images} == {"HPA900001", "HPA900002"}
    rows = tables.read_frame([tmp_path / "0" / EXTERNAL_TILES], TileRow)
    assert set(rows["split"]) == {"test"}
    assert len(rows) == 2 * 64
    assert int(rows["selected"].sum()) == sum(len(image.windows) for image in images)
    image_id = images[0].image_id
    other = Store(tmp_path / "1" / EXTERNAL_STORE)
    assert not np.array_equal(np.asarray(other.image(image_id)[:]), images[0].rgb)
