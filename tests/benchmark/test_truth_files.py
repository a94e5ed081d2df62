"""True masks of the user: names of files, formats, equal scores, and what cannot be used."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from cacl import tables
from cacl.benchmark.deconvolution import deconvolution_methods
from cacl.benchmark.evaluate import evaluate
from cacl.benchmark.evaluation_set import (
    OWN_SET,
    EvaluationSet,
    EvaluationSource,
    read_evaluation_set,
)
from cacl.benchmark.ground_truth import PhantomTruth, Truth, TruthRequest, read_ground_truth
from cacl.benchmark.truth_files import TruthFiles
from cacl.benchmark.truth_index import index_truth
from cacl.errors import ConfigError, TrainingError
from cacl.image.mask_grid import at_grid
from cacl.image.polygon_file import read_drawing
from cacl.image.tile_grid import TileGrid
from cacl.tables.schemas import TileRow
from tests.fixtures.model_atlas import ModelAtlas

Mask = NDArray[np.bool_]


def pixel_polygons(mask: Mask) -> dict[str, Any]:
    """Return a geometry whose polygons run along the edges of pixels: a box per run of a row."""
    boxes = []
    for y, row in enumerate(mask):
        edges = np.flatnonzero(np.diff(row.astype(np.int8), prepend=0, append=0)).tolist()
        for left, right in zip(edges[::2], edges[1::2], strict=True):
            ring = [[left, y], [right, y], [right, y + 1], [left, y + 1], [left, y]]
            boxes.append([ring])
    return {"type": "MultiPolygon", "coordinates": boxes}


def write_polygons(path: Path, mask: Mask, class_name: str = "Positive") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    properties = {"objectType": "annotation", "classification": {"name": class_name}}
    feature = {"type": "Feature", "geometry": pixel_polygons(mask), "properties": properties}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))


def write_mask(path: Path, mask: Mask, value: int = 255) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), mask.astype(np.uint8) * value)


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> ModelAtlas:
    made = ModelAtlas(tmp_path_factory.mktemp("atlas")).build(antibodies=12)
    made.select()
    return made


@pytest.fixture(scope="module")
def split(atlas: ModelAtlas) -> pd.Series[str]:
    """The split of each image."""
    frame = tables.read_frame([atlas.path("training.parquet")], TileRow)
    return frame.groupby("image_id")["split"].first()


@pytest.fixture(scope="module")
def tested(split: pd.Series[str]) -> list[str]:
    """The test images; HPA000001, HPA000003, ... are positive."""
    return sorted(split.index[split == "test"])


def stained(atlas: ModelAtlas, image_id: str) -> Mask:
    values = cv2.imread(str(atlas.path("truth") / f"{image_id}.png"), cv2.IMREAD_UNCHANGED)
    assert values is not None
    return np.asarray(values == 2)


def source_of(atlas: ModelAtlas, folder: Path) -> EvaluationSource:
    tiles, store = atlas.path("training.parquet"), atlas.path("atlas.zarr")
    return EvaluationSource(OWN_SET, tiles, store, TruthFiles(folder))


def read_set(atlas: ModelAtlas, folder: Path) -> EvaluationSet:
    return read_evaluation_set(source_of(atlas, folder), seed=0)


def read_truth(atlas: ModelAtlas, folder: Path, *image_ids: str, name: str = "stain") -> Truth:
    return TruthFiles(folder).read(TruthRequest(image_ids, frozenset(), atlas.store, name))


def scores(evaluation_set: EvaluationSet) -> list[Any]:
    methods = deconvolution_methods()
    return [each.sums for method in methods for each in evaluate(method, evaluation_set, 0)]


def test_masks_and_polygons_along_their_pixels_give_equal_scores(
    atlas: ModelAtlas, tested: list[str], tmp_path: Path
) -> None:
    for image_id in tested:
        mask = stained(atlas, image_id)
        write_mask(tmp_path / "png" / f"{image_id}.png", mask)
        write_polygons(tmp_path / "drawn" / f"{image_id}.geojson", mask)
        write_mask(tmp_path / "flat" / f"{image_id.replace('/', '_')}.PNG", mask, value=1)
    found = scores(read_set(atlas, tmp_path / "png"))
    assert {row.antibody_id for row in found[0]} == {name.split("/")[0] for name in tested}
    assert sum(row.tiles for row in found[0]) > 20
    assert found == scores(read_set(atlas, tmp_path / "drawn"))
    assert found == scores(read_set(atlas, tmp_path / "flat"))
    paths = atlas.path("training.parquet"), atlas.path("atlas.zarr")
    phantom = EvaluationSource(OWN_SET, *paths, PhantomTruth(atlas.path("truth")))
    # The cells of the phantom's files are not those of the store; only the true ratio has them.
    for mine, theirs in zip(found[0], scores(read_evaluation_set(phantom, seed=0))[0], strict=True):
        assert (mine.dice, mine.boundary_f1, mine.bce) == (
            theirs.dice, theirs.boundary_f1, theirs.bce,
        )  # fmt: skip


def test_masks_and_polygons_are_equal_at_the_scale_of_the_store(tmp_path: Path) -> None:
    grid = TileGrid(150, 131, source_px=48, tile_px=20)
    rng = np.random.default_rng(0)
    mask = cv2.blur(rng.random((150, 131)), (5, 5)) > 0.5
    write_polygons(tmp_path / "a.geojson", mask)
    drawn = read_drawing(tmp_path / "a.geojson", grid, {"mask": ["positive"]}).masks["mask"]
    assert np.array_equal(drawn, at_grid(mask, grid))
    assert 0.2 < drawn[:62, :54].mean() < 0.8


def test_cells_are_those_of_a_file_or_channel_or_the_store(
    atlas: ModelAtlas, tested: list[str], tmp_path: Path
) -> None:
    image_id = tested[0]
    side = atlas.store.meta(image_id).grid.source_height
    mask, cells = np.zeros((2, side, side), dtype=bool)
    mask[:4, :4] = cells[2:9, 2:9] = True
    write_mask(tmp_path / f"{image_id}.png", mask)
    [found] = read_truth(atlas, tmp_path, image_id).masks.values()
    assert np.array_equal(found.stained, mask)
    stored = np.asarray(atlas.store.label(image_id, "cell")[:]) > 0
    assert np.array_equal(found.cell, stored | mask)
    write_mask(tmp_path / f"{image_id}.cell.png", cells)
    [found] = read_truth(atlas, tmp_path, image_id).masks.values()
    assert np.array_equal(found.cell, cells | mask)
    channels = np.stack([mask, cells], axis=-1).astype(np.uint8)
    Image.fromarray(channels, "LA").save(tmp_path / f"{image_id}.png")
    with pytest.raises(ConfigError, match=r"second channel, the cells, and .* gives them too"):
        read_truth(atlas, tmp_path, image_id)
    (tmp_path / f"{image_id}.cell.png").unlink()
    [found] = read_truth(atlas, tmp_path, image_id).masks.values()
    assert np.array_equal(found.cell, cells | mask)


@pytest.mark.parametrize("name", ["positive", "Stained", "CaCL stain", "Border"])
def test_polygons_of_the_target_class_count(
    atlas: ModelAtlas, tested: list[str], tmp_path: Path, name: str
) -> None:
    image_id = tested[0]
    mask = stained(atlas, tested[0]) | (np.arange(128) < 9)
    write_polygons(tmp_path / f"{image_id}.geojson", mask, name)
    truth = read_truth(atlas, tmp_path, image_id, name="border")
    assert np.array_equal(truth.masks[image_id].stained, mask)


def test_images_without_a_mask_are_left_out_and_counted(
    atlas: ModelAtlas,
    tested: list[str],
    split: pd.Series[str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    positive = [name for name in tested if stained(atlas, name).any()]
    negative = [name for name in tested if name not in positive]
    used = [positive[0], negative[0]]
    mask = stained(atlas, used[0])
    write_polygons(tmp_path / f"{used[0]}.geojson", mask)
    document = json.loads((tmp_path / f"{used[0]}.geojson").read_text())
    other = {"classification": {"name": "Necrosis"}}
    document["features"].append({"type": "Feature", "geometry": None, "properties": other})
    (tmp_path / f"{used[0]}.geojson").write_text(json.dumps(document))
    write_mask(tmp_path / f"{used[1]}.png", np.zeros_like(mask))
    write_mask(tmp_path / f"{next(iter(split.index[split == 'train']))}.png", mask)
    write_mask(tmp_path / "HPA999999" / "x.png", mask)
    write_mask(tmp_path / "HPA999998_y.png", mask)
    (tmp_path / ".hidden.png").touch()
    (tmp_path / "notes.txt").touch()
    with caplog.at_level(logging.WARNING):
        evaluation_set = read_set(atlas, tmp_path)
    assert sorted(image.image_id for image in evaluation_set.images) == sorted(used)
    assert evaluation_set.facts == {
        "True masks": f"2 of {len(tested)} test images, {len(tested) - 2} without a mask are left "
        "out; empty: 1; of images that are not tested: 1; of no labelled image: 2; ignored "
        "polygons of other classes: 1 (ignored classes: Necrosis)"
    }
    assert caplog.messages == [
        f"benchmark: masks below {tmp_path} of no labelled image of this run, which are not used: "
        "2 (HPA999998_y.png, HPA999999/x.png)"
    ]


def test_polygons_of_other_classes_only_are_a_warning(
    atlas: ModelAtlas, tested: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mask = np.ones((9, 9), dtype=bool)
    write_polygons(tmp_path / f"{tested[0]}.geojson", mask, "Border")
    write_polygons(tmp_path / f"{tested[1]}.geojson", mask)
    truth = read_truth(atlas, tmp_path, *tested)
    assert not truth.masks[tested[0]].stained.any()
    assert caplog.messages == [
        "benchmark: true masks with polygons of other classes only, which count as negative "
        f"images: 1 ({tested[0]})"
    ]


def test_several_values_are_a_warning(
    atlas: ModelAtlas, tested: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mask = np.zeros((128, 128), np.uint8)
    mask[:2], mask[2:4] = 1, 2
    (tmp_path / tested[0]).parent.mkdir()
    cv2.imwrite(str(tmp_path / f"{tested[0]}.png"), mask)
    truth = read_truth(atlas, tmp_path, tested[0])
    assert int(truth.masks[tested[0]].stained.sum()) == 4 * 128
    assert f"which all count as stained: 1 ({tested[0]})" in caplog.text


def test_masks_that_cannot_be_used_are_named_all_at_once(
    atlas: ModelAtlas, tested: list[str], tmp_path: Path
) -> None:
    first, second, third = tested[:3]
    write_mask(tmp_path / f"{first}.png", np.zeros((100, 128), dtype=bool))
    write_polygons(tmp_path / f"{second}.geojson", np.ones((130, 131), dtype=bool))
    write_mask(tmp_path / f"{third}.png", np.ones((128, 128), dtype=bool))
    with pytest.raises(ConfigError) as caught:
        read_truth(atlas, tmp_path, *tested)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert f"{first}.png has 128 x 100 px, but its image has 128 x 128 px" in lines[0]
    assert "reach from (0, 0) to (131, 130) px, but the image has 128 x 128 px" in lines[1]
    names = [f"HPA{number:06d}/{number}_A_7_2" for number in range(1, 13)]
    for name in names:
        write_polygons(tmp_path / "wrong" / f"{name}.geojson", np.ones((130, 131), dtype=bool))
    with pytest.raises(ConfigError) as caught:
        read_truth(atlas, tmp_path / "wrong", *names)
    assert str(caught.value).splitlines()[10:] == ["and 2 further true masks"]


def test_folders_that_cannot_be_used(atlas: ModelAtlas, tested: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere cannot be read \(No such file or directory\)"):
        read_set(atlas, tmp_path / "nowhere")
    images = f"{len(tested)} images of antibodies that training did not see, such as "
    message = re.escape(f"draw some for the {images}{', '.join(tested[:3])}, ..., in files such as")
    with pytest.raises(ConfigError, match=f"holds no true mask of a test image; .*{message}"):
        read_set(atlas, tmp_path)
    write_mask(tmp_path / f"{tested[0]}.png", np.zeros((128, 128), dtype=bool))
    with pytest.raises(ConfigError, match="None of the 1 true masks of test images"):
        read_set(atlas, tmp_path)
    write_polygons(tmp_path / f"{tested[1]}.geojson", np.ones((9, 9), dtype=bool), "Border")
    with pytest.raises(ConfigError, match=r"None of the 2 .* \(ignored classes: Border\), so"):
        read_set(atlas, tmp_path)
    (tmp_path / f"{tested[1]}.geojson").unlink()
    write_mask(tmp_path / f"{tested[0]}.png", np.ones((128, 128), dtype=bool))
    with pytest.raises(TrainingError, match=r"test tiles is negative.*or true masks of both"):
        read_set(atlas, tmp_path)


def test_names_of_files(tmp_path: Path) -> None:
    def index(*names: str) -> dict[str, list[str]]:
        for path in tmp_path.rglob("*.*"):
            path.unlink()
        for name in names:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        found = index_truth(tmp_path, ["A/1_2", "A_1/2", "B/c", "B/c.cell", "D/e"])
        files = {
            image_id: [str(path.relative_to(tmp_path)) for path in (paths.mask, paths.cell) if path]
            for image_id, paths in found.images.items()
        }
        return files | ({"": list(found.unknown)} if found.unknown else {})

    assert index("A/1_2.png", "D_e.geojson", "B/c.png") == {
        "A/1_2": ["A/1_2.png"], "D/e": ["D_e.geojson"], "B/c": ["B/c.png"],
    }  # fmt: skip
    assert index("D/e.png", "D_e.cell.png") == {"D/e": ["D/e.png", "D_e.cell.png"]}
    assert index("B/c.cell.png") == {"B/c.cell": ["B/c.cell.png"]}
    assert index("D/e.cell.png", "f.png", "D/f.png", "D/e.tif") == {
        "": ["D/e.cell.png", "D/f.png", "f.png"]
    }
    with pytest.raises(ConfigError, match=r"A_1_2.png can be the true mask of A/1_2 and of A_1/2"):
        index("A_1_2.png")
    with pytest.raises(ConfigError, match=r"D/e has several true masks .*D/e.png .*D_e.geojson"):
        index("D/e.png", "D_e.geojson")


def test_meaning_of_the_phantoms_files_stays(atlas: ModelAtlas, tested: list[str]) -> None:
    grid = atlas.store.meta(tested[0]).grid
    found = read_ground_truth(atlas.path("truth"), tested[0], grid)
    assert np.array_equal(found[0], stained(atlas, tested[0]))
    assert found[1].sum() > found[0].sum()
