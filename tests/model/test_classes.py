"""Several classes in the model: codes allowed, losses by class, training, checkpoint, masks."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from cacl import tables
from cacl.config import TargetClass
from cacl.errors import CheckpointError, ConfigError, TrainingError
from cacl.model.checkpoint import load_model, save_model
from cacl.model.data.batches import Batch, InstanceLabels, sample_batch
from cacl.model.data.dataset import calibration_tiles, read_rows, training_tiles
from cacl.model.inference.masks import Thresholds
from cacl.model.networks.autoencoder import AutoEncoder
from cacl.model.networks.codebook import ClassAwareCodebook
from cacl.model.presets import PAPER, TEACHER, with_classes
from cacl.model.training import loop, monitor, train
from cacl.model.training.losses import LossBreakdown, allowed_codes, batch_losses
from cacl.runtime.file_digest import json_with_digest
from cacl.tables.schemas import SegmentedRow, TileRow
from tests.fixtures.class_atlas import (
    CLASSES,
    DISC,
    RING,
    build,
    positive_classes,
    render_antibody,
)
from tests.fixtures.model_atlas import ModelAtlas, make_codebook_diverge

pytestmark = pytest.mark.slow

LIMITS = (
    Thresholds(low=-1.0, high=1.5, edge_high=1.5, min_area_fraction=0.0),
    Thresholds(low=0.5, high=2.0, edge_high=2.0, min_area_fraction=0.0),
)


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> ModelAtlas:
    made = build(tmp_path_factory.mktemp("atlas"))
    made.select()
    return made


def test_allows_codes_of_s_and_of_the_classes_that_a_tile_is_positive_for() -> None:
    book = torch.tensor([0, 0, 1, 2, 2])
    positive = torch.tensor([[False, False], [True, False], [False, True], [True, True]])
    assert allowed_codes(book, positive).int().tolist() == [
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 0, 1, 1],
        [1, 1, 1, 1, 1],
    ]


def test_divides_channels_of_the_paper_among_all_codebooks() -> None:
    a = with_classes(PAPER, 3).network
    assert a.class_codes == (5, 5, 5)
    codebook = ClassAwareCodebook(
        a.embedding_channels, 27, a.class_codes, split_channels=True, unit=False
    )
    owned = [
        codebook.channel_mask[codebook.codebook_id == number].any(0).nonzero()
        for number in range(4)
    ]
    assert [(int(channels.min()), int(channels.max())) for channels in owned] == [
        (0, 15),
        (16, 31),
        (32, 47),
        (48, 63),
    ]


def batch_of(**changes: torch.Tensor) -> Batch:
    """Two tiles of 4 x 4 px: one shows class 1 alone, of the other only class 2 is known."""
    fields: dict[str, Any] = {
        "rgb": torch.full((2, 3, 4, 4), 128.0),
        "candidate": torch.ones(2, 2, 4, 4, dtype=torch.bool),
        "edge": torch.zeros(2, 4, 4, dtype=torch.bool),
        "cutmix": torch.zeros(2, 4, 4, dtype=torch.bool),
        "positive": torch.tensor([[True, False], [False, False]]),
        "negative": torch.tensor([[False, True], [False, True]]),
        "instance_positive": torch.tensor([[True, False], [False, False]]),
        "cutmix_negative": torch.tensor([[True, False], [True, False]]),
        "positive_fraction": torch.tensor([[0.5, 0.0], [0.0, 0.0]]),
        "pseudo_label": torch.zeros(2, 0, 4, 4, dtype=torch.uint8),
    }
    return Batch(**(fields | changes))


def test_labels_of_positions_follow_class_and_cutmix() -> None:
    cutmix = torch.zeros(2, 4, 4, dtype=torch.bool)
    cutmix[0, :, 2:] = True
    batch = batch_of(cutmix=cutmix)
    assert batch.class_positions.int()[:, :, 0].tolist() == [[[1, 0], [0, 0]], [[0, 0], [0, 0]]]
    # Own label in the first column; in the second that of the pasted tile, of class 1 alone.
    assert batch.negative_positions.int()[:, :, 0].tolist() == [[[0, 1], [1, 0]], [[0, 0], [1, 1]]]


def test_positions_at_the_core_edge_are_negative_but_never_positive() -> None:
    everything = torch.ones(2, 4, 4, dtype=torch.bool)
    assert not batch_of(edge=everything).class_positions.any()
    assert torch.equal(batch_of(edge=everything).negative_positions, batch_of().negative_positions)


def test_relabelled_tile_of_a_positive_image_is_neither_positive_nor_negative() -> None:
    batch = batch_of(instance_positive=torch.zeros(2, 2, dtype=torch.bool))
    assert not batch.class_positions.any()
    assert not batch.negative_positions[:, 0].any()
    assert batch.negative_positions[:, 1].all()


def test_other_class_positions_exclude_cutmix() -> None:
    cutmix = torch.zeros(2, 4, 4, dtype=torch.bool)
    cutmix[0, :, 2:] = True
    others = batch_of(cutmix=cutmix).other_class_positions
    assert others.int()[:, :, 0].tolist() == [[[0, 0], [1, 0]], [[0, 0], [0, 0]]]


def test_adds_losses_of_classes() -> None:
    torch.manual_seed(0)
    preset = with_classes(TEACHER, 2)
    network = AutoEncoder(preset.network).eval()
    network.codebook.codes.copy_(torch.eye(37, 32))
    batch = batch_of()
    breakdown = batch_losses(network, batch, preset, None)
    assert breakdown.logits.shape == (2, 2, 2, 2)
    assert int(breakdown.indices.max()) < 32
    first, second = breakdown.logits.unbind(1)

    def softplus(values: torch.Tensor) -> torch.Tensor:
        return torch.log1p(torch.exp(values.double()))

    assert preset.mil is not None
    highest = min(4, preset.mil.hard_negatives_px // 4)
    topk = softplus(-first[0].flatten().topk(2).values).mean()
    # Class 1 has no pixels that are known to be negative; all pixels of class 2 are.
    assert breakdown.losses["topk_positive"].item() == pytest.approx(topk.item(), rel=1e-4)
    assert breakdown.losses["negative_bce"].item() == pytest.approx(softplus(second).mean().item())
    top = softplus(second).flatten(1).topk(highest).values.mean()
    assert breakdown.losses["hard_negative_bce"].item() == pytest.approx(0.5 * top.item(), rel=1e-4)
    assert breakdown.losses["background_bce"].item() == 0.0


def test_logit_compares_a_class_with_all_other_codes() -> None:
    preset = with_classes(TEACHER, 2)
    network = AutoEncoder(preset.network).eval()
    codes = torch.zeros(37, 32)
    codes[:, 0] = 1.0
    network.codebook.codes.copy_(codes)
    logits = batch_losses(network, batch_of(), preset, None).logits
    expected = math.log(5 / 32)  # five codes of 37, all alike
    assert torch.allclose(logits, torch.full_like(logits, expected), atol=1e-3)


def test_batch_is_divided_evenly_among_classes(atlas: ModelAtlas) -> None:
    tiles = training_tiles(read_rows(atlas.path("training.parquet")), atlas.store, 0, CLASSES)
    assert tiles.positive.shape == (len(tiles), 2)
    assert not (tiles.positive & tiles.negative).any()
    labels = InstanceLabels(
        positive=tiles.positive & tiles.selected[:, None],
        positive_fraction=torch.zeros(tiles.positive.shape),
        relabelled=torch.zeros(2, dtype=torch.bool),
    )
    rng, device = torch.Generator().manual_seed(0), torch.device("cpu")
    batch = sample_batch(tiles, labels, with_classes(TEACHER, 2), 0, rng, device)
    assert batch.positive[:4, 0].all()
    assert batch.positive[4:8, 1].all()
    assert batch.negative[8:12, 0].all()
    assert batch.negative[12:, 1].all()
    assert not (batch.cutmix.flatten(1).any(1) & ~batch.positive.any(1)).any()
    # Discs are wide: they do not stand out, but they are brown.
    assert batch.candidate[batch.positive[:, 1], 1].any()


def test_calibration_tiles_are_negative_in_each_class(atlas: ModelAtlas) -> None:
    rows = read_rows(atlas.path("training.parquet"))
    tiles, source = calibration_tiles(rows, atlas.store, 0, CLASSES)
    assert tiles.negative.any(1).all()
    assert not (tiles.negative & tiles.positive).any()
    assert set(source.split("/")) <= {"validation", "train"}


@pytest.fixture(scope="module")
def trained(atlas: ModelAtlas) -> Path:
    return atlas.train("model", max_steps=110, classes=CLASSES)


def test_segments_two_classes_separately(atlas: ModelAtlas, trained: Path) -> None:
    atlas.segment("model")
    rows = tables.read_parquet(atlas.path("segmented.parquet"), SegmentedRow)
    assert {row.classes for row in rows} == {"ring;disc"}
    areas: dict[tuple[str, bool], list[float]] = {}
    overlap = []
    for number, row in enumerate(rows, start=1):
        for name, label in (("ring", "stain"), ("disc", "stain-disc")):
            mask = np.asarray(atlas.store.label(row.image_id, label)[:]) > 0
            areas.setdefault((name, positive_classes(number)[name]), []).append(float(mask.mean()))
            assert atlas.store.label_digest(row.image_id, label) == row.digest
            truth = render_antibody(number)[1]
            if name == "disc" and truth.any():
                overlap.append(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))
    for name in ("ring", "disc"):
        assert np.mean(areas[name, True]) > 5 * np.mean(areas[name, False])
    assert np.mean(overlap) > 0.5


def test_loads_model_of_several_classes(trained: Path) -> None:
    model = load_model(trained)
    assert [(target.name, target.shape) for target in model.classes] == [
        ("ring", "line"),
        ("disc", "area"),
    ]
    description = json.loads((trained / "model.json").read_text())
    limits = [target["thresholds"] for target in description["classes"]]
    assert [dataclasses.asdict(values) for values in model.thresholds] == limits
    assert description["thresholds"] == limits[0]
    rows = pd.read_csv(trained / "training.csv")
    assert (
        rows[["perplexity_c", "perplexity_c_2", "c_fraction_2", "positive_tiles_2"]]
        .notna()
        .all()
        .all()
    )


@pytest.mark.usefixtures("lenient")
def test_resumes_run_of_several_classes_bit_for_bit(
    atlas: ModelAtlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "STEPS_BETWEEN_SAVES", 10)
    whole = atlas.train("whole", max_steps=36, classes=CLASSES)
    add = monitor.MetricsLog.add

    def interrupt(self: monitor.MetricsLog, breakdown: LossBreakdown) -> None:
        if self.run.step == 34:
            raise KeyboardInterrupt
        add(self, breakdown)

    monkeypatch.setattr(monitor.MetricsLog, "add", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atlas.train("parts", max_steps=36, classes=CLASSES)
    monkeypatch.setattr(monitor.MetricsLog, "add", add)
    parts = atlas.train("parts", max_steps=36, classes=CLASSES)
    for name in ("checkpoint.safetensors", "model.json", "training.csv"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes()


@pytest.mark.usefixtures("lenient")
def test_one_named_class_gives_the_same_weights_as_the_label_column(atlas: ModelAtlas) -> None:
    """A class of shape line alone learns the same weights as the column `label`."""
    plain = atlas.train("plain", max_steps=32)
    named = atlas.train("named", max_steps=32, classes=(RING,))
    weights = "checkpoint.safetensors"
    assert (plain / weights).read_bytes() == (named / weights).read_bytes()
    assert load_model(plain).thresholds == load_model(named).thresholds
    assert "classes" not in json.loads((plain / "model.json").read_text())
    assert load_model(named).classes == (TargetClass(name="ring"),)


@pytest.mark.usefixtures("lenient")
def test_paper_preset_trains_with_several_classes(atlas: ModelAtlas) -> None:
    model = load_model(atlas.train("paper", preset="paper", max_steps=6, classes=CLASSES))
    assert model.preset.network.class_codes == (5, 5)
    assert all((values.low, values.high) == (0.0, 0.0) for values in model.thresholds)


def test_rejects_class_without_labels_in_the_table(atlas: ModelAtlas, tmp_path: Path) -> None:
    files = train.TrainingFiles(atlas.path("training.parquet"), atlas.path("atlas.zarr"))
    with pytest.raises(
        ConfigError, match=r"No label for the class 'disk'; the table has ring, disc"
    ):
        train.train(
            files,
            tmp_path,
            limits=train.TrainingLimits(2),
            classes=(RING, TargetClass(name="disk")),
        )


def test_rejects_class_with_labels_of_one_sort(atlas: ModelAtlas, tmp_path: Path) -> None:
    frame = tables.read_frame([atlas.path("training.parquet")], TileRow)
    frame["class_labels"] = frame["class_labels"].str.replace("disc=positive", "disc=")
    tables.write_parquet(tmp_path / "training.parquet", frame, TileRow)
    with pytest.raises(TrainingError, match=r"no positive tile of the class disc.*labels\.overri"):
        train.train(
            train.TrainingFiles(tmp_path / "training.parquet", atlas.path("atlas.zarr")),
            tmp_path / "model",
            limits=train.TrainingLimits(2),
            classes=CLASSES,
        )


def test_collapsed_codebook_error_names_its_class(
    atlas: ModelAtlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_codebook_diverge(monkeypatch, 1)
    with pytest.raises(
        TrainingError, match="C is used nowhere on positive tiles of the class ring"
    ):
        atlas.train("collapsed", max_steps=5, classes=CLASSES)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d: d.update(classes=[]), "has no readable list of 1 to 8 classes"),
        (lambda d: d["classes"].pop(), "another architecture .class_codes"),
        (lambda d: d["classes"][1].pop("name"), "a class without a name and a shape"),
        (lambda d: d["classes"][1].update(name="../x"), "a class without a name and a shape"),
        (lambda d: d["classes"][1].update(shape="dot"), "a class without a name and a shape"),
        (
            lambda d: d["classes"][1]["thresholds"].pop("high"),
            "lacks the thresholds low, high, edge_high, min_area_fraction",
        ),
    ],
)
def test_rejects_damaged_description_of_classes(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], sentence: str
) -> None:
    preset = with_classes(TEACHER, 2)
    network = AutoEncoder(preset.network)
    save_model(tmp_path, [network], preset, classes=(RING, DISC), thresholds=LIMITS, attributes={})
    assert load_model(tmp_path).thresholds == LIMITS
    path = tmp_path / "model.json"
    description = json.loads(path.read_text())
    change(description)
    path.write_bytes(json_with_digest(description))
    with pytest.raises(CheckpointError, match=sentence):
        load_model(tmp_path)
