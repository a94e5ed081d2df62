"""Step `segment`: masks in the store, their accuracy, reuse and failures."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cacl import tables
from cacl.errors import CheckpointError, ConfigError, StrictError
from cacl.image.local_dab import MASK_LEVEL, edge_blur_sigma
from cacl.image.pixel_flags import candidate_mask, interior_mask, pixel_flags
from cacl.model.checkpoint import load_model
from cacl.model.inference import blocks, predict
from cacl.model.inference.masks import Morphology, block_mask, mask_logits
from cacl.runtime.file_digest import BLANK_DIGEST, FILE_DIGEST, embed_digest
from cacl.tables.schemas import SegmentedRow, TileStatRow
from tests.fixtures.model_atlas import ModelAtlas, render_core

pytestmark = pytest.mark.slow

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


def stain_mask(atlas: ModelAtlas, image_id: str) -> np.ndarray:
    return np.asarray(atlas.store.label(image_id, "stain")[:]) > 0


def failures(atlas: ModelAtlas) -> pd.DataFrame:
    return pd.read_csv(atlas.path("failures.csv"), keep_default_na=False)


def test_masks_cover_the_stained_border_and_not_the_negative_image(atlas: ModelAtlas) -> None:
    atlas.segment()
    mask = stain_mask(atlas, POSITIVE)
    ground_truth = render_core(30, positive=True)[1] == 2
    overlap = (mask & ground_truth).sum()
    assert 2 * overlap / (mask.sum() + ground_truth.sum()) > 0.6
    assert np.asarray(atlas.store.label(NEGATIVE, "stain")[:]).mean() < 0.01
    rows = tables.read_parquet(atlas.path("segmented.parquet"), SegmentedRow)
    assert len(rows) == 8
    by_image = {row.image_id: row for row in rows}
    assert 0.5 < by_image[POSITIVE].confidence <= 1.0
    assert 0.0 <= by_image[POSITIVE].ratio_sd < 0.05
    assert rows[0].digest == atlas.store.label_digest(rows[0].image_id, "stain")
    assert failures(atlas).empty


def test_keeps_an_existing_mask_until_the_morphology_changes(atlas: ModelAtlas) -> None:
    atlas.segment()
    marker = atlas.store.path(POSITIVE) / "labels" / "stain" / "zarr.json"
    written_at = marker.stat().st_mtime_ns
    table = atlas.path("segmented.parquet")
    content = table.read_bytes()
    table.unlink()
    atlas.segment()
    assert marker.stat().st_mtime_ns == written_at
    assert table.read_bytes() == content
    atlas.segment(morphology="dilation", radius_px=1)
    assert marker.stat().st_mtime_ns != written_at


def test_mask_without_its_confidence_is_made_again(atlas: ModelAtlas) -> None:
    atlas.segment()
    marker = atlas.store.path(POSITIVE) / "labels/stain/zarr.json"
    before, content = marker.read_bytes(), json.loads(marker.read_bytes())
    attributes = content["attributes"]["cacl"]
    del attributes["confidence"]
    attributes[FILE_DIGEST] = BLANK_DIGEST
    marker.write_bytes(embed_digest(json.dumps(content).encode()))
    atlas.segment()
    assert marker.read_bytes() == before


def test_dilation_is_applied_to_the_mask(atlas: ModelAtlas) -> None:
    atlas.segment()
    plain = stain_mask(atlas, POSITIVE)
    atlas.segment(morphology="dilation", radius_px=2)
    dilated = stain_mask(atlas, POSITIVE)
    assert dilated[plain].all()
    assert np.array_equal(dilated, Morphology("dilation", 2).apply(plain))


def test_masks_by_blocks_equal_the_mask_of_the_whole_image(
    atlas: ModelAtlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, meta = load_model(atlas.path("model")), atlas.store.meta(POSITIVE)
    (whole,) = map(np.asarray, blocks.predict_masks(atlas.store, meta, model, Morphology()))
    monkeypatch.setattr(blocks, "BLOCK_PX", 64)
    (by_blocks,) = blocks.predict_masks(atlas.store, meta, model, Morphology())
    assert by_blocks.numblocks == (2, 2)
    assert whole.any()
    assert np.array_equal(np.asarray(by_blocks), whole)


def test_predicts_a_block_whose_size_is_no_multiple_of_the_divisor(trained: ModelAtlas) -> None:
    model = load_model(trained.path("model"))
    rgb = render_core(1, positive=True)[0][:, :70, :61]
    cell, interior = np.ones((70, 61), np.uint8), np.ones((70, 61), bool)
    masks = predict.predict_block(rgb, cell, interior, model, Morphology())
    assert masks.classes[0].shape == masks.pack().shape == (70, 61)
    assert set(np.unique(masks.classes[0])) == {False, True}
    assert masks.cell.all()


def test_masks_equal_those_from_the_scores_of_all_pixels(trained: ModelAtlas) -> None:
    model = load_model(trained.path("model"))
    post, (thresholds,) = model.preset.post, model.thresholds
    for image_id in (POSITIVE, NEGATIVE):
        rgb = np.asarray(trained.store.image(image_id)[:])
        cell = np.asarray(trained.store.label(image_id, "cell")[:])
        interior = interior_mask(cell)
        flags = pixel_flags(rgb, cell, interior, edge_blur_sigma(rgb), MASK_LEVEL)
        views = predict.image_logits(model.networks, rgb, None, post.n_tta)[:, 0]
        expected = [
            block_mask(
                mask_logits(logits, candidate_mask(flags, "line"), post),
                interior,
                int((cell > 0).sum()),
                thresholds,
                post,
            )
            for logits in (views.mean(0), *views)
        ]
        masks = predict.predict_block(rgb, cell, interior, model, Morphology())
        assert np.array_equal([*masks.classes, *masks.views], expected)
        assert expected[0].any() == (image_id == POSITIVE)


def test_network_does_not_run_without_candidate_pixels(trained: ModelAtlas) -> None:
    model = load_model(trained.path("model"))
    (network,) = model.networks
    calls: list[str] = []
    network.encoder.register_forward_pre_hook(lambda *_: calls.append("encoder"))
    rgb = render_core(30, positive=True)[0]
    cell, interior = np.ones(rgb.shape[1:], np.uint8), np.ones(rgb.shape[1:], bool)
    masks = predict.predict_block(np.full_like(rgb, 240), cell, interior, model, Morphology())
    assert not calls
    assert len(masks.views) == model.preset.post.n_tta
    assert not np.any([*masks.classes, *masks.views])
    assert masks.cell.all()
    predict.predict_block(rgb, cell, interior, model, Morphology())
    assert len(calls) == model.preset.post.n_tta


def test_flips_are_not_computed_where_the_unflipped_image_is_far_from_a_mask(
    trained: ModelAtlas,
) -> None:
    model = load_model(trained.path("model"))
    (network,), (thresholds,) = model.networks, model.thresholds
    calls: list[str] = []
    network.encoder.register_forward_pre_hook(lambda *_: calls.append("encoder"))
    rgb = np.asarray(trained.store.image(POSITIVE)[:])
    cell = np.asarray(trained.store.label(POSITIVE, "cell")[:])

    def views_computed(**changes: float) -> int:
        calls.clear()
        changed = dataclasses.replace(
            model, thresholds=(dataclasses.replace(thresholds, **changes),)
        )
        masks = predict.predict_block(rgb, cell, interior_mask(cell), changed, Morphology())
        assert len(masks.views) == model.preset.post.n_tta
        assert masks.classes[0].any() == ("high" not in changes)
        return len(calls)

    assert views_computed() == model.preset.post.n_tta > 1
    assert views_computed(high=50.0, min_area_fraction=0.01) == 1
    assert views_computed(high=50.0, min_area_fraction=0.0) == model.preset.post.n_tta


def test_image_missing_in_the_store_is_a_failure(atlas: ModelAtlas) -> None:
    shutil.rmtree(atlas.store.path(POSITIVE))
    atlas.segment()
    failure = failures(atlas).iloc[0]
    assert (failure["image_id"], failure["reason"]) == (POSITIVE, "not_found")
    assert len(tables.read_parquet(atlas.path("segmented.parquet"), SegmentedRow)) == 7
    with pytest.raises(StrictError):
        atlas.segment(strict=True)


def test_tiles_that_differ_from_the_table_are_a_failure(atlas: ModelAtlas) -> None:
    rows = tables.read_frame([atlas.path("tiles.parquet")], TileStatRow)
    rows.loc[rows["image_id"] == POSITIVE, "digest"] = "older"
    tables.write_parquet(atlas.path("tiles.parquet"), rows, TileStatRow)
    atlas.segment()
    failure = failures(atlas).iloc[0]
    assert (failure["image_id"], failure["reason"]) == (POSITIVE, "changed")
    assert "cacl tile" in failure["message"]


def test_rejects_unknown_morphology_and_a_missing_model(atlas: ModelAtlas) -> None:
    with pytest.raises(ConfigError, match="one of none, dilation, opening, closing; got 'swirl'"):
        atlas.segment(morphology="swirl")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="at least 0, at most 16; got -1"):
        atlas.segment(morphology="dilation", radius_px=-1)
    with pytest.raises(CheckpointError, match="cacl train"):
        atlas.segment(model="nowhere")
