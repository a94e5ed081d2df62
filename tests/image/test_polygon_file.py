"""GeoJSON of QuPath as masks: classes, geometries, places, and files that cannot be used."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cacl.errors import ConfigError
from cacl.image import polygon_file
from cacl.image.polygon_file import UNCLASSIFIED, Drawing, read_drawing
from cacl.image.tile_grid import TileGrid

GRID = TileGrid(8, 12, source_px=4, tile_px=2)
NAMES = {"stained": (UNCLASSIFIED, "positive"), "clean": ("negative",)}


def box(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def polygon(*rings: list[list[float]]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": list(rings)}


def feature(geometry: Any, class_name: str | None = None) -> dict[str, Any]:
    """Return an object as QuPath 0.5 writes it."""
    properties: dict[str, Any] = {"objectType": "annotation"}
    if class_name is not None:
        properties["classification"] = {"name": class_name, "color": [250, 62, 62]}
    return {"type": "Feature", "id": "a-b", "geometry": geometry, "properties": properties}


def read(tmp_path: Path, document: Any, grid: TileGrid = GRID) -> Drawing:
    path = tmp_path / "drawn.geojson"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return read_drawing(path, grid, NAMES)


def pixels(drawing: Drawing, mask: str = "stained") -> list[list[int]]:
    found: list[list[int]] = np.argwhere(drawing.masks[mask]).tolist()
    return found


def test_classes_make_up_masks_and_others_are_counted(tmp_path: Path) -> None:
    document = {
        "type": "FeatureCollection",
        "features": [
            feature(polygon(box(0, 0, 2, 2))),
            feature(polygon(box(2, 0, 4, 2)), " POSITIVE"),
            feature(polygon(box(8, 4, 12, 8)), "Negative"),
            feature({"type": "Point", "coordinates": ["any"]}, "Necrosis"),
            feature(None, "Necrosis"),
        ],
    }
    drawing = read(tmp_path, document)
    assert drawing.masks["stained"].shape == (4, 6)
    assert pixels(drawing) == [[0, 0], [0, 1]]
    assert pixels(drawing, "clean") == [[2, 4], [2, 5], [3, 4], [3, 5]]
    assert drawing.ignored == {"Necrosis": 2}


@pytest.mark.parametrize("wrap", [lambda each: each, lambda each: [each]])
def test_single_features_and_lists_are_read(tmp_path: Path, wrap: Any) -> None:
    assert pixels(read(tmp_path, wrap(feature(polygon(box(2, 2, 4, 4)))))) == [[1, 1]]
    text = "\ufeff" + json.dumps(wrap(feature(polygon(box(2, 2, 4, 4)))))
    assert pixels(read(tmp_path, text)) == [[1, 1]]


def test_holes_parts_open_rings_and_a_third_coordinate(tmp_path: Path) -> None:
    holed = polygon(box(0, 0, 12, 8), box(2, 2, 10, 6))
    assert pixels(read(tmp_path, feature(holed))) == [
        [row, col] for row in range(4) for col in range(6) if row in (0, 3) or col in (0, 5)
    ]
    parts = {"type": "MultiPolygon", "coordinates": [[box(0, 0, 2, 2)], [box(10, 6, 12, 8)]]}
    assert pixels(read(tmp_path, feature(parts))) == [[0, 0], [3, 5]]
    ring = [[*point, 7] for point in box(0, 0, 2, 2)[:-1]]
    assert pixels(read(tmp_path, feature(polygon(ring)))) == [[0, 0]]
    assert pixels(read(tmp_path, [])) == []


def test_more_than_half_of_an_analysis_pixel_counts(tmp_path: Path) -> None:
    three, two = box(0, 0, 2, 2), box(4, 0, 5, 2)
    three[2:3] = [[2, 1], [1, 1], [1, 2]]
    document = [feature(polygon(three)), feature(polygon(two))]
    assert pixels(read(tmp_path, document)) == [[0, 0]]


def test_polygon_along_the_edge_may_exceed_it_by_a_pixel(tmp_path: Path) -> None:
    assert pixels(read(tmp_path, feature(polygon(box(-1, -0.5, 13, 9))))) == [
        [row, col] for row in range(4) for col in range(6)
    ]


GOOD = feature(polygon(box(0, 0, 2, 2)))
UNUSABLE: dict[str, tuple[Any, str]] = {
    "text": ("no json", "is no JSON"),
    "cut": (json.dumps(GOOD)[:-9], "is no JSON"),
    "nested": ("[" * 100_000, "is no JSON (it is nested too deeply)"),
    "long number": ('[{"type": ' + "9" * 5000 + "}]", "is no JSON"),
    "number": (1, "it is no FeatureCollection"),
    "null": (None, "it is no FeatureCollection"),
    "geometry": (polygon(box(0, 0, 2, 2)), "it is no FeatureCollection"),
    "features": ({"type": "FeatureCollection", "features": {}}, "it is no FeatureCollection"),
    "feature": ([GOOD, 3], "object 2 is no Feature"),
    "nested list": ([[GOOD]], "object 1 is no Feature"),
    "properties": ([GOOD | {"properties": []}], "the properties of object 1 are no mapping"),
    "class": ([GOOD | {"properties": {"classification": "x"}}], "the class of object 1 has no"),
    "class name": (
        [GOOD | {"properties": {"classification": {"name": 1}}}],
        "the class of object 1 has no name",
    ),
    "no geometry": ([feature(None)], "object 1 has no area: its geometry is none"),
    "line": (
        [GOOD, feature({"type": "LineString", "coordinates": box(0, 0, 2, 2)}, "positive")],
        "object 2 has no area: its geometry is 'LineString', expected Polygon or MultiPolygon",
    ),
    "no coordinates": ([feature({"type": "Polygon"})], "the coordinates of object 1 are not"),
    "no ring": ([feature(polygon())], "object 1 has a polygon without an outline"),
    "flat": ([feature({"type": "Polygon", "coordinates": box(0, 0, 2, 2)})], "no pair of numbers"),
    "too deep": ([feature({"type": "Polygon", "coordinates": [[box(0, 0, 1, 1)]]})], "no number"),
    "short point": ([feature(polygon([[0.0]] * 4))], "a point that is no pair of numbers"),
    "texts": ([feature({"type": "Polygon", "coordinates": [[["0", "1"]]]})], "is no number"),
    "booleans": ([feature({"type": "Polygon", "coordinates": [[[True, 1]]]})], "is no number"),
    "two points": (
        [feature(polygon([[0, 0], [1, 1], [0, 0], [1, 1], [0, 0]]))],
        "fewer than three",
    ),
    "empty ring": ([feature(polygon([]))], "fewer than three different points"),
    "nan": ([feature(polygon([[0, 0], [float("nan"), 1], [1, 1]]))], "the coordinate nan"),
    "infinity": ([feature(polygon([[0, 0], [float("inf"), 1], [1, 1]]))], "the coordinate inf"),
    "huge": ([feature(polygon([[0, 0], [10**400, 1], [1, 1]]))], "the coordinate 1000000"),
    "outside": (
        [feature(polygon(box(-5, 0, 2.5, 11)))],
        "reach from (-5, 0) to (2.5, 11) px, but the image has 12 x 8 px",
    ),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_file_that_cannot_be_used_is_named_with_the_place(tmp_path: Path, case: str) -> None:
    document, sentence = UNUSABLE[case]
    with pytest.raises(ConfigError, match=re.escape(sentence)) as caught:
        read(tmp_path, document)
    assert str(caught.value).startswith(f"{tmp_path / 'drawn.geojson'} ")
    assert len(str(caught.value)) < 500


def test_files_that_are_missing_no_files_or_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "drawn.geojson"
    with pytest.raises(ConfigError, match="There is no file"):
        read_drawing(path, GRID, NAMES)
    path.mkdir()
    with pytest.raises(ConfigError, match="is a folder, not a file"):
        read_drawing(path, GRID, NAMES)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="is a pipe, not a file"):
        read_drawing(path, GRID, NAMES)
    path.unlink()
    path.touch()
    with pytest.raises(ConfigError, match=r"is empty \(0 bytes\)"):
        read_drawing(path, GRID, NAMES)
    monkeypatch.setattr(polygon_file, "MAX_BYTES", 100)
    with pytest.raises(ConfigError, match="expected GeoJSON of at most 100; simplify"):
        read(tmp_path, [GOOD])


def test_image_that_is_too_large_is_refused_before_the_file_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="image of 20000 x 10000 px; masks are made of images"):
        read(tmp_path, [GOOD], TileGrid(10_000, 20_000))


def test_outlines_that_take_too_long_are_refused(tmp_path: Path) -> None:
    grid = TileGrid(9000, 9000)
    zigzag = [[index / 2000, 9000 * (index % 2)] for index in range(4000)]
    with pytest.raises(ConfigError, match="cross rows of pixels 36,000,000 times"):
        read(tmp_path, [feature(polygon(zigzag))], grid)
