"""Exported masks are valid polygons for shapely, GeoJSON, and objects of the QuPath team's reader.

QuPath publishes no schema of its GeoJSON: its repository and its documentation have none. Its team
publishes qubalab, which reads the objects in Python. The keys below are among those that QuPath
reads (`PathObjectTypeAdapters.java` of qupath-core).
"""

from __future__ import annotations

import json
from importlib.metadata import version

import numpy as np
import pytest

from cacl.export import geojson as writer
from cacl.export.geojson import qupath_class
from cacl.image import palette
from tests.export.test_export import masks, meta_of
from tests.interop.conftest import Census, Shown, cores

pytestmark = pytest.mark.interop

QUPATH_KEYS = {"objectType", "name", "isLocked", "classification", "measurements"}
CLASSES = {qupath_class("cell"): palette.CELL, qupath_class("stain"): palette.STAINS[0]}


def test_every_polygon_is_valid_and_covers_exactly_the_mask(census: Census, shown: Shown) -> None:
    import shapely
    from shapely.geometry import shape

    y, x = np.mgrid[:128, :128] + 0.5
    polygons = 0
    for core in cores():
        text = (census.masks / f"{core.image_id}.geojson").read_text(encoding="utf-8")
        features = json.loads(text)["features"]
        for name in ("cell", "stain"):
            shapes = [
                shape(feature["geometry"])
                for feature in features
                if feature["properties"]["classification"]["name"] == qupath_class(name)
            ]
            assert all(each.is_valid for each in shapes)
            inside = shapely.contains_xy(shapely.union_all(shapes), x, y)
            np.testing.assert_array_equal(inside, census.atlas.store.label(core.image_id, name))
            polygons += sum(len(getattr(each, "geoms", [each])) for each in shapes)
    assert polygons == 2 * len(cores())
    shown(
        "shapely",
        version("shapely"),
        f"GeoJSON of {len(cores())} images, {polygons} polygons; noise, holes, corners that touch",
        "every polygon valid; its interior has exactly the pixel centres of the mask",
    )


@pytest.mark.parametrize("name", [name for name in masks() if name != "nothing"])
def test_polygons_of_any_mask_are_valid(name: str) -> None:
    import shapely
    from shapely.geometry import shape

    mask = masks()[name]
    (feature,) = writer.area_feature(mask, "cell", meta_of(mask, 75), {})
    area = shape(feature["geometry"])
    assert area.is_valid
    y, x = (np.mgrid[: mask.shape[0], : mask.shape[1]] + 0.5) * 75 / 32
    np.testing.assert_array_equal(shapely.contains_xy(area, x, y), mask)


def test_qupath_team_reads_the_objects(census: Census, shown: Shown) -> None:
    import geojson
    from qubalab.objects.image_feature import ImageFeature

    objects = 0
    for core in cores():
        text = (census.masks / f"{core.image_id}.geojson").read_text(encoding="utf-8")
        collection = geojson.loads(text)
        assert collection.is_valid, collection.errors()
        for feature in collection["features"]:
            assert feature["properties"].keys() <= QUPATH_KEYS
            read = ImageFeature.create_from_feature(feature)
            assert read.is_annotation
            (class_name,) = read.classification.names
            assert tuple(read.classification.color) == CLASSES[class_name]
            assert read.name.startswith(core.image_id)
            assert read.measurements == feature["properties"]["measurements"]
            ratio = core.stained_rows / 96
            assert read.measurements["Core: stained / cell area"] == pytest.approx(ratio, abs=1e-6)
            objects += 1
    assert objects == 2 * len(cores())
    shown(
        "qubalab (of the QuPath team), geojson",
        f"{version('qubalab')}, {version('geojson')}",
        f"GeoJSON of {len(cores())} images, {objects} objects",
        "valid GeoJSON; object type, class, colour, name and measurements are read. QuPath itself "
        "was not run, and publishes no schema",
    )
