"""Masks in the store: what they hit, when they are made again, and what becomes of bad input."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cacl import tables
from cacl.errors import CheckpointError, ConfigError, StrictError
from cacl.model.checkpoint import load_model
from cacl.model.config import TEACHER
from cacl.model.inference import morphology
from cacl.model.inference.masks import Thresholds, block_mask
from cacl.model.inference.uncertainty import CELL_BIT
from cacl.steps import segment as step
from cacl.tables.schemas import SegmentedRow, TileStatRow
from tests.fixtures.model_atlas import ModelAtlas, draw

POSITIVE, NEGATIVE = "HPA000003/3_A_7_2", "HPA000004/4_A_7_2"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> ModelAtlas:
    atlas = ModelAtlas(tmp_path_factory.mktemp("atlas")).build(antibodies=8)
    atlas.select()
    atlas.train(max_steps=120)
    return atlas


@pytest.fixture
def atlas(trained: ModelAtlas, tmp_path: Path) -> ModelAtlas:
    shutil.copytree(trained.root, tmp_path / "atlas")
    return ModelAtlas(tmp_path / "atlas")


def failures(atlas: ModelAtlas) -> pd.DataFrame:
    return pd.read_csv(atlas.path("failures.csv"), keep_default_na=False)


def test_masks_find_the_stained_rim_and_spare_the_negative(atlas: ModelAtlas) -> None:
    atlas.segment()
    found = np.asarray(atlas.store.label(POSITIVE, "stain")[:]) > 0
    truth = draw(30, positive=True)[1] == 2
    both = (found & truth).sum()
    assert 2 * both / (found.sum() + truth.sum()) > 0.6
    negative = np.asarray(atlas.store.label(NEGATIVE, "stain")[:])
    assert negative.mean() < 0.01
    receipts = tables.read_parquet(atlas.path("segmented.parquet"), SegmentedRow)
    assert len(receipts) == 8
    of = {row.image_id: row for row in receipts}
    assert 0.5 < of[POSITIVE].confidence <= 1.0
    assert 0.0 <= of[POSITIVE].ratio_sd < 0.05
    assert receipts[0].digest == atlas.store.label_digest(receipts[0].image_id, "stain")
    assert failures(atlas).empty


def test_an_equal_mask_is_not_made_again(atlas: ModelAtlas) -> None:
    atlas.segment()
    marker = atlas.store.path(POSITIVE) / "labels" / "stain" / "zarr.json"
    before = marker.stat().st_mtime_ns
    receipts = atlas.path("segmented.parquet")
    said = receipts.read_bytes()
    receipts.unlink()
    atlas.segment()
    assert marker.stat().st_mtime_ns == before
    assert receipts.read_bytes() == said
    atlas.segment(morphology="dilation", radius_px=1)
    assert marker.stat().st_mtime_ns != before


def test_dilation_grows_a_mask(atlas: ModelAtlas) -> None:
    atlas.segment()
    plain = np.asarray(atlas.store.label(POSITIVE, "stain")[:]) > 0
    atlas.segment(morphology="dilation", radius_px=2)
    grown = np.asarray(atlas.store.label(POSITIVE, "stain")[:]) > 0
    assert grown[plain].all()
    assert np.array_equal(grown, morphology.apply(plain, "dilation", 2))


def test_blocks_give_the_same_mask_as_the_whole(
    atlas: ModelAtlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, meta = load_model(atlas.path("model")), atlas.store.meta(POSITIVE)
    (whole,) = map(np.asarray, step.image_masks(atlas.store, meta, model, "none", 0))
    monkeypatch.setattr(step, "BLOCK_PX", 64)
    (blocks,) = step.image_masks(atlas.store, meta, model, "none", 0)
    assert blocks.numblocks == (2, 2)
    assert whole.any()
    assert np.array_equal(np.asarray(blocks), whole)


def test_a_size_that_is_no_multiple_of_four_is_scored(trained: ModelAtlas) -> None:
    model = load_model(trained.path("model"))
    rgb = draw(1, positive=True)[0][:, :70, :61]
    layers = np.concatenate([rgb, np.ones((2, 70, 61), np.uint8)])
    bits = step.block_bits(layers, model=model, morphology="none", radius_px=0)
    assert bits.shape == (70, 61)
    assert set(np.unique(bits & 1)) == {0, 1}
    assert (bits >> CELL_BIT & 1).all()


@pytest.mark.parametrize(
    ("tiles", "sides"),
    [(8, [8]), (3, [3]), (10, [5, 5]), (16, [8, 8]), (17, [8, 5, 4]), (31, [8, 8, 8, 7])],
)
def test_blocks_are_of_about_the_size_of_a_core(tiles: int, sides: list[int]) -> None:
    assert step.block_sides(tiles * 128, 128) == tuple(128 * side for side in sides)


def test_where_too_few_cells_are_sure_there_is_no_mask() -> None:
    scores = np.full((40, 40), -9.0, np.float32)
    scores[4:14, 4:14] = 0.0
    scores[8, 8] = 3.0
    limits = Thresholds(likely=-1.0, sure=1.0, rim=1.0, least=0.01)
    post = replace(TEACHER.post, min_core_fraction=None)
    inner, preset = np.ones(scores.shape, bool), replace(TEACHER, post=post)
    assert block_mask(scores, inner, 100, limits, preset).sum() == 100
    assert not block_mask(scores, inner, 101, limits, preset).any()
    assert block_mask(scores, inner, 10**9, replace(limits, least=0.0), preset).sum() == 100
    inner[:9] = False
    assert not block_mask(scores, inner, 100, limits, preset).any()
    scores[12, 12] = 3.0
    assert block_mask(scores, inner, 100, limits, preset).sum() == 100


def test_on_a_rim_a_part_must_be_surer() -> None:
    scores = np.full((40, 40), -9.0, np.float32)
    scores[4:14, 4:14] = 3.0
    limits = Thresholds(likely=-1.0, sure=1.0, rim=4.0, least=0.0)
    inner = np.zeros(scores.shape, bool)
    assert not block_mask(scores, inner, 100, limits, TEACHER).any()
    assert block_mask(scores + 2.0, inner, 100, limits, TEACHER).sum() == 100
    gated = replace(limits, least=0.01)
    assert not block_mask(scores + 2.0, inner, 100, gated, TEACHER).any()
    inner[13] = True
    assert block_mask(scores + 2.0, inner, 100, gated, TEACHER).sum() == 100


def test_an_image_that_is_not_in_the_store_is_a_row(atlas: ModelAtlas) -> None:
    shutil.rmtree(atlas.store.path(POSITIVE))
    atlas.segment()
    row = failures(atlas).iloc[0]
    assert (row["image_id"], row["reason"]) == (POSITIVE, "not_found")
    assert len(tables.read_parquet(atlas.path("segmented.parquet"), SegmentedRow)) == 7
    with pytest.raises(StrictError):
        atlas.segment(strict=True)


def test_tiles_other_than_those_listed_are_a_row(atlas: ModelAtlas) -> None:
    rows = tables.read_frame([atlas.path("tiles.parquet")], TileStatRow)
    rows.loc[rows["image_id"] == POSITIVE, "digest"] = "older"
    tables.write_parquet(atlas.path("tiles.parquet"), rows, TileStatRow)
    atlas.segment()
    row = failures(atlas).iloc[0]
    assert (row["image_id"], row["reason"]) == (POSITIVE, "changed")
    assert "cacl tile" in row["message"]


def test_bad_options_are_explained(atlas: ModelAtlas) -> None:
    with pytest.raises(ConfigError, match="one of none, dilation, opening, closing, got 'swirl'"):
        atlas.segment(morphology="swirl")
    with pytest.raises(ConfigError, match="at least 0, got -1"):
        atlas.segment(morphology="dilation", radius_px=-1)
    with pytest.raises(CheckpointError, match="cacl train"):
        atlas.segment(model="nowhere")


@pytest.mark.parametrize("name", ["opening", "closing"])
def test_morphology_by_hand(name: str) -> None:
    mask = np.zeros((9, 9), dtype=bool)
    mask[2:7, 2:7] = True
    mask[4, 4] = False
    mask[0, 0] = True
    changed = morphology.apply(mask, name, 1)
    assert changed[4, 4] == (name == "closing")
    assert changed[0, 0] == (name == "closing")
