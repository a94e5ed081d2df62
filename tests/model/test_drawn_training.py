"""Drawn labels in training: in batches, losses and pseudo-labels, and in a whole training."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

from cacl.config import TargetClass
from cacl.errors import ConfigError
from cacl.hpa.pixel_labels import DrawnLabels, PseudoLabel, read_drawn
from cacl.image.pixel_flags import candidate_mask
from cacl.model.checkpoint import load_model
from cacl.model.config import AugmentConfig
from cacl.model.data.batches import InstanceLabels, sample_batch
from cacl.model.data.dataset import (
    FLAGS,
    TileDataset,
    count_drawn,
    data_digest,
    read_rows,
    training_tiles,
)
from cacl.model.networks.autoencoder import AutoEncoder
from cacl.model.presets import PAPER, ROBUST, TEACHER
from cacl.model.training import losses, pseudo_labels
from cacl.tables.selection import Split
from tests.fixtures.drawings import area, write_drawing
from tests.fixtures.model_atlas import GRID, SIDE, TILE, ModelAtlas

POSITIVE, NEGATIVE = int(PseudoLabel.POSITIVE), int(PseudoLabel.NEGATIVE)
UPPER, LOWER = (0, 0, SIDE, SIDE // 2), (0, SIDE // 2, SIDE, SIDE)


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> ModelAtlas:
    """Images selected with drawings: one positive image, half positive and half negative."""
    made = ModelAtlas(tmp_path_factory.mktemp("drawn")).build()
    made.select()
    rows = read_rows(made.path("training.parquet"))
    rows = rows[(rows["split"] == Split.TRAIN) & (rows["label"] == "positive")]
    areas = [area("positive", UPPER), area("negative", LOWER)]
    write_drawing(made.path("strokes"), rows["image_id"].iloc[0], areas)
    made.select(drawn=made.path("strokes"))
    return made


@pytest.fixture(scope="module")
def drawn(atlas: ModelAtlas) -> DrawnLabels:
    images = set(read_rows(atlas.path("training.parquet"))["image_id"])
    return read_drawn(atlas.path("strokes"), atlas.store, images)


@pytest.fixture(scope="module")
def tiles(atlas: ModelAtlas, drawn: DrawnLabels) -> TileDataset:
    return training_tiles(read_rows(atlas.path("training.parquet")), atlas.store, 0, drawn=drawn)


def labels_of(tiles: TileDataset) -> Tensor:
    assert tiles.drawn is not None
    return tiles.drawn


def candidates(tiles: TileDataset) -> Tensor:
    mask: Tensor = candidate_mask(tiles.pixels[:, FLAGS], tiles.classes[0].shape)
    return mask


def test_tiles_hold_the_labels_of_their_windows(
    atlas: ModelAtlas, drawn: DrawnLabels, tiles: TileDataset
) -> None:
    whole = labels_of(tiles).flatten(1)
    positive, negative = ((whole == label).all(1) for label in (POSITIVE, NEGATIVE))
    assert (int(positive.sum()), int(negative.sum())) == (GRID * GRID // 2, GRID * GRID // 2)
    assert not whole[~(positive | negative)].any()
    assert torch.equal(tiles.manual[:, 0], positive)
    counts, candidate = count_drawn(tiles), candidates(tiles)
    assert counts == {
        "positive_candidate_px": int(candidate[positive].sum()),
        "negative_candidate_px": int(candidate[negative].sum()),
    }
    assert 0 < counts["positive_candidate_px"] < GRID * GRID * TILE * TILE // 2
    rows = read_rows(atlas.path("training.parquet"))
    plain = training_tiles(rows, atlas.store, 0)
    assert plain.drawn is None
    assert torch.equal(plain.pixels, tiles.pixels)
    assert data_digest(rows, atlas.store) != data_digest(rows, atlas.store, drawn)


def test_only_the_first_class_has_drawn_labels(tiles: TileDataset) -> None:
    two = dataclasses.replace(
        tiles,
        positive=tiles.positive.repeat(1, 2),
        negative=tiles.negative.repeat(1, 2),
        manual=tiles.manual.repeat(1, 2),
        classes=(*tiles.classes, TargetClass(name="other")),
    )
    assert two.for_classes([0, 1]).drawn is tiles.drawn
    assert two.for_classes([0]).drawn is tiles.drawn
    assert two.for_classes([1]).drawn is None


def test_tiles_that_were_selected_without_the_drawing_are_an_error(
    atlas: ModelAtlas, drawn: DrawnLabels
) -> None:
    rows = read_rows(atlas.path("training.parquet"))
    [image_id] = drawn.labels
    for wrong in (
        rows.assign(selected=rows["selected"] & (rows["image_id"] != image_id)),
        rows.assign(split=rows["split"].mask(rows["image_id"] == image_id, "test")),
    ):
        with pytest.raises(
            ConfigError, match=rf"16 tiles .* {image_id}, are not selected .*--drawn"
        ):
            training_tiles(wrong, atlas.store, 0, drawn=drawn)


def test_augmentation_moves_drawn_labels_with_their_pixels(tiles: TileDataset) -> None:
    marked = tiles.pixels.clone()
    marked[:, 0] = 100 * labels_of(tiles)
    preset = dataclasses.replace(TEACHER, augment=AugmentConfig(cutmix=0.4))
    labels = InstanceLabels(
        positive=tiles.positive,
        positive_fraction=torch.zeros(tiles.positive.shape),
        relabelled=torch.zeros(1, dtype=torch.bool),
    )
    rng = torch.Generator().manual_seed(0)
    seen = torch.zeros(3)
    for step in range(20):
        batch = sample_batch(
            dataclasses.replace(tiles, pixels=marked), labels, preset, step, rng,
            torch.device("cpu"),
        )  # fmt: skip
        assert batch.drawn is not None
        assert batch.pseudo_label.shape[1] == 0
        assert torch.equal(batch.rgb[:, 0], 100.0 * batch.drawn)
        seen += torch.bincount(batch.drawn.flatten().int(), minlength=3)
        excluded = batch.class_positions[:, 0] & (
            torch.nn.functional.max_pool2d((batch.drawn != NEGATIVE).float(), 2) == 0
        )
        assert not excluded.any()
    assert (seen > 0).all()


def test_drawn_bce_is_the_mean_over_drawn_candidate_pixels(tiles: TileDataset) -> None:
    labels = InstanceLabels(
        positive=tiles.manual,
        positive_fraction=torch.zeros(tiles.positive.shape),
        relabelled=torch.zeros(1, dtype=torch.bool),
    )
    rng, device = torch.Generator().manual_seed(0), torch.device("cpu")
    batch = sample_batch(tiles, labels, TEACHER, 0, rng, device)
    torch.manual_seed(0)
    network = AutoEncoder(TEACHER.network).eval()
    found = losses.batch_losses(network, batch, TEACHER, None)
    assert batch.drawn is not None
    logits = torch.nn.functional.interpolate(found.logits, scale_factor=2.0, mode="bilinear")[:, 0]
    label = batch.drawn * batch.candidate[:, 0]
    each = torch.cat(
        [
            torch.nn.functional.softplus(-logits[label == POSITIVE]),
            torch.nn.functional.softplus(logits[label == NEGATIVE]),
        ]
    )
    assert len(each) > 100
    assert found.losses["drawn_bce"].item() == pytest.approx(each.mean().item(), rel=1e-5)
    without = losses.batch_losses(network, dataclasses.replace(batch, drawn=None), TEACHER, None)
    assert "drawn_bce" not in without.losses


def test_paper_preset_cannot_use_drawings(atlas: ModelAtlas) -> None:
    with pytest.raises(ConfigError, match=r"preset paper learns from labels of images alone"):
        atlas.train("refused", preset=PAPER, max_steps=2, drawn=atlas.path("strokes"))


@pytest.fixture(scope="module")
def model(atlas: ModelAtlas) -> Path:
    """A student of teachers that learned from the drawings."""
    return atlas.train("model", preset="robust", max_steps=300, drawn=atlas.path("strokes"))


@pytest.mark.slow
def test_model_states_what_is_drawn(
    atlas: ModelAtlas, drawn: DrawnLabels, tiles: TileDataset, model: Path
) -> None:
    description = json.loads((model / "model.json").read_text())
    assert description["drawn"] == {
        "images": 1,
        "positive_px": SIDE * SIDE // 2,
        "negative_px": SIDE * SIDE // 2,
        "contradictory_px": 0,
        "sha256": drawn.digest,
        **count_drawn(tiles),
    }
    rows = read_rows(atlas.path("training.parquet"))
    assert description["training_data_digest"] == data_digest(rows, atlas.store, drawn)
    curves = pd.read_csv(model / "training.csv")
    assert ROBUST.distill is not None
    learned = curves.loc[curves["drawn_bce"] > 0, "network"].unique().tolist()
    assert learned == list(range(1, ROBUST.distill.n_teachers + 2))


@pytest.mark.slow
def test_drawn_labels_replace_those_of_teachers_on_candidate_pixels(
    atlas: ModelAtlas, tiles: TileDataset, model: Path
) -> None:
    teachers = [load_model(model).networks]
    plain = dataclasses.replace(tiles, drawn=None)
    before = pseudo_labels.add_pseudo_labels(teachers, plain, TEACHER, 1)[0].pixels[:, 4]
    made, _ = pseudo_labels.add_pseudo_labels(teachers, tiles, TEACHER, 1)
    after, label = made.pixels[:, 4], labels_of(tiles)
    is_drawn = (label > 0) & candidates(tiles)
    assert torch.equal(after[is_drawn], label[is_drawn])
    assert torch.equal(after[~is_drawn], before[~is_drawn])
    assert (before[is_drawn] != after[is_drawn]).float().mean() > 0.1
    two = dataclasses.replace(
        tiles,
        positive=tiles.positive.repeat(1, 2),
        negative=tiles.negative.repeat(1, 2),
        manual=tiles.manual.repeat(1, 2),
        classes=(*tiles.classes, TargetClass(name="other")),
    )
    both = pseudo_labels.add_pseudo_labels([*teachers, *teachers], two, TEACHER, 1)[0].pixels[:, 4:]
    assert torch.equal(both[:, 0][is_drawn], label[is_drawn])
    assert not (both == POSITIVE).all(1).any()


@pytest.mark.slow
def test_equal_drawings_give_equal_models(atlas: ModelAtlas) -> None:
    first, second = (
        atlas.train(name, preset=TEACHER, max_steps=40, drawn=atlas.path("strokes"))
        for name in ("first", "second")
    )
    for name in ("model.json", "checkpoint.safetensors", "training.csv"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    plain = atlas.train("plain", preset=TEACHER, max_steps=40)
    assert "drawn" not in json.loads((plain / "model.json").read_text())
    weights = "checkpoint.safetensors"
    assert (plain / weights).read_bytes() != (first / weights).read_bytes()
