from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage.draw import polygon2mask
from typer.testing import CliRunner

from cacl import tables
from cacl.cli import app
from cacl.errors import ConfigError, StrictError
from cacl.export import geojson
from cacl.image import palette
from cacl.steps.export import export
from cacl.steps.parameters import ExportFiles
from cacl.store import ImageMeta
from cacl.tables.schemas import AntibodyRow, ImageRow, SegmentedRow
from tests.fixtures.reports import cores, run
from tests.fixtures.small_atlas import SmallAtlas, build

SIDE = 96


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> SmallAtlas:
    made = build(tmp_path_factory.mktemp("atlas"), cores()[:3])
    made.measure()
    run(made, failures=[made.path("failures.csv")])
    return made


def meta_of(mask: np.ndarray, source_px: int = 75, tile_px: int = 32) -> ImageMeta:
    rows, columns = (size // tile_px for size in mask.shape)
    return ImageMeta(
        image_id="A/b",
        source_sha256="0" * 64,
        source_height=rows * source_px,
        source_width=columns * source_px,
        source_px=source_px,
        tile_px=tile_px,
        mpp=None,
        digest="",
    )


def rasterize(rings: list[Any], scale: float, shape: tuple[int, int]) -> np.ndarray:
    """Return the pixels whose centre, at (column + 0.5) * scale, lies in a polygon with holes."""
    inside = np.zeros(shape, dtype=int)
    for ring in rings:
        corners = np.array(ring)[:, ::-1] / scale - 0.5
        inside += polygon2mask(shape, corners)
    return np.asarray(inside % 2 == 1)


def polygons_of(features: list[dict[str, Any]]) -> list[list[Any]]:
    polygons: list[list[Any]] = []
    for feature in features:
        geometry = feature["geometry"]
        is_single = geometry["type"] == "Polygon"
        polygons += [geometry["coordinates"]] if is_single else geometry["coordinates"]
    return polygons


def masks() -> dict[str, np.ndarray]:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    distance = np.hypot(rows - 48, columns - 40)
    noise = np.random.default_rng(0).random((SIDE, SIDE)) < 0.4
    diagonal = np.zeros((SIDE, SIDE), dtype=bool)
    diagonal[10:20, 10:20] = diagonal[20:30, 20:30] = True
    return {
        "ring with an island": ((distance < 30) & (distance > 20)) | (distance < 8),
        "noise": noise,
        "touching the edge": (rows < 20) | (columns > 90),
        "corners that touch": diagonal,
        "everything": np.ones((SIDE, SIDE), dtype=bool),
        "nothing": np.zeros((SIDE, SIDE), dtype=bool),
        "one pixel": (rows == 5) & (columns == 7),
    }


@pytest.mark.parametrize("name", masks())
@pytest.mark.parametrize("source_px", [32, 75])
def test_rasterized_polygons_equal_the_mask(name: str, source_px: int) -> None:
    mask = masks()[name]
    meta = meta_of(mask, source_px)
    features = geojson.area_feature(mask, "cell", meta, {})
    rasterized = np.zeros_like(mask)
    for rings in polygons_of(features):
        polygon = rasterize(rings, meta.grid.downsample, mask.shape)
        assert not (rasterized & polygon).any()
        rasterized |= polygon
        assert all(ring[0] == ring[-1] and len(ring) >= 4 for ring in rings)
    np.testing.assert_array_equal(rasterized, mask)


def test_separates_components_and_holes() -> None:
    traced = geojson.polygons(masks()["ring with an island"])
    assert [len(rings) for rings in traced] == [2, 1]
    assert len(geojson.polygons(masks()["corners that touch"])) == 2


def test_polygons_have_coordinates_of_the_original_image() -> None:
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[32:64, 64:96] = True
    (feature,) = geojson.area_feature(mask, "cell", meta_of(mask), {})
    (ring,) = polygons_of([feature])[0]
    corners = np.array(ring)
    half = 75 / 32 / 2
    assert corners.min(axis=0) == pytest.approx([150 - 0, 75], abs=half)
    assert corners.max(axis=0) == pytest.approx([225, 150], abs=half)
    assert corners.max() <= 225
    assert feature["properties"]["measurements"]["Area px^2"] == pytest.approx(75 * 75)


def test_every_component_has_its_score() -> None:
    mask = masks()["corners that touch"]
    dab = np.where(np.arange(SIDE) < 20, 0.25, 0.75)[:, None] * np.ones((1, SIDE))
    features = geojson.stain_features(
        mask, "stain", dab.astype(np.float32), meta_of(mask, 32), {"x": 1.0}
    )
    scores = [feature["properties"]["measurements"]["Score: mean DAB OD"] for feature in features]
    assert scores == [0.25, 0.75]
    areas = [feature["properties"]["measurements"]["Area px^2"] for feature in features]
    assert areas == [100.0, 100.0]
    names = {feature["properties"]["classification"]["name"] for feature in features}
    assert names == {"CaCL stain"}
    assert features[0]["properties"]["measurements"]["x"] == 1.0


def test_exported_masks_equal_the_store(atlas: SmallAtlas, tmp_path: Path) -> None:
    summary = export(
        atlas.path("report"), atlas.path("atlas.zarr"), ExportFiles(geojson=tmp_path), jobs=2
    )
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.geojson"))
    assert summary.images == len(files) == 3
    assert summary.table_shape is None
    assert str(files[0]) == "HPA000001/1_A_7_2.geojson"
    collection = json.loads((tmp_path / files[0]).read_text())
    assert collection["type"] == "FeatureCollection"
    for label, title in (("stain", "CaCL stain"), ("cell", "CaCL cell area")):
        features = [
            feature
            for feature in collection["features"]
            if feature["properties"]["classification"]["name"] == title
        ]
        expected = np.asarray(atlas.store.label("HPA000001/1_A_7_2", label)) > 0
        rasterized = np.zeros_like(expected)
        for rings in polygons_of(features):
            rasterized |= rasterize(rings, 1.0, expected.shape)
        np.testing.assert_array_equal(rasterized, expected)
        measurements = features[0]["properties"]["measurements"]
        assert measurements["Core: stained / cell area"] == 0.5


def test_exports_one_label_of_one_antibody(atlas: SmallAtlas, tmp_path: Path) -> None:
    options = ["--label", "cell", "--antibodies", "HPA000002", "--geojson", str(tmp_path)]
    inputs = ["--report", str(atlas.path("report")), "--store", str(atlas.path("atlas.zarr"))]
    result = CliRunner().invoke(app, ["export", *inputs, *options])
    assert result.exit_code == 0, result.output
    (file,) = tmp_path.rglob("*.geojson")
    (feature,) = json.loads(file.read_text())["features"]
    assert feature["properties"]["classification"]["name"] == "CaCL cell area"


def test_every_class_has_its_own_name_and_colour(tmp_path: Path) -> None:
    core = cores()[0]
    made = build(tmp_path, [core])
    (image,) = tables.read_parquet(made.path("catalog/images.parquet"), ImageRow)
    labelled = dataclasses.replace(image, class_labels="microvilli=positive;nucleus=negative")
    tables.write_parquet(made.path("catalog/images.parquet"), [labelled], ImageRow)
    (segmented,) = tables.read_parquet(made.path("segmented.parquet"), SegmentedRow)
    nucleus = np.zeros((128, 128), dtype=bool)
    nucleus[:, :12] = True
    made.store.write_labels(core.image_id, {"stain-nucleus": nucleus}, segmented.digest)
    both = dataclasses.replace(segmented, classes="microvilli;nucleus")
    tables.write_parquet(made.path("segmented.parquet"), [both], SegmentedRow)
    made.measure(classes_table=made.path("classes.parquet"))
    run(made, failures=[], classes_table=[made.path("classes.parquet")])
    report, store, folder = made.path("report"), made.path("atlas.zarr"), tmp_path / "masks"
    export(report, store, ExportFiles(geojson=folder))
    (file,) = folder.rglob("*.geojson")
    features = json.loads(file.read_text())["features"]
    classes = [feature["properties"]["classification"] for feature in features]
    assert classes == [
        {"name": "CaCL cell area", "color": [230, 159, 0]},
        {"name": "CaCL stain", "color": [0, 114, 178]},
        {"name": "CaCL stain: nucleus", "color": [0, 158, 115]},
    ]
    np.testing.assert_array_equal(rasterize(polygons_of(features[2:])[0], 1.0, (128, 128)), nucleus)
    export(report, store, ExportFiles(geojson=folder), labels=["stain-nucleus"])
    (feature,) = json.loads(file.read_text())["features"]
    assert feature == features[2]
    with pytest.raises(ConfigError, match="can be cell, stain, stain-nucleus, got stain-goblet"):
        export(report, store, ExportFiles(geojson=folder), labels=["stain-goblet"])


def test_errors_name_what_cannot_be_exported(atlas: SmallAtlas, tmp_path: Path) -> None:
    report, store = atlas.path("report"), atlas.path("atlas.zarr")
    with pytest.raises(ConfigError, match="Labels can be cell, stain, got nucleus"):
        export(report, store, ExportFiles(geojson=tmp_path), labels=["nucleus"])
    with pytest.raises(ConfigError, match="has no measured image of HPA999999"):
        export(report, store, ExportFiles(geojson=tmp_path), antibodies=["HPA999999"])
    with pytest.raises(StrictError, match="3 of 3 images could not be exported; the first is HPA"):
        export(report, tmp_path / "empty.zarr", ExportFiles(geojson=tmp_path))
    result = CliRunner().invoke(app, ["export", "--report", str(report)])
    assert result.exit_code == 1
    assert "Nothing to export" in result.output


def test_anndata_reads_the_table(atlas: SmallAtlas, tmp_path: Path) -> None:
    anndata = pytest.importorskip("anndata")
    file = tmp_path / "atlas.h5ad"
    command = ["export", "--report", str(atlas.path("report")), "--h5ad", str(file)]
    assert CliRunner().invoke(app, command).exit_code == 0
    table = anndata.read_h5ad(file)
    rows: list[AntibodyRow] = tables.read_parquet(
        atlas.path("report") / "antibodies.parquet", AntibodyRow
    )
    assert list(table.obs_names) == [row.antibody_id for row in rows]
    ratio = table[:, "stained_to_cell_ratio"].X.ravel()
    assert ratio.tolist() == [row.stained_to_cell_ratio for row in rows]
    assert np.isnan(table[:, "p_value"].X).all()
    assert table.var.loc["stained_to_cell_ratio", "unit"] == "0-1"
    assert table.obs["gene"].tolist() == ["SI", "SI"]
    assert table.obs["images"].tolist() == [row.images for row in rows]
    assert table.obs["p_extrapolated"].tolist() == [False, False]
    assert list(table.uns["tissues"]) == ["duodenum"]
    np.testing.assert_allclose(table.obsm["ratio_by_tissue"][:, 0], ratio)


def test_missing_anndata_error_names_the_remedy(
    atlas: SmallAtlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "anndata", None)
    command = ["export", "--report", str(atlas.path("report")), "--h5ad", str(tmp_path / "a.h5ad")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert "needs the package anndata" in result.output
    assert not (tmp_path / "a.h5ad").exists()


def test_ome_zarr_reader_finds_image_and_labels(atlas: SmallAtlas) -> None:
    """napari-ome-zarr displays the output of ome-zarr-py's reader."""
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    location = parse_url(str(atlas.store.path("HPA000001/1_A_7_2")), mode="r")
    assert location is not None
    nodes = list(Reader(location)())
    shapes = {Path(str(node.zarr)).name: node.data[0].shape for node in nodes if node.data}
    assert (3, 128, 128) in shapes.values()
    labels = [node for node in nodes if node.data and node.data[0].shape == (128, 128)]
    by_name = {node.metadata["name"].split("/")[-1]: node for node in labels}
    areas = {name: int(np.asarray(node.data[0]).sum()) for name, node in by_name.items()}
    assert areas == {"stain": 48 * 128, "cell": 96 * 96}
    colours = {name: node.metadata["color"][1] for name, node in by_name.items()}
    for name, expected in (("stain", palette.STAINS[0]), ("cell", palette.CELL)):
        assert colours[name] == pytest.approx([*(channel / 255 for channel in expected), 1.0])


def test_masks_of_a_region_lie_on_the_slide() -> None:
    mask = masks()["touching the edge"]
    meta = meta_of(mask)
    region = dataclasses.replace(meta, source_x=1000, source_y=2000)
    (whole,) = geojson.area_feature(mask, "cell", meta, {})
    (part,) = geojson.area_feature(mask, "cell", region, {})
    pairs = zip(polygons_of([whole])[0][0], polygons_of([part])[0][0], strict=True)
    assert all(np.allclose(np.add(before, (1000, 2000)), after) for before, after in pairs)
    dab = np.ones(mask.shape, np.float32)
    points = np.array(polygons_of(geojson.stain_features(mask, "stain", dab, region, {}))[0][0])
    assert points.min(axis=0).tolist() == [1000, 2000]
    assert (points <= [1000 + region.source_width, 2000 + region.source_height]).all()
