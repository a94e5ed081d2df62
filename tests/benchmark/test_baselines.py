"""Baselines: what they score is known where it can be worked out, and all look alike outside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.visualize import VanillaGrad

from cacl import tables
from cacl.benchmark import cacl_methods, classifier, deconvolution
from cacl.benchmark import cam as attention
from cacl.benchmark.evaluation_set import Core, read_atlas
from cacl.benchmark.method import nothing
from cacl.errors import CheckpointError, TrainingError
from cacl.image import stain
from cacl.model.checkpoint import load_model
from cacl.tables.schemas import TileRow
from tests.fixtures.model_atlas import ModelAtlas

ONE_CELL = 32


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return classifier.network().eval()


@pytest.fixture(scope="module")
def tiles() -> torch.Tensor:
    shape = (3, 3, ONE_CELL, ONE_CELL)
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(1)).to(torch.uint8)


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> ModelAtlas:
    made = ModelAtlas(tmp_path_factory.mktemp("atlas")).build()
    made.select()
    made.train(preset="paper", max_steps=2)
    return made


@pytest.fixture(scope="module")
def core(atlas: ModelAtlas) -> Core:
    return cores(atlas)[0]


def cores(atlas: ModelAtlas) -> tuple[Core, ...]:
    places = atlas.path("training.parquet"), atlas.path("atlas.zarr"), atlas.path("truth")
    return read_atlas("own", *places, seed=0).cores


def test_cam_is_the_score_and_grad_cam_its_part_above_the_bias(
    network: torch.nn.Module, tiles: torch.Tensor
) -> None:
    """On a tile as large as one cell of the last layer both are constant and known."""
    with torch.no_grad():
        logits = network(classifier.scaled(tiles))[:, classifier.POSITIVE_CLASS]
    maps = attention.maps(network)
    bias = network.fc.bias[classifier.POSITIVE_CLASS].detach()
    cam, grad_cam = maps["CAM"](tiles), maps["Grad-CAM"](tiles)
    assert cam.shape == grad_cam.shape == (3, ONE_CELL, ONE_CELL)
    for place, logit in enumerate(logits):
        assert torch.allclose(cam[place], logit, atol=1e-5)
        assert torch.allclose(grad_cam[place], (logit - bias).clamp_min(0), atol=1e-5)


def test_guided_backpropagation_is_guided_and_treats_tiles_apart(
    network: torch.nn.Module, tiles: torch.Tensor
) -> None:
    guided = attention.BatchedGuidedBackprop(network)
    together = guided(classifier.scaled(tiles), index=1)
    for place in range(len(tiles)):
        alone = guided(classifier.scaled(tiles[place : place + 1]), index=1)
        assert torch.allclose(together[place], alone[0], atol=1e-6)
    plain = VanillaGrad(network)(classifier.scaled(tiles[:1]), index=1)
    assert not torch.allclose(together[:1], plain, rtol=0.1)
    product = attention.maps(network)["Guided Grad-CAM"](tiles)
    expected = attention.maps(network)["Grad-CAM"](tiles) * together.abs().amax(dim=1)
    assert torch.allclose(product, expected, atol=1e-6)


def test_attention_covers_the_tiles_and_nothing_else(network: torch.nn.Module, core: Core) -> None:
    methods = {one.name: one for one in attention.methods(attention.maps(network))}
    assert len(methods) == 6
    tested = np.zeros(core.cell.shape, dtype=bool)
    for window in core.windows:
        tested[window] = True
    for method in methods.values():
        score = method.score(core)
        assert score.dtype == np.float32
        assert np.array_equal(np.isfinite(score), tested)
    raw = methods["CAM"].score(core).copy()
    stretched = methods["Guided Grad-CAM, each tile from 0 to 1"].score(core)
    for window in core.windows:
        assert stretched[window].min() == 0.0
        assert stretched[window].max() in (0.0, 1.0)
    assert np.array_equal(methods["CAM"].score(core), raw)


def test_the_classifier_learns_the_labels_and_says_how_well(
    atlas: ModelAtlas, tmp_path: Path
) -> None:
    given = atlas.path("training.parquet"), atlas.path("atlas.zarr")
    classifier.train_classifier(*given, tmp_path, steps=80, threads=1)
    _, facts = classifier.load_classifier(tmp_path)
    shares = [float(words.split(" of ")[0]) for words in facts["training"].split(", ")]
    assert len(shares) == 2
    assert sum(shares) / 2 > 0.75
    assert "negative" in facts["validation"]


def test_equal_seeds_give_equal_classifiers(atlas: ModelAtlas, tmp_path: Path) -> None:
    given = atlas.path("training.parquet"), atlas.path("atlas.zarr")
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        classifier.train_classifier(*given, tmp_path / name, steps=2, seed=seed, threads=1)
    one, two, other = (
        (tmp_path / name / classifier.WEIGHTS).read_bytes() for name in ("one", "two", "other")
    )
    assert one == two != other


def test_what_the_classifier_cannot_do_is_said(atlas: ModelAtlas, tmp_path: Path) -> None:
    frame = tables.read_frame([atlas.path("training.parquet")], TileRow)
    tables.write_parquet(tmp_path / "few.parquet", frame[frame["label"] == "negative"], TileRow)
    with pytest.raises(TrainingError, match="tiles of one label only, expected both"):
        classifier.train_classifier(
            tmp_path / "few.parquet", atlas.path("atlas.zarr"), tmp_path / "out", steps=1
        )
    with pytest.raises(CheckpointError, match="is missing"):
        classifier.load_classifier(tmp_path)


def test_accuracy_is_told_by_class(network: torch.nn.Module, tiles: torch.Tensor) -> None:
    found = classifier.predicted(network, tiles)
    assert classifier.accuracy(network, tiles, found).count("1.000 of ") >= 1
    assert "0.000 of 3 " in classifier.accuracy(network, tiles[[0, 0, 0]], ~found[[0, 0, 0]])
    assert classifier.accuracy(network, tiles[:0], found[:0]) == "no tiles"


def test_otsu_separates_two_levels() -> None:
    density = np.where(np.arange(100).reshape(10, 10) < 30, 0.9, 0.1).astype(np.float32)
    cell = np.ones((10, 10), dtype=bool)
    assert 0.1 <= deconvolution.otsu_od(density, cell) < 0.9
    assert deconvolution.otsu_od(density, ~cell) == deconvolution.FIXED_OD


def test_colour_deconvolution_is_that_of_the_stain(core: Core) -> None:
    fixed, otsu, best = deconvolution.methods()
    assert np.array_equal(fixed.score(core) > fixed.threshold, stain.dab_mask(core.rgb, 0.25))
    at = deconvolution.otsu_od(deconvolution.dab_density(core), core.cell)
    found = otsu.score(core) > otsu.threshold
    assert (found == stain.dab_mask(core.rgb, at)).mean() > 0.999
    assert best.threshold is None


def test_nothing_is_nothing(core: Core) -> None:
    method = nothing()
    assert not (method.score(core) > method.threshold).any()


def test_the_final_method_is_what_segment_writes(atlas: ModelAtlas) -> None:
    atlas.segment(morphology="closing", radius_px=2)
    model = load_model(atlas.path("model"))
    methods = {m.name: m for m in cacl_methods.methods(model, model, "closing", 2)}
    assert list(methods) == ["CaCL paper", "CaCL paper + morphology", "final method"]
    for core in cores(atlas):
        written = np.asarray(atlas.store.label(core.image_id, "stain")[:]) > 0
        final = methods["final method"]
        assert np.array_equal(final.score(core) > final.threshold, written)
