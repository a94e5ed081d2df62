"""Teachers and their pseudo-labels, relabelling of tiles, and a whole training of both."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from cacl.config import TargetClass
from cacl.hpa.pixel_labels import PseudoLabel
from cacl.image.pixel_flags import candidate_mask
from cacl.model import presets
from cacl.model.checkpoint import load_model
from cacl.model.config import DistillConfig, Preset
from cacl.model.data.batches import InstanceLabels
from cacl.model.data.dataset import TileDataset, read_rows, training_tiles
from cacl.model.device import make_fabric
from cacl.model.inference.masks import MASKED_LOGIT
from cacl.model.inference.predict import predict_logits
from cacl.model.inference.thresholds import calibrate_thresholds
from cacl.model.networks.autoencoder import AutoEncoder
from cacl.model.presets import (
    PAPER,
    QUICK,
    ROBUST,
    TEACHER,
    get_preset,
    preset_digest,
    with_classes,
)
from cacl.model.training import loop, monitor, networks, pseudo_labels, train
from cacl.model.training.losses import LossBreakdown
from cacl.model.training.plan import PlannedNetwork, stages
from cacl.model.training.run import TrainingRun, ema_update
from cacl.runtime.compute import Compute
from tests.fixtures.model_atlas import ModelAtlas

pytestmark = pytest.mark.slow

STEPS = 300
assert ROBUST.distill is not None
DISTILL = ROBUST.distill


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> ModelAtlas:
    made = ModelAtlas(tmp_path_factory.mktemp("teach")).build()
    made.select()
    return made


@pytest.fixture(scope="module")
def robust(atlas: ModelAtlas) -> Path:
    return atlas.train("robust", preset="robust", max_steps=STEPS)


def test_robust_model_is_a_student_of_teachers(atlas: ModelAtlas, robust: Path) -> None:
    description = json.loads((robust / "model.json").read_text())
    assert (description["preset"], description["n_ensemble"]) == ("robust", 1)
    assert description["steps"] == STEPS
    rows = pd.read_csv(robust / "training.csv")
    assert rows["step"].is_monotonic_increasing
    assert rows["step"].iloc[-1] == STEPS
    n_teachers = DISTILL.n_teachers
    assert rows["network"].unique().tolist() == list(range(1, n_teachers + 2))
    assert rows.loc[rows["pseudo_label_bce"].notna(), "network"].unique().tolist() == [
        n_teachers + 1
    ]
    assert rows["topk_positive"].notna().sum() > 0
    assert rows["pseudo_label_bce"].notna().sum() > 0
    assert not (rows["topk_positive"].notna() & rows["pseudo_label_bce"].notna()).any()
    model = load_model(robust)
    assert model.networks[0].architecture == ROBUST.network
    assert sorted(path.name for path in robust.iterdir()) == [
        "checkpoint.safetensors",
        "model.json",
        "speed.csv",
        "speed.csv.sha256",
        "training.csv",
        "training.csv.sha256",
    ]


def test_pseudo_labels_follow_image_labels_and_candidates(atlas: ModelAtlas, robust: Path) -> None:
    tiles = training_tiles(read_rows(atlas.path("training.parquet")), atlas.store, 0)
    models = load_model(robust).networks
    made, _ = pseudo_labels.add_pseudo_labels([models], tiles, ROBUST, 1)
    labels = made.pixels[:, 4]
    candidate = candidate_mask(tiles.pixels[:, 3], tiles.classes[0].shape)
    assert not labels[~candidate].any()
    assert not (labels[tiles.negative[:, 0]] == PseudoLabel.POSITIVE).any()
    assert (
        labels[tiles.negative[:, 0]][candidate[tiles.negative[:, 0]]] == PseudoLabel.NEGATIVE
    ).all()
    assert (labels[tiles.positive[:, 0]] == PseudoLabel.POSITIVE).any()
    assert torch.equal(
        made.has_positive_pixels[:, 0], (labels == PseudoLabel.POSITIVE).flatten(1).any(1)
    )
    again, _ = pseudo_labels.add_pseudo_labels([models], made, ROBUST, 1)
    assert torch.equal(again.pixels, made.pixels)


def test_ignores_pixels_positive_in_two_classes(atlas: ModelAtlas, robust: Path) -> None:
    tiles = training_tiles(read_rows(atlas.path("training.parquet")), atlas.store, 0)
    models, other = load_model(robust).networks, TargetClass(name="other")
    positive, negative = tiles.positive.repeat(1, 2), tiles.negative.repeat(1, 2)
    shared = tiles.positive[:, 0] & (tiles.image_index % 2 == 0)
    positive[:, 1] = shared
    manual, classes = tiles.manual.repeat(1, 2), (*tiles.classes, other)
    two = replace(tiles, positive=positive, negative=negative, manual=manual, classes=classes)
    labels = pseudo_labels.add_pseudo_labels([models, models], two, ROBUST, 1)[0].pixels[:, 4:]
    assert not (labels == PseudoLabel.POSITIVE).all(1).any()
    assert not (labels[shared] == PseudoLabel.NEGATIVE).any()
    single = pseudo_labels.add_pseudo_labels([models], tiles, ROBUST, 1)[0].pixels[:, 4]
    assert (labels[shared, 0] == PseudoLabel.POSITIVE).sum() < (
        single[shared] == PseudoLabel.POSITIVE
    ).sum() / 2
    alone = labels[tiles.positive[:, 0] & ~shared]
    assert set(alone[:, 0].flatten().tolist()) == {
        PseudoLabel.IGNORE,
        PseudoLabel.NEGATIVE,
        PseudoLabel.POSITIVE,
    }
    assert not alone[:, 1].any()
    assert set(labels[tiles.negative[:, 0]].flatten().tolist()) == {
        PseudoLabel.IGNORE,
        PseudoLabel.NEGATIVE,
    }


def test_selects_the_teacher_of_larger_separation(
    atlas: ModelAtlas, robust: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiles = training_tiles(read_rows(atlas.path("training.parquet")), atlas.store, 0)
    [trained] = load_model(robust).networks
    torch.manual_seed(0)
    untrained = AutoEncoder(ROBUST.network).eval()
    [best] = pseudo_labels.select_teachers([untrained, trained], tiles, ROBUST.post, 1)
    assert best.model is trained
    both = pseudo_labels.select_teachers([untrained, trained], tiles, ROBUST.post, 2)
    assert [one.model for one in both] == [trained, untrained]
    assert both[0].separation > 5 * both[1].separation
    pseudo_labels.warn_if_weak(both[0].separation)
    assert "separates only" not in caplog.text
    pseudo_labels.warn_if_weak(both[1].separation)
    assert "chance is 1%, expected at least 10%; check the masks by eye" in caplog.text


def test_teacher_scores_are_in_units_of_their_standard_deviation(
    atlas: ModelAtlas, robust: Path
) -> None:
    tiles = training_tiles(read_rows(atlas.path("training.parquet")), atlas.store, 0)
    [one] = load_model(robust).networks
    every = torch.arange(len(tiles))
    plain = predict_logits([one], tiles, every, 0, ROBUST.post, ROBUST.post.n_tta)
    teachers = [pseudo_labels.SelectedTeacher(one, 0.5, spread) for spread in (2.0, 4.0)]
    mean = pseudo_labels.teacher_scores(teachers, tiles, every, ROBUST.post)
    known = plain > MASKED_LOGIT
    assert np.allclose(mean[known], plain[known] * (1 / 2 + 1 / 4) / 2, atol=1e-5)
    assert (mean[~known] == MASKED_LOGIT).all()


def test_divides_steps_among_networks() -> None:
    plan = stages(ROBUST, None)
    teacher, student = (PlannedNetwork(one, one.optim.steps, (0,)) for one in (TEACHER, ROBUST))
    assert plan == [*[teacher] * DISTILL.n_teachers, student]
    steps = [one.steps for one in stages(ROBUST, 150)]
    assert sum(steps) == 150
    assert steps[0] / steps[-1] == pytest.approx(TEACHER.optim.steps / ROBUST.optim.steps, rel=0.1)
    assert stages(PAPER, 5) == [PlannedNetwork(PAPER, 5, (0,))]


def test_quick_preset_has_a_sixth_of_the_tiles_and_equal_networks() -> None:
    quick, robust = (
        sum(one.steps * one.preset.optim.batch_size for one in stages(preset, None))
        for preset in (QUICK, ROBUST)
    )
    assert (quick, robust) == (10_200, 65_600)
    assert QUICK.network == ROBUST.network
    assert get_preset("quick") == QUICK


def test_digest_of_a_preset_covers_its_teachers(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: preset_digest(name) for name in presets.PRESETS}
    assert len(set(before.values())) == len(before)
    changed = replace(QUICK, distill=replace(DISTILL, teacher=replace(TEACHER, mil=None)))
    monkeypatch.setitem(presets.PRESETS, "quick", changed)
    assert preset_digest("quick") != before["quick"]
    assert preset_digest("robust") == before["robust"]


def short(extra_rounds: int) -> Preset:
    """Return `robust` with one teacher, few steps, and rounds of self-training."""
    teacher = replace(TEACHER, optim=replace(TEACHER.optim, steps=60))
    distill = DistillConfig(teacher=teacher, n_teachers=1, top_k=1, extra_rounds=extra_rounds)
    return replace(ROBUST, optim=replace(ROBUST.optim, steps=30), distill=distill)


def train_short(atlas: ModelAtlas, out: str, extra_rounds: int) -> Path:
    train.train(
        train.TrainingFiles(atlas.path("training.parquet"), atlas.path("atlas.zarr")),
        atlas.path(out),
        preset=short(extra_rounds),
        compute=Compute(threads=1),
    )
    return atlas.path(out)


def steps_of(model: Path) -> int:
    return int(json.loads((model / "model.json").read_text())["steps"])


@pytest.mark.usefixtures("lenient")
def test_weak_teachers_lead_to_further_rounds(
    atlas: ModelAtlas, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(networks, "MIN_SEPARATION", 0.0)
    plain = train_short(atlas, "strong", 2)
    assert steps_of(plain) == 60 + 30
    monkeypatch.setattr(networks, "MIN_SEPARATION", 1.0)
    monkeypatch.setattr(pseudo_labels, "MIN_SEPARATION", 1.0)
    caplog.clear()
    rounds = train_short(atlas, "rounds", 2)
    assert steps_of(rounds) == 60 + 3 * 30
    assert caplog.text.count("separates only") == 1
    curves = pd.read_csv(rounds / "training.csv")
    assert curves["network"].unique().tolist() == [1, 2, 3, 4]
    first, third = (load_model(model).networks[0].state_dict() for model in (plain, rounds))
    assert not all(torch.equal(first[name], third[name]) for name in first)
    assert steps_of(atlas.train("limited", preset=short(2), max_steps=45)) == 45


@pytest.mark.usefixtures("lenient")
def test_a_further_round_resumes_bit_for_bit(
    atlas: ModelAtlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "MIN_SEPARATION", 1.0)
    monkeypatch.setattr(loop, "STEPS_BETWEEN_SAVES", 10)
    whole = train_short(atlas, "whole", 1)
    add, done = monitor.MetricsLog.add, itertools.count(1)

    def interrupt(self: monitor.MetricsLog, breakdown: LossBreakdown) -> None:
        if next(done) == 60 + 30 + 15:
            raise KeyboardInterrupt
        add(self, breakdown)

    monkeypatch.setattr(monitor.MetricsLog, "add", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train_short(atlas, "parts", 1)
    assert (atlas.path("parts") / networks.STATES / "2.safetensors").exists()
    monkeypatch.setattr(monitor.MetricsLog, "add", add)
    train_short(atlas, "parts", 1)
    names = ("checkpoint.safetensors", "model.json", "training.csv")
    assert all(
        (whole / name).read_bytes() == (atlas.path("parts") / name).read_bytes() for name in names
    )


def test_every_teacher_has_its_own_teachers() -> None:
    two = replace(
        ROBUST, distill=DistillConfig(teacher=ROBUST, n_teachers=2, top_k=2), n_ensemble=2
    )
    first = [TEACHER] * DISTILL.n_teachers + [ROBUST]
    assert [one.preset for one in stages(two, None)] == [*first, *first, two] * 2


def test_each_teacher_learns_one_of_several_classes() -> None:
    three = with_classes(ROBUST, 3)
    plan = stages(three, None)
    each = [(0,), (1,), (2,)] * (DISTILL.n_teachers // 2)
    assert [one.class_indices for one in plan] == [*each, (0, 1, 2)]
    assert {one.preset for one in plan[:-1]} == {TEACHER}
    assert plan[-1] == PlannedNetwork(three, ROBUST.optim.steps, (0, 1, 2))
    assert {one.class_indices for one in stages(with_classes(PAPER, 3), None)} == {(0, 1, 2)}


def test_each_model_of_an_ensemble_has_its_own_teachers(atlas: ModelAtlas, robust: Path) -> None:
    both = load_model(atlas.train("both", preset="robust", max_steps=STEPS, seeds=2))
    assert len(both.networks) == 2
    one = load_model(robust).networks[0].state_dict()
    first, second = (network.state_dict() for network in both.networks)
    assert all(torch.equal(one[name], first[name]) for name in one)
    assert not all(torch.equal(one[name], second[name]) for name in one)
    names = pd.read_csv(atlas.path("both") / "training.csv")
    assert (
        names["step"].iloc[-1]
        == json.loads((atlas.path("both") / "model.json").read_text())["steps"]
    )


def test_ema_forgets_its_initial_weights() -> None:
    network = torch.nn.Linear(2, 1)
    ema_model = AveragedModel(network, multi_avg_fn=ema_update(0.9), use_buffers=True)
    averaged = ema_model.module
    assert isinstance(averaged, torch.nn.Linear)
    with torch.no_grad():
        network.weight.fill_(1.0)
        averaged.weight.fill_(9.0)
    ema_model.update_parameters(network)
    assert torch.equal(averaged.weight, network.weight)
    with torch.no_grad():
        network.weight.fill_(2.0)
    ema_model.n_averaged.fill_(1000)
    ema_model.update_parameters(network)
    assert torch.allclose(averaged.weight, torch.full((1, 2), 1.1))


def test_stops_early_without_a_lower_validation_loss(
    atlas: ModelAtlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "validation_loss", lambda *_: 1.0)
    monkeypatch.setattr(loop, "STEPS_BETWEEN_CHECKS", 5)
    folder = atlas.train("bored", preset="robust", max_steps=STEPS)
    steps = json.loads((folder / "model.json").read_text())["steps"]
    n_teachers = sum(one.steps for one in stages(ROBUST, STEPS) if one.preset == TEACHER)
    assert ROBUST.optim.patience is not None
    assert steps == n_teachers + 5 * (1 + ROBUST.optim.patience)


def test_validation_loss_is_lower_for_the_right_labels(atlas: ModelAtlas, robust: Path) -> None:
    tiles = training_tiles(read_rows(atlas.path("training.parquet")), atlas.store, 0)
    model, rng = load_model(robust).networks[0], torch.Generator().manual_seed(0)
    right = monitor.validation_loss(model, tiles, tiles, tiles.positive, ROBUST.post, rng)
    wrong = monitor.validation_loss(model, tiles, tiles, tiles.negative, ROBUST.post, rng)
    assert 0.0 <= right < wrong


def test_high_threshold_follows_the_harder_negatives(atlas: ModelAtlas, robust: Path) -> None:
    tiles = training_tiles(read_rows(atlas.path("training.parquet")), atlas.store, 0)
    models = load_model(robust).networks

    def sure(held_out: TileDataset) -> float:
        [limits] = calibrate_thresholds(models, tiles, held_out, ROBUST)
        assert limits.low <= limits.high
        return limits.high

    blank = replace(tiles, pixels=torch.zeros_like(tiles.pixels))
    known = sure(blank)
    assert sure(tiles) >= known
    fainter = (255 - 0.7 * (255.0 - tiles.pixels[:, :3])).to(torch.uint8)
    harder = replace(
        tiles, pixels=torch.cat([fainter, tiles.pixels[:, 3:]], 1), negative=tiles.positive
    )
    assert sure(harder) > sure(tiles) + 0.5


def test_relabelling_keeps_a_quarter_of_the_tiles_of_each_positive_image(
    atlas: ModelAtlas, robust: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pseudo_labels, "MIN_TILE_AREA", 1.0)
    tiles = training_tiles(read_rows(atlas.path("training.parquet")), atlas.store, 0)
    model = load_model(robust).networks[0]
    labels = InstanceLabels(
        positive=tiles.positive.clone(),
        positive_fraction=torch.zeros(tiles.positive.shape),
        relabelled=torch.zeros(1, dtype=torch.bool),
    )
    rng = torch.Generator().manual_seed(0)
    pseudo_labels.relabel_instances(model, tiles, tiles, labels, 0, TEACHER.post, rng)
    assert labels.relabelled.all()
    for image in tiles.image_index[tiles.positive[:, 0]].tolist():
        of_image = tiles.image_index == image
        assert int(labels.positive[of_image, 0].sum()) == round(int(of_image.sum()) / 4)
    assert not labels.positive[tiles.negative[:, 0], 0].any()


def test_counts_checks_since_the_lowest_validation_loss(atlas: ModelAtlas) -> None:
    tiles = training_tiles(read_rows(atlas.path("training.parquet")), atlas.store, 0)
    run = TrainingRun.create(TEACHER, tiles, make_fabric(1), 0)
    for loss, bad_checks in ((2.0, 0), (1.0, 0), (1.5, 1), (1.0, 2), (0.5, 0)):
        run.update_patience(loss)
        assert run.bad_checks == bad_checks
