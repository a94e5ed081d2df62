"""Stain vectors from the store to the model: equal tissue in other colours gives equal inputs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from cacl.errors import StainError
from cacl.image.pixel_flags import PixelFlag
from cacl.model.checkpoint import load_model
from cacl.model.data.dataset import FLAGS, read_rows, training_tiles
from cacl.model.inference.blocks import predict_masks
from cacl.model.inference.masks import Morphology
from cacl.model.networks.preprocess import CHANNELS, jitter_stain, preprocess
from cacl.stain.vectors import REFERENCE, StainVectors
from cacl.store import Store
from tests.fixtures.model_atlas import ModelAtlas

OTHER = StainVectors.of((0.64, 0.63, 0.44), (0.40, 0.58, 0.71))
STEPS = 6


@pytest.fixture(scope="module")
def atlases(tmp_path_factory: pytest.TempPathFactory) -> list[ModelAtlas]:
    """The same cores in the colours of the reference and in others."""
    built = []
    for vectors in (REFERENCE, OTHER):
        atlas = ModelAtlas(tmp_path_factory.mktemp("atlas")).build(vectors=vectors)
        atlas.select()
        built.append(atlas)
    return built


def test_training_tiles_of_other_colours_have_the_same_flags_and_input(
    atlases: list[ModelAtlas],
) -> None:
    first, second = (
        training_tiles(read_rows(atlas.path("training.parquet")), atlas.store, 0)
        for atlas in atlases
    )
    assert (first.stain_vectors, second.stain_vectors) == (REFERENCE, OTHER)
    for flag in (PixelFlag.CELL, PixelFlag.DAB, PixelFlag.LOCAL_DAB):
        one, other = ((tiles.pixels[:, FLAGS] & int(flag)) > 0 for tiles in (first, second))
        assert one.any()
        assert float((one == other).float().mean()) > 0.99
    rgb, repainted = (tiles.pixels[:4, :FLAGS].float() for tiles in (first, second))
    for representation in set(CHANNELS) - {"rgb"}:
        expected = preprocess(rgb, representation)[:, 1:3]
        own = preprocess(repainted, representation, OTHER)[:, 1:3]
        assert float((own - expected).abs().mean()) < 0.02
        wrong = preprocess(repainted, representation)[:, 1:3]
        assert float((own - wrong).abs().mean()) > 0.04
    jittered = jitter_stain(repainted, 1e-6, torch.Generator().manual_seed(0), OTHER)
    assert torch.allclose(jittered, repainted, atol=0.1)


def test_model_records_its_vectors_and_the_default_records_none(
    atlases: list[ModelAtlas],
) -> None:
    for atlas, vectors in zip(atlases, (REFERENCE, OTHER), strict=True):
        folder = atlas.train(preset="paper", max_steps=STEPS)
        assert load_model(folder).stain_vectors == vectors
        entry = json.loads((folder / "model.json").read_text())["training_data"]
        assert ("stain_vectors" in entry) == (vectors != REFERENCE)


def test_masks_are_predicted_with_the_vectors_of_the_image(atlases: list[ModelAtlas]) -> None:
    """A model of the reference's colours finds the same in other colours, given their vectors."""
    folder = atlases[0].train("robust", max_steps=STEPS)
    model = load_model(folder)
    image_id = sorted(set(read_rows(atlases[0].path("training.parquet"))["image_id"]))[0]
    preset = dataclasses.replace(
        model.preset, post=dataclasses.replace(model.preset.post, image_fnr=None)
    )
    low = tuple(
        dataclasses.replace(each, low=-50.0, high=-50.0, edge_high=-50.0, min_area_fraction=0.0)
        for each in model.thresholds
    )
    model = dataclasses.replace(model, preset=preset, thresholds=low)
    first, second, wrong = (
        np.asarray(predict_masks(atlas.store, meta, model, Morphology())[0])
        for atlas, meta in (
            (atlases[0], atlases[0].store.meta(image_id)),
            (atlases[1], atlases[1].store.meta(image_id)),
            (
                atlases[1],
                dataclasses.replace(atlases[1].store.meta(image_id), stain_vectors=REFERENCE),
            ),
        )
    )
    assert first.any()
    assert (first == second).mean() > 0.99
    assert (first != wrong).sum() > (first != second).sum()


def test_images_of_different_vectors_are_no_training_set(
    atlases: list[ModelAtlas], tmp_path: Path
) -> None:
    rows = read_rows(atlases[0].path("training.parquet"))
    store = Store(tmp_path / "mixed.zarr")
    for index, image_id in enumerate(sorted(set(rows["image_id"]))):
        source = atlases[index % 2].store
        pixels = np.asarray(source.image(image_id)[:])
        store.write_image(source.meta(image_id), pixels, pixels[0] > 100)
    with pytest.raises(StainError, match=r"was tiled with the stain vectors .* for all images"):
        training_tiles(rows, store, 0)
