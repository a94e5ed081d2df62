"""What a first model teaches the next: levels, layers, and a whole training of both."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cacl.config import TargetClass
from cacl.model.checkpoint import load_model
from cacl.model.config import PAPER, ROBUST, TEACHER, DistillConfig, with_classes
from cacl.model.data.dataset import LACKS, SHOWS, UNKNOWN, TileDataset, read_rows, training_tiles
from cacl.model.inference.masks import MASKED_LOGIT
from cacl.model.inference.predict import predict_logits
from cacl.model.inference.thresholds import calibrate_thresholds
from cacl.model.networks.autoencoder import AutoEncoder
from cacl.model.training import elect, judge, loop, pseudo_labels
from cacl.model.training import plan as lineage
from cacl.model.training.begin import move_average
from cacl.model.training.state import State
from tests.fixtures.model_atlas import ModelAtlas

STEPS = 300


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> ModelAtlas:
    made = ModelAtlas(tmp_path_factory.mktemp("teach")).build()
    made.select()
    return made


@pytest.fixture(scope="module")
def robust(atlas: ModelAtlas) -> Path:
    return atlas.train("robust", preset="robust", max_steps=STEPS)


def test_a_robust_model_is_a_pupil_of_scouts(atlas: ModelAtlas, robust: Path) -> None:
    description = json.loads((robust / "model.json").read_text())
    assert (description["preset"], description["n_ensemble"]) == ("robust", 1)
    assert description["steps"] == STEPS
    rows = pd.read_csv(robust / "training.csv")
    assert rows["step"].is_monotonic_increasing
    assert rows["step"].iloc[-1] == STEPS
    scouts = ROBUST.distill.n_teachers
    assert rows["network"].unique().tolist() == list(range(1, scouts + 2))
    assert rows.loc[rows["told"].notna(), "network"].unique().tolist() == [scouts + 1]
    assert rows["claim"].notna().sum() > 0
    assert rows["told"].notna().sum() > 0
    assert not (rows["claim"].notna() & rows["told"].notna()).any()
    model = load_model(robust)
    assert model.networks[0].architecture == ROBUST.network
    assert sorted(path.name for path in robust.iterdir()) == [
        "checkpoint.safetensors",
        "model.json",
        "speed.csv",
        "training.csv",
    ]


def test_the_layers_keep_to_labels_and_candidates(atlas: ModelAtlas, robust: Path) -> None:
    tiles = training_tiles(read_rows(atlas.path("training.parquet")), atlas.store, 0)
    models = load_model(robust).networks
    made = pseudo_labels.taught([models], tiles, ROBUST, 1)
    told = made.pixels[:, 4]
    candidate = judge.candidate_mask(tiles.pixels[:, 3], tiles.classes[0])
    assert not told[~candidate].any()
    assert not (told[tiles.negative[:, 0]] == SHOWS).any()
    assert (told[tiles.negative[:, 0]][candidate[tiles.negative[:, 0]]] == LACKS).all()
    assert (told[tiles.positive[:, 0]] == SHOWS).any()
    assert torch.equal(made.shown[:, 0], (told == SHOWS).flatten(1).any(1))
    again = pseudo_labels.taught([models], made, ROBUST, 1)
    assert torch.equal(again.pixels, made.pixels)


def test_what_two_classes_are_shown_to_have_is_told_of_neither(
    atlas: ModelAtlas, robust: Path
) -> None:
    tiles = training_tiles(read_rows(atlas.path("training.parquet")), atlas.store, 0)
    models, other = load_model(robust).networks, TargetClass(name="other")
    positive, negative = tiles.positive.repeat(1, 2), tiles.negative.repeat(1, 2)
    shared = tiles.positive[:, 0] & (tiles.image % 2 == 0)
    positive[:, 1] = shared
    fixed, classes = tiles.fixed.repeat(1, 2), (*tiles.classes, other)
    two = replace(tiles, positive=positive, negative=negative, fixed=fixed, classes=classes)
    told = pseudo_labels.taught([models, models], two, ROBUST, 1).pixels[:, 4:]
    assert not (told == SHOWS).all(1).any()
    assert not (told[shared] == LACKS).any()
    single = pseudo_labels.taught([models], tiles, ROBUST, 1).pixels[:, 4]
    assert (told[shared, 0] == SHOWS).sum() < (single[shared] == SHOWS).sum() / 2
    alone = told[tiles.positive[:, 0] & ~shared]
    assert set(alone[:, 0].unique().tolist()) == {UNKNOWN, LACKS, SHOWS}
    assert not alone[:, 1].any()
    assert set(told[tiles.negative[:, 0]].unique().tolist()) == {UNKNOWN, LACKS}


def test_of_two_networks_that_which_knows_the_pattern_is_heard(
    atlas: ModelAtlas, robust: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiles = training_tiles(read_rows(atlas.path("training.parquet")), atlas.store, 0)
    [knows] = load_model(robust).networks
    torch.manual_seed(0)
    knows_nothing = AutoEncoder(ROBUST.network).eval()
    [best] = elect.elect([knows_nothing, knows], tiles, ROBUST, 1)
    assert best.model is knows
    both = elect.elect([knows_nothing, knows], tiles, ROBUST, 2)
    assert [one.model for one in both] == [knows, knows_nothing]
    assert both[0].worth > 5 * both[1].worth
    assert "stands out" not in caplog.text
    elect.elect([knows_nothing], tiles, ROBUST, 1)
    assert "look at the masks before you believe them" in caplog.text


def test_networks_are_heard_in_units_of_their_spread(atlas: ModelAtlas, robust: Path) -> None:
    tiles = training_tiles(read_rows(atlas.path("training.parquet")), atlas.store, 0)
    [one] = load_model(robust).networks
    every = torch.arange(len(tiles))
    plain = predict_logits([one], tiles, every, 0, ROBUST.post, ROBUST.post.n_tta)
    heard = [elect.Heard(one, 0.5, spread) for spread in (2.0, 4.0)]
    mean = elect.scores(heard, tiles, every, ROBUST)
    known = plain > MASKED_LOGIT
    assert np.allclose(mean[known], plain[known] * (1 / 2 + 1 / 4) / 2, atol=1e-5)
    assert (mean[~known] == MASKED_LOGIT).all()


def test_steps_are_shared_by_the_networks() -> None:
    plan = lineage.networks(ROBUST, None)
    scout, pupil = (lineage.Planned(one, one.optim.steps, (0,)) for one in (TEACHER, ROBUST))
    assert plan == [*[scout] * ROBUST.distill.n_teachers, pupil]
    steps = [one.steps for one in lineage.networks(ROBUST, 150)]
    assert sum(steps) == 150
    assert steps[0] / steps[-1] == pytest.approx(TEACHER.optim.steps / ROBUST.optim.steps, rel=0.1)
    assert lineage.networks(PAPER, 5) == [lineage.Planned(PAPER, 5, (0,))]


def test_every_teacher_has_teachers_of_its_own() -> None:
    two = replace(
        ROBUST, distill=DistillConfig(teacher=ROBUST, n_teachers=2, top_k=2), n_ensemble=2
    )
    first = [TEACHER] * ROBUST.distill.n_teachers + [ROBUST]
    assert [one.preset for one in lineage.networks(two, None)] == [*first, *first, two] * 2


def test_of_several_classes_each_has_teachers_that_know_it_alone() -> None:
    three = with_classes(ROBUST, 3)
    plan = lineage.networks(three, None)
    each = [(0,), (1,), (2,)] * (ROBUST.distill.n_teachers // 2)
    assert [one.classes for one in plan] == [*each, (0, 1, 2)]
    assert {one.preset for one in plan[:-1]} == {TEACHER}
    assert plan[-1] == lineage.Planned(three, ROBUST.optim.steps, (0, 1, 2))
    assert {one.classes for one in lineage.networks(with_classes(PAPER, 3), None)} == {(0, 1, 2)}


def test_each_seed_trains_teachers_of_its_own(atlas: ModelAtlas, robust: Path) -> None:
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


def test_the_average_forgets_where_it_began() -> None:
    average, network = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    with torch.no_grad():
        network.weight.fill_(1.0)
        average.weight.fill_(9.0)
    move_average(average, network, 0.9, 0)
    assert torch.equal(average.weight, network.weight)
    with torch.no_grad():
        network.weight.fill_(2.0)
    move_average(average, network, 0.9, 1000)
    assert torch.allclose(average.weight, torch.full((1, 2), 1.1))


def test_training_ends_when_the_model_gets_no_surer(
    atlas: ModelAtlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "unease", lambda *_: 1.0)
    monkeypatch.setattr(loop, "STEPS_BETWEEN_CHECKS", 5)
    folder = atlas.train("bored", preset="robust", max_steps=STEPS)
    steps = json.loads((folder / "model.json").read_text())["steps"]
    scouts = sum(one.steps for one in lineage.networks(ROBUST, STEPS) if one.preset == TEACHER)
    assert steps == scouts + 5 * (1 + ROBUST.optim.patience)


def test_unease_is_less_for_a_model_that_knows(atlas: ModelAtlas, robust: Path) -> None:
    tiles = training_tiles(read_rows(atlas.path("training.parquet")), atlas.store, 0)
    model, rng = load_model(robust).networks[0], torch.Generator().manual_seed(0)
    right = judge.unease(model, tiles, tiles, tiles.positive, ROBUST, rng)
    wrong = judge.unease(model, tiles, tiles, tiles.negative, ROBUST, rng)
    assert 0.0 <= right < wrong


def test_masks_are_sure_beyond_the_harder_negatives(atlas: ModelAtlas, robust: Path) -> None:
    tiles = training_tiles(read_rows(atlas.path("training.parquet")), atlas.store, 0)
    models = load_model(robust).networks

    def sure(held_out: TileDataset) -> float:
        [limits] = calibrate_thresholds(models, tiles, held_out, ROBUST)
        assert limits.low <= limits.high
        return limits.high

    blank = replace(tiles, pixels=torch.zeros_like(tiles.pixels))
    known = sure(blank)
    assert sure(tiles) == pytest.approx(known, abs=0.2)
    fainter = (255 - 0.7 * (255.0 - tiles.pixels[:, :3])).to(torch.uint8)
    harder = replace(
        tiles, pixels=torch.cat([fainter, tiles.pixels[:, 3:]], 1), negative=tiles.positive
    )
    assert sure(harder) > known + 0.5


def test_every_positive_image_keeps_its_surest_tiles(
    atlas: ModelAtlas, robust: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "RESCORE_AREA", 1.0)
    tiles = training_tiles(read_rows(atlas.path("training.parquet")), atlas.store, 0)
    model = load_model(robust).networks[0]
    judged = judge.rescore(model, tiles, tiles, 0, TEACHER, torch.Generator().manual_seed(0))
    assert judged is not None
    for image in tiles.image[tiles.positive[:, 0]].tolist():
        of_image = tiles.image == image
        assert int(judged.positive[of_image].sum()) == round(int(of_image.sum()) / 4)
    assert not judged.positive[tiles.negative[:, 0]].any()


def test_a_state_remembers_how_often_it_got_worse() -> None:
    state = State({}, {}, {}, torch.Generator(), *(torch.zeros(1) for _ in range(3)))
    for unease, worse in ((2.0, 0), (1.0, 0), (1.5, 1), (1.0, 2), (0.5, 0)):
        state.note(unease)
        assert state.worse == worse
