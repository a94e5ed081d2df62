"""Segmentation of several images at the same time: equal bytes, isolated failures."""

from __future__ import annotations

import pandas as pd
import pytest

from cacl.model.training import monitor
from tests.fixtures.model_atlas import ModelAtlas

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> ModelAtlas:
    made = ModelAtlas(tmp_path_factory.mktemp("atlas")).build(antibodies=6)
    made.select()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(monitor, "MIN_USAGE", -1.0)
        patch.setattr(monitor, "MAX_USAGE", 2.0)
        made.train(preset="robust", max_steps=32)
    return made


def files(atlas: ModelAtlas, image_id: str) -> dict[str, bytes]:
    folder = atlas.store.path(image_id) / "labels" / "stain"
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_parallel_segmentation_writes_the_same_bytes(atlas: ModelAtlas) -> None:
    atlas.segment(morphology="none", radius_px=0, threads=1)
    images = sorted(set(pd.read_parquet(atlas.path("tiles.parquet"))["image_id"]))
    sequential = {image: files(atlas, image) for image in images}
    table = atlas.path("segmented.parquet").read_bytes()
    for image in images:
        (atlas.store.path(image) / "labels" / "stain" / "zarr.json").unlink()
    atlas.segment(morphology="none", radius_px=0, threads=3)
    assert {image: files(atlas, image) for image in images} == sequential
    assert atlas.path("segmented.parquet").read_bytes() == table


def test_damaged_image_is_one_failure_and_stops_no_other(atlas: ModelAtlas) -> None:
    broken = "HPA000003/3_A_7_2"
    chunk = next(atlas.store.path(broken).glob("0/c/0/0/0"))
    before = chunk.read_bytes()
    chunk.write_bytes(before[: len(before) // 2])
    try:
        atlas.segment(morphology="dilation", radius_px=1)
    finally:
        chunk.write_bytes(before)
    failures = pd.read_csv(atlas.path("failures.csv"))
    assert list(failures["image_id"]) == [broken]
    assert len(pd.read_parquet(atlas.path("segmented.parquet"))) == 5


def test_no_temporary_label_remains_after_a_failure(atlas: ModelAtlas) -> None:
    for image in sorted(set(pd.read_parquet(atlas.path("tiles.parquet"))["image_id"])):
        labels = atlas.store.path(image) / "labels"
        assert not [path for path in labels.iterdir() if path.name.startswith(".")]
