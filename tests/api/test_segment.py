"""`cacl.segment` and `cacl.measure` return what the steps of the workflow write."""

from __future__ import annotations

import contextlib
import doctest
import importlib
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import special

import cacl
from cacl.errors import CheckpointError, ConfigError, ImageError, StoreError
from tests.api.conftest import MPP, THRESHOLD, Run

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("as_array", [False, True])
def test_masks_and_measures_are_those_of_the_workflow(run: Run, as_array: bool) -> None:
    for image_id, path in run.images.items():
        image = np.asarray(Image.open(path)) if as_array else path
        result = cacl.segment(image, run.model, mpp=MPP)
        stored = run.store.image(image_id)[:].transpose(1, 2, 0)
        np.testing.assert_array_equal(result.image, stored)
        np.testing.assert_array_equal(result.cell, run.store.label(image_id, "cell")[:] > 0)
        np.testing.assert_array_equal(result.mask, run.store.label(image_id, "stain")[:] > 0)
        assert result.mask.any()
        row = run.census[image_id]
        assert result.ratio == row.stained_to_cell_ratio
        assert result.interval == (row.ratio_low, row.ratio_high)
        assert result.confidence == row.confidence
        measures = vars(result.measures)
        assert measures == {name: getattr(row, name) for name in measures}
        assert result.mpp == row.mpp


def test_score_is_above_the_threshold_in_the_mask(run: Run) -> None:
    result = cacl.segment(next(iter(run.images.values())), run.model, mpp=MPP)
    assert result.score.shape == result.mask.shape
    assert result.score[result.mask].min() > special.expit(THRESHOLD)
    assert 0.0 <= result.score.min() <= result.score.max() <= 1.0


def test_image_of_another_resolution_is_resampled_to_that_of_the_model(run: Run) -> None:
    path = next(iter(run.images.values()))
    with Image.open(path) as core:
        half = np.asarray(core.resize((core.width // 2, core.height // 2), Image.Resampling.BOX))
    result = cacl.segment(half, run.model, mpp=2 * MPP)
    full = cacl.segment(path, run.model, mpp=MPP)
    assert result.mpp == pytest.approx(full.mpp, rel=0.01)
    assert result.measures.cell_area_px == pytest.approx(full.measures.cell_area_px, rel=0.02)


@pytest.mark.parametrize("module", ["loading", "measures", "segmentation", "training"])
def test_examples_of_the_docstrings(run: Run, module: str) -> None:
    with contextlib.chdir(run.folder):
        outcome = doctest.testmod(importlib.import_module(f"cacl.api.{module}"))
    assert outcome.attempted > 0
    assert outcome.failed == 0


WHITE = np.full((400, 400, 3), 255, np.uint8)
BAD_IMAGES: dict[str, tuple[Any, type[Exception], str]] = {
    "floats": (WHITE / 255.0, ImageError, "type float64, expected uint8"),
    "missing values": (np.full((400, 400, 3), np.nan), ImageError, "type float64, expected uint8"),
    "16 bits": (WHITE.astype(np.uint16), ImageError, "type uint16, expected uint8"),
    "channels first": (WHITE.transpose(2, 0, 1), ImageError, "image.transpose"),
    "alpha channel": (np.dstack([WHITE, WHITE[..., 0]]), ImageError, "remove the alpha channel"),
    "grey": (WHITE[..., 0], ImageError, "expected (y, x, 3)"),
    "empty": (WHITE[:0], ImageError, "is empty"),
    "nothing": (None, ImageError, "type object, expected uint8"),
    "ragged": ([[1], [1, 2]], ImageError, "is no array"),
    "small": (WHITE[:100], ImageError, "400 x 100 px, expected at least 375 x 375"),
    "glass": (WHITE, ImageError, "No tile contains 20.0% tissue"),
    "missing file": ("missing.jpg", ImageError, "missing.jpg"),
}


@pytest.mark.parametrize("case", BAD_IMAGES)
def test_bad_images_are_refused_with_the_remedy(run: Run, case: str) -> None:
    image, error, message = BAD_IMAGES[case]
    with pytest.raises(error) as caught:
        cacl.segment(image, run.model, mpp=MPP)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("mpp", "message"),
    [
        (None, "The size of a pixel is unknown"),
        (0.0, "mpp is 0.0 um per pixel, expected 0.05 to 5"),
        (float("nan"), "mpp is nan um per pixel"),
        (-0.4, "mpp is -0.4"),
        (2.0, "segment an image of a higher resolution"),
    ],
)
def test_bad_pixel_sizes_are_refused(run: Run, mpp: float | None, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        cacl.segment(WHITE, run.model, mpp=mpp)
    assert message in str(caught.value)


def test_missing_model_and_store_are_refused(run: Run) -> None:
    with pytest.raises(CheckpointError, match="results"):
        cacl.load_model(run.folder / "results")
    with pytest.raises(CheckpointError, match=r"nothing\.safetensors"):
        cacl.load_model(run.folder / "nothing.safetensors")
    with pytest.raises(StoreError, match="is not a store; name a folder"):
        cacl.open_store(run.folder / "nothing")
    assert not (run.folder / "nothing").exists()


def test_bad_masks_are_refused() -> None:
    cell = np.ones((128, 128), bool)
    image = WHITE[:128, :128]
    with pytest.raises(ImageError, match=r"mask has the shape \(64, 64\), expected that of the"):
        cacl.measure(image, cell, cell[:64, :64])
    with pytest.raises(ImageError, match="cell has values of type float64"):
        cacl.measure(image, cell / 2, cell)
    with pytest.raises(ConfigError, match="tile_px is 33, expected a multiple of 8"):
        cacl.measure(image, cell, cell, tile_px=33)
    with pytest.raises(ConfigError, match="min_tissue_fraction is 2"):
        cacl.measure(image, cell, cell, min_tissue_fraction=2)
    with pytest.raises(ImageError, match="No tile contains"):
        cacl.measure(image, ~cell, cell)
