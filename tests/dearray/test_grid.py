"""Names of places, regions of cores, and grids as GeoJSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cacl.dearray.cores import FoundCore, Status
from cacl.dearray.grid import Grid, parse_position, position_name, row_name
from cacl.dearray.grid_file import grid_geojson, read_grid
from cacl.errors import DearrayError
from cacl.image.region import Region

SIDE = 1000


def core(row: int, col: int, x: float, y: float, status: Status = Status.FOUND) -> FoundCore:
    return FoundCore(row, col, x, y, 100.0, status)


def grid(*cores: FoundCore) -> Grid:
    return Grid(cores, SIDE, SIDE)


def test_names_of_rows_go_on_as_in_a_spreadsheet() -> None:
    assert [row_name(row) for row in (0, 7, 25, 26, 27, 51, 52, 701)] == [
        *("A", "H", "Z", "AA", "AB", "AZ", "BA", "ZZ"),
    ]
    for row in range(702):
        assert parse_position(f"{row_name(row)}12") == (row, 11)


@pytest.mark.parametrize("name", ["C11", "c11", "C-11", " C 11 ", "C_11", "C011", "11-C", "11 c"])
def test_other_forms_of_a_name_are_read(name: str) -> None:
    assert parse_position(name) == (2, 10)


@pytest.mark.parametrize(
    "name", ["", "C", "11", "C0", "CCC1", "C1.5", "C-", "C1000", "\u0660A", "11C"]
)
def test_other_texts_are_no_names(name: str) -> None:
    with pytest.raises(ValueError, match="such as C11"):
        parse_position(name)


def test_region_is_the_square_around_a_core() -> None:
    regions = grid(core(0, 0, 500, 400)).regions()
    assert regions == {(0, 0): Region(440, 340, 120, 120)}


def test_regions_of_neighbours_meet_half_way() -> None:
    cores = (core(0, 0, 200, 200), core(0, 1, 290, 210), core(1, 0, 205, 300))
    regions = grid(*cores).regions()
    left, right, below = (regions[place] for place in ((0, 0), (0, 1), (1, 0)))
    assert left.x + left.width <= right.x == 245
    assert left.y + left.height <= below.y == 250
    assert right.width == 105


def test_region_of_a_core_at_the_border_is_inside_the_slide() -> None:
    regions = grid(core(0, 0, 30, 20), core(4, 4, 980, 990)).regions()
    assert regions == {(0, 0): Region(0, 0, 90, 80), (4, 4): Region(920, 930, 80, 70)}


def test_missing_core_has_no_region() -> None:
    assert grid(core(0, 0, 500, 500, Status.MISSING)).regions() == {}


def test_grid_comes_back_as_it_was_written(tmp_path: Path) -> None:
    made = grid(
        core(0, 0, 150.25, 200.5),
        core(0, 1, 300, 210, Status.SPLIT),
        core(27, 0, 160, 400, Status.MISSING),
    )
    path = tmp_path / "grid.geojson"
    path.write_text(grid_geojson(made))
    again = read_grid(path, SIDE, SIDE)
    assert [(position_name(each), each.status) for each in again.cores] == [
        ("A1", Status.FOUND),
        ("A2", Status.SPLIT),
        ("AB1", Status.MISSING),
    ]
    for before, after in zip(made.cores, again.cores, strict=True):
        assert (after.x, after.y, after.diameter) == pytest.approx(
            (before.x, before.y, before.diameter), abs=0.02
        )
    assert again.regions() == made.regions()


def feature(name: str | None, box: tuple[float, float, float, float], **more: Any) -> Any:
    left, top, right, bottom = box
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    named = {} if name is None else {"name": name}
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {
        "type": "Feature",
        "id": "8a6d5f0c-77c4-4c1f-9c1a-000000000000",
        "geometry": geometry,
        "properties": {"objectType": "annotation"} | named | more,
    }


def write(tmp_path: Path, *features: Any) -> Path:
    path = tmp_path / "grid.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return path


def test_cores_of_qupaths_own_dearrayer_are_read(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        feature("A-1", (100, 100, 200, 200), objectType="tmaCore", isMissing=False),
        feature("A-2", (300, 100, 400, 200), objectType="tmaCore", isMissing=True),
        feature(None, (1, 1, 2, 2), objectType="detection"),
    )
    cores = read_grid(path, SIDE, SIDE).cores
    assert [(position_name(each), each.status) for each in cores] == [
        ("A1", Status.FOUND),
        ("A2", Status.MISSING),
    ]
    assert (cores[0].x, cores[0].y, cores[0].diameter) == (150, 150, 100)


@pytest.mark.parametrize(
    ("features", "sentence"),
    [
        ([], "it holds no annotation"),
        ([feature(None, (1, 1, 99, 99))], "object 1 has no name; name it by its place"),
        ([feature("Tumour", (1, 1, 99, 99))], "'Tumour' is no place of an array"),
        (
            [feature("A1", (1, 1, 9, 9)), feature("a-1", (5, 5, 99, 99))],
            "two objects are called A1",
        ),
        ([feature("A1", (2000, 1, 2099, 99))], "the slide has 1,000 x 1,000 px; draw it on"),
        ([feature("A1", (1, 1, 1.5, 1.5))], "with a diameter of 0 px"),
        ([feature("A1", (float("1e12"), 1, 9, 9))], "has the coordinate 1000000000000"),
        ([{"type": "Feature"}], "object 1 is no Feature of GeoJSON with properties"),
        (["A1"], "object 1 is no Feature"),
        ([feature("A1", (1, 1, 9, 9)) | {"geometry": None}], "the core A1 has no area"),
    ],
)
def test_grid_that_cannot_be_used_says_why(
    tmp_path: Path, features: list[Any], sentence: str
) -> None:
    with pytest.raises(DearrayError, match=sentence):
        read_grid(write(tmp_path, *features), SIDE, SIDE)


@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"', "{}", "\0" * 9])
def test_file_that_is_no_geojson_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "grid.geojson"
    path.write_text(text)
    with pytest.raises(DearrayError, match="cannot be used as a grid"):
        read_grid(path, SIDE, SIDE)
    with pytest.raises(DearrayError, match="There is no file"):
        read_grid(tmp_path / "none.geojson", SIDE, SIDE)
