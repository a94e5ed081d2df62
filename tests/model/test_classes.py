"""Several classes in the model: codes allowed, losses by class, training, checkpoint, masks."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cacl import tables
from cacl.config import TargetClass
from cacl.errors import CheckpointError, ConfigError, TrainingError
from cacl.model.checkpoint import load_model, save_model
from cacl.model.config import PAPER, TEACHER, with_classes
from cacl.model.data.dataset import calibration_tiles, read_rows, training_tiles
from cacl.model.data.sampling import draw
from cacl.model.inference.masks import Thresholds
from cacl.model.networks.autoencoder import AutoEncoder
from cacl.model.networks.codebook import ClassAwareCodebook
from cacl.model.training import loop, metrics_log, train
from cacl.model.training.objective import Batch, allowed_codes, coded_losses
from cacl.model.training.state import State
from cacl.tables.schemas import SegmentedRow, TileRow
from tests.fixtures.class_atlas import CLASSES, DISC, RIM, build, drawn, has
from tests.fixtures.model_atlas import ModelAtlas, set_adrift

LIMITS = (
    Thresholds(low=-1.0, high=1.5, edge_high=1.5, min_area_fraction=0.0),
    Thresholds(low=0.5, high=2.0, edge_high=2.0, min_area_fraction=0.0),
)


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> ModelAtlas:
    made = build(tmp_path_factory.mktemp("atlas"))
    made.select()
    return made


def test_a_tile_may_use_s_and_the_codebooks_it_is_positive_for() -> None:
    book = torch.tensor([0, 0, 1, 2, 2])
    positive = torch.tensor([[False, False], [True, False], [False, True], [True, True]])
    assert allowed_codes(book, positive).int().tolist() == [
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 0, 1, 1],
        [1, 1, 1, 1, 1],
    ]


def test_the_papers_channels_are_divided_among_all_codebooks() -> None:
    a = with_classes(PAPER, 3).network
    assert a.class_codes == (5, 5, 5)
    codebook = ClassAwareCodebook(
        a.embedding_channels, 27, a.class_codes, split_channels=True, unit=False
    )
    owned = [
        codebook.channel_mask[codebook.codebook_id == number].any(0).nonzero()
        for number in range(4)
    ]
    assert [(int(one.min()), int(one.max())) for one in owned] == [
        (0, 15),
        (16, 31),
        (32, 47),
        (48, 63),
    ]


def batch_of(**changes: torch.Tensor) -> Batch:
    """Two tiles of 4 x 4 px: one shows class 1 alone, of the other only class 2 is known."""
    given = {
        "rgb": torch.full((2, 3, 4, 4), 128.0),
        "candidate": torch.ones(2, 2, 4, 4, dtype=torch.bool),
        "rim": torch.zeros(2, 4, 4, dtype=torch.bool),
        "pasted": torch.zeros(2, 4, 4, dtype=torch.bool),
        "positive": torch.tensor([[True, False], [False, False]]),
        "negative": torch.tensor([[False, True], [False, True]]),
        "shown": torch.tensor([[True, False], [False, False]]),
        "pasted_negative": torch.tensor([[True, False], [True, False]]),
        "share": torch.tensor([[0.5, 0.0], [0.0, 0.0]]),
        "told": torch.zeros(2, 0, 4, 4, dtype=torch.uint8),
    }
    return Batch(**(given | changes))


def test_what_is_known_of_a_place_depends_on_the_class_and_on_what_was_pasted() -> None:
    pasted = torch.zeros(2, 4, 4, dtype=torch.bool)
    pasted[0, :, 2:] = True
    batch = batch_of(pasted=pasted)
    assert batch.coded_possible.int()[:, :, 0].tolist() == [[[1, 0], [0, 0]], [[0, 0], [0, 0]]]
    # Own label in the first column; in the second that of the pasted tile, of class 1 alone.
    assert batch.coded_negative.int()[:, :, 0].tolist() == [[[0, 1], [1, 0]], [[0, 0], [1, 1]]]


def test_on_the_rim_nothing_is_claimed_and_negatives_are_avoided() -> None:
    everything = torch.ones(2, 4, 4, dtype=torch.bool)
    assert not batch_of(rim=everything).coded_possible.any()
    assert torch.equal(batch_of(rim=everything).coded_negative, batch_of().coded_negative)


def test_a_tile_that_was_judged_not_to_show_a_class_is_neither_positive_nor_negative() -> None:
    batch = batch_of(shown=torch.zeros(2, 2, dtype=torch.bool))
    assert not batch.coded_possible.any()
    assert not batch.coded_negative[:, 0].any()
    assert batch.coded_negative[:, 1].all()


def test_the_codebooks_begin_apart_from_what_other_classes_show() -> None:
    pasted = torch.zeros(2, 4, 4, dtype=torch.bool)
    pasted[0, :, 2:] = True
    others = batch_of(pasted=pasted).coded_other_classes
    assert others.int()[:, :, 0].tolist() == [[[0, 0], [1, 0]], [[0, 0], [0, 0]]]


def test_the_losses_of_classes_add_up() -> None:
    torch.manual_seed(0)
    preset = with_classes(TEACHER, 2)
    network = AutoEncoder(preset.network).eval()
    network.codebook.codes.copy_(torch.eye(37, 32))
    batch = batch_of()
    found = coded_losses(network, batch, preset, None)
    assert found.logits.shape == (2, 2, 2, 2)
    assert int(found.assignment.max()) < 32
    one, other = found.logits.unbind(1)

    def softplus(values: torch.Tensor) -> torch.Tensor:
        return torch.log1p(torch.exp(values.double()))

    highest = min(4, preset.mil.hard_negatives_px // 4)
    claim = softplus(-one[0].flatten().topk(2).values).mean()
    # Class 1 has no known negative place, class 2 nothing but.
    assert found.losses["claim"].item() == pytest.approx(claim.item(), rel=1e-4)
    assert found.losses["avoid_mean"].item() == pytest.approx(softplus(other).mean().item())
    top = softplus(other).flatten(1).topk(highest).values.mean()
    assert found.losses["avoid_top"].item() == pytest.approx(0.5 * top.item(), rel=1e-4)
    assert found.losses["elsewhere"].item() == 0.0


def test_with_two_classes_a_share_of_one_half_is_the_middle() -> None:
    preset = with_classes(TEACHER, 2)
    network = AutoEncoder(preset.network).eval()
    codes = torch.zeros(37, 32)
    codes[:, 0] = 1.0
    network.codebook.codes.copy_(codes)
    logits = coded_losses(network, batch_of(), preset, None).logits
    expected = math.log(5 / 32)  # five codes of 37, all alike
    assert torch.allclose(logits, torch.full_like(logits, expected), atol=1e-3)


def test_places_of_a_batch_are_shared_by_the_classes(atlas: ModelAtlas) -> None:
    tiles = training_tiles(read_rows(atlas.path("training.parquet")), atlas.store, 0, CLASSES)
    assert tiles.positive.shape == (len(tiles), 2)
    assert not (tiles.positive & tiles.negative).any()
    state = State(
        modules={},
        optimisers={},
        pools={},
        rng=torch.Generator().manual_seed(0),
        positive=tiles.positive & tiles.kept[:, None],
        share=torch.zeros(tiles.positive.shape),
        judged=torch.zeros(2, dtype=torch.bool),
    )
    batch = draw(tiles, state, with_classes(TEACHER, 2), torch.device("cpu"))
    assert batch.positive[:4, 0].all()
    assert batch.positive[4:8, 1].all()
    assert batch.negative[8:12, 0].all()
    assert batch.negative[12:, 1].all()
    assert not (batch.pasted.flatten(1).any(1) & ~batch.positive.any(1)).any()
    # Discs are wide: they do not stand out, but they are brown.
    assert batch.candidate[batch.positive[:, 1], 1].any()


def test_thresholds_come_from_each_classs_own_negatives(atlas: ModelAtlas) -> None:
    rows = read_rows(atlas.path("training.parquet"))
    tiles, source = calibration_tiles(rows, atlas.store, 0, CLASSES)
    assert tiles.negative.any(1).all()
    assert not (tiles.negative & tiles.positive).any()
    assert set(source.split("/")) <= {"validation", "train"}


@pytest.fixture(scope="module")
def trained(atlas: ModelAtlas) -> Path:
    return atlas.train("model", max_steps=110, classes=CLASSES)


def test_two_classes_are_found_each_where_it_is(atlas: ModelAtlas, trained: Path) -> None:
    atlas.segment("model")
    receipts = tables.read_parquet(atlas.path("segmented.parquet"), SegmentedRow)
    assert {row.classes for row in receipts} == {"rim;disc"}
    areas: dict[tuple[str, bool], list[float]] = {}
    overlap = []
    for number, row in enumerate(receipts, start=1):
        for name, label in (("rim", "stain"), ("disc", "stain-disc")):
            mask = np.asarray(atlas.store.label(row.image_id, label)[:]) > 0
            areas.setdefault((name, has(number)[name]), []).append(float(mask.mean()))
            assert atlas.store.label_digest(row.image_id, label) == row.digest
            truth = drawn(number)[1]
            if name == "disc" and truth.any():
                overlap.append(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))
    for name in ("rim", "disc"):
        assert np.mean(areas[name, True]) > 5 * np.mean(areas[name, False])
    assert np.mean(overlap) > 0.5


def test_a_model_of_classes_comes_back_as_it_was(trained: Path) -> None:
    model = load_model(trained)
    assert [(one.name, one.shape) for one in model.classes] == [("rim", "line"), ("disc", "area")]
    description = json.loads((trained / "model.json").read_text())
    limits = [one["thresholds"] for one in description["classes"]]
    assert [dataclasses.asdict(one) for one in model.thresholds] == limits
    assert description["thresholds"] == limits[0]
    rows = pd.read_csv(trained / "training.csv")
    assert (
        rows[["perplexity_c", "perplexity_c_2", "c_share_2", "positive_tiles_2"]]
        .notna()
        .all()
        .all()
    )


@pytest.mark.usefixtures("lenient")
def test_an_interrupted_run_of_classes_goes_on_bit_for_bit(
    atlas: ModelAtlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "STEPS_BETWEEN_SAVES", 10)
    options = {"max_steps": 36, "classes": CLASSES}
    whole = atlas.train("whole", **options)
    add = metrics_log.Curve.add

    def interrupt(self: metrics_log.Curve, state: State, *rest: object) -> None:
        if state.step == 34:
            raise KeyboardInterrupt
        add(self, state, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(metrics_log.Curve, "add", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atlas.train("parts", **options)
    monkeypatch.setattr(metrics_log.Curve, "add", add)
    parts = atlas.train("parts", **options)
    for name in ("checkpoint.safetensors", "model.json", "training.csv"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes()


@pytest.mark.usefixtures("lenient")
def test_one_class_with_a_name_is_todays_method(atlas: ModelAtlas) -> None:
    """A class of shape line alone learns the same weights as the column `label`."""
    plain = atlas.train("plain", max_steps=32)
    named = atlas.train("named", max_steps=32, classes=(RIM,))
    weights = "checkpoint.safetensors"
    assert (plain / weights).read_bytes() == (named / weights).read_bytes()
    assert load_model(plain).thresholds == load_model(named).thresholds
    assert "classes" not in json.loads((plain / "model.json").read_text())
    assert load_model(named).classes == (TargetClass(name="rim"),)


@pytest.mark.usefixtures("lenient")
def test_the_papers_preset_runs_with_classes(atlas: ModelAtlas) -> None:
    model = load_model(atlas.train("paper", preset="paper", max_steps=6, classes=CLASSES))
    assert model.preset.network.class_codes == (5, 5)
    assert all((one.low, one.high) == (0.0, 0.0) for one in model.thresholds)


def test_a_class_that_the_tiles_lack_is_named(atlas: ModelAtlas, tmp_path: Path) -> None:
    given = atlas.path("training.parquet"), atlas.path("atlas.zarr"), tmp_path
    with pytest.raises(
        ConfigError, match=r"No label for the class 'disk'; the table has rim, disc"
    ):
        train.train(*given, max_steps=2, classes=(RIM, TargetClass(name="disk")))


def test_a_class_with_labels_of_one_sort_is_named(atlas: ModelAtlas, tmp_path: Path) -> None:
    frame = tables.read_frame([atlas.path("training.parquet")], TileRow)
    frame["class_labels"] = frame["class_labels"].str.replace("disc=positive", "disc=")
    tables.write_parquet(tmp_path / "training.parquet", frame, TileRow)
    with pytest.raises(TrainingError, match=r"no positive tile of the class disc.*labels\.overri"):
        train.train(
            tmp_path / "training.parquet",
            atlas.path("atlas.zarr"),
            tmp_path / "model",
            max_steps=2,
            classes=CLASSES,
        )


def test_a_collapsed_codebook_names_its_class(
    atlas: ModelAtlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_adrift(monkeypatch, 1)
    with pytest.raises(TrainingError, match="C is used nowhere on positive tiles of the class rim"):
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
def test_a_description_of_other_classes_is_refused(
    tmp_path: Path, change: object, sentence: str
) -> None:
    preset = with_classes(TEACHER, 2)
    network = AutoEncoder(preset.network)
    save_model(tmp_path, [network], preset, classes=(RIM, DISC), thresholds=LIMITS, attributes={})
    assert load_model(tmp_path).thresholds == LIMITS
    path = tmp_path / "model.json"
    description = json.loads(path.read_text())
    change(description)  # type: ignore[operator]
    path.write_text(json.dumps(description))
    with pytest.raises(CheckpointError, match=sentence):
        load_model(tmp_path)
