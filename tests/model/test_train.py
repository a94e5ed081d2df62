"""Training: what it learns, that it repeats and resumes bit for bit, and what it refuses."""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from benchmarks._lib.bit_flips import flips, is_flipped
from cacl import tables
from cacl.errors import ConfigError, TrainingError
from cacl.model.checkpoint import load_model
from cacl.model.config import Preset
from cacl.model.data.dataset import read_rows, training_tiles
from cacl.model.device import make_fabric
from cacl.model.networks.codebook import SHARED
from cacl.model.presets import PAPER, ROBUST, TEACHER
from cacl.model.training import loop, monitor, train
from cacl.model.training.losses import LossBreakdown
from cacl.model.training.networks import STATES
from cacl.model.training.run import TrainingRun, learning_rate
from cacl.runtime.progress import LoggedProgress
from cacl.tables.schemas import TileRow
from tests.fixtures.model_atlas import ModelAtlas, make_codebook_diverge

pytestmark = pytest.mark.slow

PRODUCTS = ("checkpoint.safetensors", "model.json", "training.csv")


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> ModelAtlas:
    made = ModelAtlas(tmp_path_factory.mktemp("atlas")).build()
    made.select()
    return made


def same(one: Path, other: Path) -> bool:
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in PRODUCTS)


@pytest.mark.usefixtures("lenient")
@pytest.mark.parametrize("preset", [TEACHER, PAPER], ids=lambda preset: preset.name)
def test_equal_seeds_give_equal_bytes(atlas: ModelAtlas, preset: Preset) -> None:
    steps = 36 if preset == TEACHER else 12
    one = atlas.train(f"{preset.name}_1", preset=preset, max_steps=steps)
    other = atlas.train(f"{preset.name}_2", preset=preset, max_steps=steps)
    assert same(one, other)
    third = atlas.train(f"{preset.name}_3", preset=preset, max_steps=steps, seed=1)
    assert not same(one, third)


@pytest.mark.usefixtures("lenient")
@pytest.mark.parametrize(
    ("preset", "stop", "steps"), [(TEACHER, 47, 56), (ROBUST, 165, 180), (PAPER, 13, 16)]
)
def test_resumes_interrupted_run_bit_for_bit(
    atlas: ModelAtlas, monkeypatch: pytest.MonkeyPatch, preset: Preset, stop: int, steps: int
) -> None:
    """The network that is taught, of the last 40 steps of `robust`, is stopped after a save."""
    monkeypatch.setattr(loop, "STEPS_BETWEEN_SAVES", 10)
    monkeypatch.setattr(loop, "STEPS_BETWEEN_CHECKS", 5)
    whole = atlas.train(f"{preset.name}_whole", preset=preset, max_steps=steps)
    add = monitor.MetricsLog.add

    done = itertools.count(1)

    def interrupt(self: monitor.MetricsLog, breakdown: LossBreakdown) -> None:
        if next(done) == stop:
            raise KeyboardInterrupt
        add(self, breakdown)

    monkeypatch.setattr(monitor.MetricsLog, "add", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atlas.train(f"{preset.name}_parts", preset=preset, max_steps=steps)
    parts = atlas.path(f"{preset.name}_parts")
    assert any((parts / STATES).iterdir())
    assert not (parts / "model.json").exists()
    monkeypatch.setattr(monitor.MetricsLog, "add", add)
    atlas.train(f"{preset.name}_parts", preset=preset, max_steps=steps)
    assert same(whole, parts)
    assert not (parts / STATES).exists()


@pytest.mark.usefixtures("lenient")
def test_starts_again_if_a_bit_of_the_saved_run_is_flipped(
    atlas: ModelAtlas, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Other weights would be used without notice; from step 0 the result is the same."""
    whole = atlas.train("unflipped", max_steps=24)
    out = atlas.path("flipped")
    monkeypatch.setattr(loop, "STEPS_BETWEEN_SAVES", 10)
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    atlas.train("flipped", max_steps=24)
    monkeypatch.undo()
    monkeypatch.setattr(monitor, "MIN_USAGE", -1.0)
    monkeypatch.setattr(monitor, "MAX_USAGE", 2.0)
    state = out / STATES / "0.safetensors"
    tiles = training_tiles(read_rows(atlas.path("training.parquet")), atlas.store, 0)
    run = TrainingRun.create(TEACHER, tiles, make_fabric(), 0)
    for place in flips(state, 100):
        with is_flipped(state, place):
            run.resume(state, "any")
    assert run.step == 0
    assert caplog.text.count("training starts from step 0") == 100
    assert caplog.text.count("is damaged") + caplog.text.count("no safetensors file") == 100
    data = bytearray(state.read_bytes())
    data[len(data) // 2] ^= 4
    state.write_bytes(data)
    atlas.train("flipped", max_steps=24)
    assert same(whole, out)


@pytest.mark.usefixtures("lenient")
def test_ignores_saved_run_of_other_settings(
    atlas: ModelAtlas, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fresh = atlas.train("fresh", max_steps=34)
    out = atlas.path("mixed")
    out.mkdir()
    monkeypatch.setattr(loop, "STEPS_BETWEEN_SAVES", 10)
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    atlas.train("mixed", max_steps=12, seed=5)
    monkeypatch.undo()
    monkeypatch.setattr(monitor, "MIN_USAGE", -1.0)
    monkeypatch.setattr(monitor, "MAX_USAGE", 2.0)
    assert any((out / STATES).iterdir())
    atlas.train("mixed", max_steps=34)
    assert "of another run" in caplog.text
    assert same(fresh, out)


@pytest.mark.usefixtures("lenient")
def test_writes_description_metrics_and_progress_line(
    atlas: ModelAtlas, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    folder = atlas.train("described", max_steps=32)
    description = json.loads((folder / "model.json").read_text())
    assert description["preset"] == "teacher"
    assert description["steps"] == 32
    assert description["threshold_source"] == "image-wise labels, validation negatives"
    assert re.fullmatch(r"CPU with \w+(, bfloat16)?, 1 thread\(s\)", description["trained_on"])
    assert len(description["training_data_digest"]) == 64
    assert dataclasses.asdict(load_model(folder).thresholds[0]) == description["thresholds"]
    rows = pd.read_csv(folder / "training.csv")
    assert rows["step"].tolist() == [10, 20, 30, 32]
    assert rows[["topk_positive", "negative_bce"]].notna().all().all()
    last = rows.iloc[-1]
    parts = [
        "reconstruction",
        "commitment",
        "negative_bce",
        "hard_negative_bce",
        "background_bce",
        "topk_positive",
        "self_training",
    ]
    assert last["total"] == pytest.approx(last[parts].sum(), rel=1e-4)
    assert list(pd.read_csv(folder / "speed.csv")) == ["step", "tiles_per_second"]
    assert "train: steps: 32 of 32, teacher, network 1" in caplog.messages
    [line] = [text for text in caplog.messages if "step 32 of 32" in text]
    assert re.search(r"train: teacher, network 1: step 32 of 32, \d+\.\d tiles/s, ", line)
    for name in ("total", *parts, "perplexity_s", "perplexity_c", "dead_codes", "c_fraction"):
        [shown] = re.findall(rf", {name} ([-+.e\d]+)", line)
        # Four digits of the value against six in the file: each is off by half a unit.
        assert float(shown) == pytest.approx(last[name], rel=5.1e-4, abs=1e-12)


@pytest.mark.usefixtures("lenient")
def test_progress_counts_the_steps_of_all_networks(
    atlas: ModelAtlas, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    atlas.train("two", seeds=2, max_steps=12)
    stated = [LoggedProgress.last_of(f" INFO {text}\n") for text in caplog.messages]
    assert [(each.done, each.total) for each in stated if each] == [(12, 24), (24, 24)]


@pytest.mark.usefixtures("lenient")
def test_paper_preset_has_its_losses_and_channels(atlas: ModelAtlas) -> None:
    model = load_model(atlas.train("paper", preset="paper", max_steps=12))
    assert (model.thresholds[0].low, model.thresholds[0].high) == (0.0, 0.0)
    assert model.networks[0].codebook.channel_mask.sum(0).tolist() == [27.0] * 32 + [5.0] * 32
    rows = pd.read_csv(atlas.path("paper") / "training.csv")
    assert rows.loc[0, ["discriminative", "mapping", "critic"]].notna().all()
    assert rows[["topk_positive", "negative_bce", "background_bce"]].isna().all().all()


@pytest.mark.usefixtures("lenient")
@pytest.mark.parametrize(
    ("ablated", "group"),
    [
        (dataclasses.replace(TEACHER, mil=None), "mil"),
        (dataclasses.replace(TEACHER, augment=None), "augment"),
        (dataclasses.replace(PAPER, critic=None), "critic"),
    ],
)
def test_trains_without_a_group(atlas: ModelAtlas, ablated: Preset, group: str) -> None:
    folder = atlas.train(f"without_{group}", preset=ablated, max_steps=12)
    losses = pd.read_csv(folder / "training.csv").notna().any()
    assert losses["reconstruction"]
    if group == "mil":
        assert not losses[["topk_positive", "hard_negative_bce"]].any()
    if group == "critic":
        assert not losses[["mapping", "critic"]].any()


@pytest.mark.usefixtures("lenient")
def test_time_limit_stops_training(atlas: ModelAtlas) -> None:
    folder = atlas.train("timed", max_steps=100_000, max_minutes=0.1)
    assert json.loads((folder / "model.json").read_text())["steps"] < 1000


@pytest.mark.parametrize("label", ["positive", "negative"])
def test_rejects_training_split_without_tiles_of_a_label(
    atlas: ModelAtlas, tmp_path: Path, label: str
) -> None:
    frame = tables.read_frame([atlas.path("training.parquet")], TileRow)
    table = tmp_path / "training.parquet"
    tables.write_parquet(table, frame[frame["label"] != label], TileRow)
    with pytest.raises(TrainingError, match=rf"no {label} tile.*labels\.overrides"):
        train.train(
            train.TrainingFiles(table, atlas.path("atlas.zarr")),
            tmp_path / "model",
            limits=train.TrainingLimits(5),
        )


@pytest.mark.parametrize("preset", [ROBUST, TEACHER], ids=lambda preset: preset.name)
def test_rejects_one_tile_per_label(atlas: ModelAtlas, tmp_path: Path, preset: Preset) -> None:
    frame = tables.read_frame([atlas.path("training.parquet")], TileRow)
    learned = frame[frame["selected"] & (frame["split"] == "train")]
    table = tmp_path / "training.parquet"
    tables.write_parquet(table, learned.groupby("label").head(1), TileRow)
    given = train.TrainingFiles(table, atlas.path("atlas.zarr")), tmp_path / "model"
    if preset == ROBUST:
        with pytest.raises(TrainingError, match=r"has 1 tiles of positive .*at least 8; label"):
            train.train(*given, preset=preset, limits=train.TrainingLimits(90))
        assert not (tmp_path / "model").exists()
    else:
        with pytest.raises(TrainingError, match=r"C is used|finds no more of the class"):
            train.train(*given, preset=preset, limits=train.TrainingLimits(5))


def test_rejects_tiles_without_tissue(atlas: ModelAtlas, tmp_path: Path) -> None:
    frame = tables.read_frame([atlas.path("training.parquet")], TileRow)
    blank = frame.assign(selected=False, reason="little tissue")
    table = tmp_path / "training.parquet"
    tables.write_parquet(table, blank, TileRow)
    with pytest.raises(TrainingError, match=r"no positive tile.*min_tissue_fraction"):
        train.train(
            train.TrainingFiles(table, atlas.path("atlas.zarr")),
            tmp_path / "model",
            limits=train.TrainingLimits(5),
        )


@pytest.mark.parametrize(("adrift", "where"), [(1, "nowhere"), (SHARED, "everywhere")])
def test_collapsed_codebook_is_an_error(
    atlas: ModelAtlas, monkeypatch: pytest.MonkeyPatch, adrift: int, where: str
) -> None:
    make_codebook_diverge(monkeypatch, adrift)
    with pytest.raises(TrainingError, match=f"C is used {where} on positive tiles"):
        atlas.train(where, max_steps=5)
    assert not (atlas.path(where) / "model.json").exists()


def test_collapsed_paper_model_is_written_with_a_warning(
    atlas: ModelAtlas, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is the reference row of a benchmark, however it ends."""
    make_codebook_diverge(monkeypatch, 1)
    folder = atlas.train("fragile", preset="paper", max_steps=4)
    [warning] = json.loads((folder / "model.json").read_text())["warnings"]
    assert "C is used nowhere on positive tiles" in warning
    assert warning in caplog.text
    assert len(load_model(folder).networks) == 1


def test_one_model_without_collapse_is_enough() -> None:
    lost = "second is lost"
    monitor.raise_if_collapsed(
        [{"first": "first is lost", "second": ""}, {"first": "", "second": lost}]
    )
    monitor.raise_if_collapsed([{"first": "", "second": lost}, {"second": ""}])
    with pytest.raises(TrainingError, match=lost):
        monitor.raise_if_collapsed(
            [{"first": "first is lost", "second": lost}, {"first": ""}, {"second": lost}]
        )


def test_names_loss_that_is_not_finite(atlas: ModelAtlas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "learning_rate", lambda *_: float("inf"))
    with pytest.raises(TrainingError, match="loss reconstruction is not a finite number"):
        atlas.train("diverged", max_steps=20)


def test_rejects_unknown_preset(atlas: ModelAtlas) -> None:
    with pytest.raises(ConfigError, match="No preset 'rubust'"):
        atlas.train("none", preset="rubust")


def test_learning_rate_rises_and_decays_to_zero() -> None:
    optim = ROBUST.optim
    rates = [learning_rate(optim, step, 300) for step in range(300)]
    assert rates[0] == pytest.approx(optim.learning_rate / 20, rel=1e-3)
    assert max(rates) == pytest.approx(optim.learning_rate, rel=0.02)
    assert rates[-1] < 1e-3 * optim.learning_rate
    assert learning_rate(PAPER.optim, 299, 300) == 3e-4
