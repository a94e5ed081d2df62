"""Baselines and CaCL as methods of the benchmark: known scores, common interface."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.visualize.gradient_based import VanillaGrad
from numpy.typing import NDArray

from cacl import tables
from cacl.benchmark import cam, classifier, deconvolution
from cacl.benchmark.cacl_methods import cacl_methods
from cacl.benchmark.cam import activation_maps, cam_methods
from cacl.benchmark.evaluation_set import (
    EvaluationImage,
    EvaluationSource,
    read_evaluation_set,
)
from cacl.benchmark.ground_truth import PhantomTruth
from cacl.benchmark.method import Method, empty_mask
from cacl.errors import CheckpointError, TrainingError
from cacl.image import stain
from cacl.model.checkpoint import load_model
from cacl.model.inference.masks import Morphology
from cacl.tables.schemas import TileRow
from tests.fixtures.model_atlas import ModelAtlas

pytestmark = pytest.mark.slow

FEATURE_PX = 32


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return classifier.make_classifier().eval()


@pytest.fixture(scope="module")
def tiles() -> torch.Tensor:
    shape = (3, 3, FEATURE_PX, FEATURE_PX)
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(1)).to(torch.uint8)


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> ModelAtlas:
    made = ModelAtlas(tmp_path_factory.mktemp("atlas")).build()
    made.select()
    made.train(preset="paper", max_steps=2)
    return made


@pytest.fixture(scope="module")
def image(atlas: ModelAtlas) -> EvaluationImage:
    return images(atlas)[0]


def images(atlas: ModelAtlas) -> tuple[EvaluationImage, ...]:
    tiles, store, truth = map(atlas.path, ("training.parquet", "atlas.zarr", "truth"))
    source = EvaluationSource("own", tiles, store, PhantomTruth(truth))
    return read_evaluation_set(source, seed=0).images


def mask_of(method: Method, image: EvaluationImage) -> NDArray[np.bool_]:
    """Return the pixels above the threshold of a method that has one."""
    assert method.threshold is not None
    return method.score(image) > method.threshold


def test_cam_equals_logit_and_grad_cam_equals_logit_minus_bias(
    network: torch.nn.Module, tiles: torch.Tensor
) -> None:
    """On a tile as large as one pixel of the last layer both maps are constant and known."""
    with torch.no_grad():
        logits = network(classifier.normalise(tiles))[:, classifier.POSITIVE_CLASS]
    maps = activation_maps(network)
    fc = network.fc
    assert isinstance(fc, torch.nn.Linear)
    bias = fc.bias[classifier.POSITIVE_CLASS].detach()
    cam_map, grad_cam = maps["CAM"](tiles), maps["Grad-CAM"](tiles)
    assert cam_map.shape == grad_cam.shape == (3, FEATURE_PX, FEATURE_PX)
    for index, logit in enumerate(logits):
        assert torch.allclose(cam_map[index], logit, atol=1e-5)
        assert torch.allclose(grad_cam[index], (logit - bias).clamp_min(0), atol=1e-5)


def test_batched_guided_backpropagation_equals_single_tiles(
    network: torch.nn.Module, tiles: torch.Tensor
) -> None:
    guided = cam.BatchedGuidedBackprop(network)
    batched = guided(classifier.normalise(tiles), index=1)
    for index in range(len(tiles)):
        single = guided(classifier.normalise(tiles[index : index + 1]), index=1)
        assert torch.allclose(batched[index], single[0], atol=1e-6)
    plain = VanillaGrad(network)(classifier.normalise(tiles[:1]), index=1)
    assert not torch.allclose(batched[:1], plain, rtol=0.1)
    product = activation_maps(network)["Guided Grad-CAM"](tiles)
    expected = activation_maps(network)["Grad-CAM"](tiles) * batched.abs().amax(dim=1)
    assert torch.allclose(product, expected, atol=1e-6)


def test_cam_scores_are_finite_only_in_tiles(
    network: torch.nn.Module, image: EvaluationImage
) -> None:
    methods = {method.name: method for method in cam_methods(activation_maps(network))}
    assert len(methods) == 6
    in_tiles = np.zeros(image.cell.shape, dtype=bool)
    for window in image.windows:
        in_tiles[window] = True
    for method in methods.values():
        score = method.score(image)
        assert score.dtype == np.float32
        assert np.array_equal(np.isfinite(score), in_tiles)
    raw = methods["CAM"].score(image).copy()
    scaled = methods["Guided Grad-CAM, each tile from 0 to 1"].score(image)
    for window in image.windows:
        assert scaled[window].min() == 0.0
        assert scaled[window].max() in (0.0, 1.0)
    assert np.array_equal(methods["CAM"].score(image), raw)


def test_classifier_learns_the_labels_and_reports_accuracy(
    atlas: ModelAtlas, tmp_path: Path
) -> None:
    inputs = atlas.path("training.parquet"), atlas.path("atlas.zarr")
    classifier.train_classifier(*inputs, tmp_path, steps=80, threads=1)
    _, accuracy = classifier.load_classifier(tmp_path)
    fractions = [float(part.split(" of ")[0]) for part in accuracy["training"].split(", ")]
    assert len(fractions) == 2
    assert sum(fractions) / 2 > 0.75
    assert "negative" in accuracy["validation"]


def test_equal_seeds_give_equal_classifiers(atlas: ModelAtlas, tmp_path: Path) -> None:
    inputs = atlas.path("training.parquet"), atlas.path("atlas.zarr")
    for name, seed in (("first", 0), ("second", 0), ("other", 1)):
        classifier.train_classifier(*inputs, tmp_path / name, steps=2, seed=seed, threads=1)
    first, second, other = (
        (tmp_path / name / classifier.WEIGHTS).read_bytes() for name in ("first", "second", "other")
    )
    assert first == second != other


def test_rejects_single_label_and_missing_classifier(atlas: ModelAtlas, tmp_path: Path) -> None:
    frame = tables.read_frame([atlas.path("training.parquet")], TileRow)
    tables.write_parquet(tmp_path / "few.parquet", frame[frame["label"] == "negative"], TileRow)
    with pytest.raises(TrainingError, match="tiles of one label only, expected both"):
        classifier.train_classifier(
            tmp_path / "few.parquet", atlas.path("atlas.zarr"), tmp_path / "out", steps=1
        )
    with pytest.raises(CheckpointError, match="is missing"):
        classifier.load_classifier(tmp_path)


def test_accuracy_is_reported_by_label(network: torch.nn.Module, tiles: torch.Tensor) -> None:
    predicted = classifier.predict(network, tiles)
    assert classifier.describe_accuracy(network, tiles, predicted).count("1.000 of ") >= 1
    assert "0.000 of 3 " in classifier.describe_accuracy(
        network, tiles[[0, 0, 0]], ~predicted[[0, 0, 0]]
    )
    assert classifier.describe_accuracy(network, tiles[:0], predicted[:0]) == "no tiles"


def test_otsu_threshold_lies_between_two_levels() -> None:
    density = np.where(np.arange(100).reshape(10, 10) < 30, 0.9, 0.1).astype(np.float32)
    cell = np.ones((10, 10), dtype=bool)
    assert 0.1 <= deconvolution.otsu_threshold(density, cell) < 0.9
    assert deconvolution.otsu_threshold(density, ~cell) == deconvolution.FIXED_THRESHOLD_OD


def test_deconvolution_masks_equal_those_of_stain(image: EvaluationImage) -> None:
    fixed, otsu, oracle = deconvolution.deconvolution_methods()
    assert np.array_equal(mask_of(fixed, image), stain.dab_mask(image.rgb, 0.25))
    threshold = deconvolution.otsu_threshold(deconvolution.dab_density(image), image.cell)
    otsu_mask = mask_of(otsu, image)
    assert (otsu_mask == stain.dab_mask(image.rgb, threshold)).mean() > 0.999
    assert oracle.threshold is None


def test_empty_mask_is_empty(image: EvaluationImage) -> None:
    method = empty_mask()
    assert not mask_of(method, image).any()


def test_final_method_equals_the_masks_of_segment(atlas: ModelAtlas) -> None:
    atlas.segment(morphology="closing", radius_px=2)
    model = load_model(atlas.path("model"))
    methods = {
        method.name: method for method in cacl_methods(model, model, Morphology("closing", 2))
    }
    assert list(methods) == ["CaCL paper", "CaCL paper + morphology", "final method"]
    for image in images(atlas):
        written = np.asarray(atlas.store.label(image.image_id, "stain")[:]) > 0
        final = methods["final method"]
        assert np.array_equal(mask_of(final, image), written)
