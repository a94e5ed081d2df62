"""Metrics on numbers worked out by hand, and the table on a small atlas with known truth."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from model_atlas import ModelAtlas

from cacl import tables
from cacl.benchmark import deconvolution
from cacl.benchmark.metrics import agreement, concordance, dice
from cacl.benchmark.table import benchmark
from cacl.benchmark.truth import read_truth
from cacl.errors import ConfigError, TrainingError
from cacl.grid import TileGrid
from cacl.records import MeasureRow, TileRow

EMPTY = np.zeros((2, 5), dtype=bool)


def bits(*rows: str) -> np.ndarray:
    return np.array([[letter == "x" for letter in row] for row in rows])


def test_agreement_by_hand() -> None:
    found = agreement(bits("xxx..", "....."), bits("xx...", "xx..."))
    assert found.dice == pytest.approx(2 * 2 / (3 + 4))
    assert found.recall == pytest.approx(2 / 4)
    assert found.precision == pytest.approx(2 / 3)
    assert found.bce == pytest.approx(100 * 3 / 10)


def test_a_tile_without_truth_is_all_or_nothing() -> None:
    right = agreement(EMPTY, EMPTY)
    assert (right.dice, right.recall, right.precision, right.bce) == (1.0, 1.0, 1.0, 0.0)
    wrong = agreement(bits("x....", "....."), EMPTY)
    assert (wrong.dice, wrong.recall, wrong.precision) == (0.0, 0.0, 0.0)
    assert wrong.bce == pytest.approx(10.0)


def test_an_empty_mask_of_a_positive_tile_scores_nothing() -> None:
    found = agreement(EMPTY, bits("xx...", "....."))
    assert (found.dice, found.recall, found.precision) == (0.0, 0.0, 0.0)
    assert dice(EMPTY, EMPTY) == 1.0


def test_concordance_by_hand() -> None:
    found, wanted = np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0])
    assert concordance(found, wanted) == pytest.approx(2 * (2 / 3) / (2 / 3 + 2 / 3 + 1))
    assert concordance(wanted, wanted) == pytest.approx(1.0)
    assert concordance(-found, found) < 0
    assert concordance(np.array([0.5]), np.array([0.5])) == 1.0


def test_the_best_threshold_is_the_lowest_of_the_best() -> None:
    assert deconvolution.best(lambda at: -abs(at - 0.31), (0.1, 0.3, 0.5)) == 0.3
    assert deconvolution.best(lambda _: 1.0, (0.3, 0.1)) == 0.1


def test_otsu_separates_two_levels() -> None:
    density = np.where(np.arange(100).reshape(10, 10) < 30, 0.9, 0.1).astype(np.float32)
    cell = np.ones((10, 10), dtype=bool)
    assert 0.1 <= deconvolution.otsu_od(density, cell) < 0.9
    assert deconvolution.otsu_od(density, ~cell) == deconvolution.FIXED_OD


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
    made.segment(morphology="dilation", radius_px=1)
    tiles = tables.read_frame([made.path("training.parquet")], TileRow)
    rows = [measured(str(image)) for image in sorted(set(tiles["image_id"]))]
    tables.write_parquet(made.path("census.parquet"), rows, MeasureRow)
    return made


def measured(image_id: str) -> MeasureRow:
    text = dict.fromkeys(
        ("ensembl_id", "gene", "tissue", "patient_id", "label", "hpa_staining", "hpa_intensity"), ""
    ) | dict.fromkeys(("hpa_quantity", "hpa_location", "qc"), "")
    return MeasureRow(
        image_id=image_id,
        antibody_id=image_id.split("/")[0],
        tiles=16,
        cell_area_px=1,
        stained_area_px=0,
        stained_to_cell_ratio=None,
        ratio_low=None,
        ratio_high=None,
        dab_area_px=0,
        border_share=None,
        **text,
    )


def run(atlas: ModelAtlas, out: Path, **changes: Path) -> None:
    paths = {
        "tiles": atlas.path("training.parquet"),
        "store": atlas.path("atlas.zarr"),
        "model": atlas.path("model"),
        "truth": atlas.path("truth"),
    } | changes
    benchmark(**paths, census=[atlas.path("census.parquet")], out=out)


def test_the_table_ranks_cacl_above_its_baseline(atlas: ModelAtlas, tmp_path: Path) -> None:
    run(atlas, tmp_path / "one")
    table = pd.read_csv(tmp_path / "one" / "table.csv").set_index("method")
    plain = table.loc["CaCL robust"]
    baseline = table[table.index.str.startswith("colour")]
    assert len(baseline) == 4
    assert plain["dice_positive"] > 0.6
    assert plain["dice"] > baseline["dice"].max()
    assert plain["ccc"] > 0.7
    assert "CaCL robust, dilated by 1 px" in table.index
    assert table["tiles"].nunique() == 1
    best = table.index[table.index.str.contains("best on positive")][0]
    assert table.loc[best, "dice_positive"] == baseline["dice_positive"].max()
    page = (tmp_path / "one" / "table.html").read_text()
    assert page.count("<img") == 9 * 8
    assert "http" not in page
    run(atlas, tmp_path / "two")
    for name in ("table.csv", "table.html"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_what_is_missing_is_named(atlas: ModelAtlas, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs a truth mask"):
        run(atlas, tmp_path / "out", truth=tmp_path)
    frame = tables.read_frame([atlas.path("training.parquet")], TileRow)
    few = tmp_path / "few.parquet"
    tables.write_parquet(few, frame[frame["split"] != "test"], TileRow)
    with pytest.raises(TrainingError, match="at least three antibodies"):
        run(atlas, tmp_path / "out", tiles=few)
