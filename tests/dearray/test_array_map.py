"""Maps of arrays: whose core is where."""

from __future__ import annotations

from pathlib import Path

import pytest

from cacl.dearray.array_map import read_array_map
from cacl.dearray.cores import FoundCore, Status
from cacl.dearray.grid import Grid
from cacl.errors import DearrayError

GRID = Grid(
    tuple(
        FoundCore(row, col, 100.0 * col, 100.0 * row, 80.0, Status.FOUND)
        for row in range(2)
        for col in range(3)
    ),
    500,
    500,
)


def map_of(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "array.csv"
    path.write_text(text)
    return path


def test_values_are_joined_by_place(tmp_path: Path) -> None:
    path = map_of(tmp_path, "Position;Patient ID;label\nA-1;p1;positive\nb3;p2;\n")
    values = read_array_map(path).of_slide(Path("x.svs"), GRID)
    assert {place: (line["patient_id"], line["label"]) for place, line in values.items()} == {
        (0, 0): ("p1", "positive"),
        (1, 2): ("p2", ""),
    }


def test_line_of_a_slide_counts_more_than_one_of_every_slide(tmp_path: Path) -> None:
    path = map_of(tmp_path, "position,slide,patient_id\nA1,,p1\nA1,dir/X.svs,p9\nA1,y.svs,p3\n")
    array_map = read_array_map(path)
    assert array_map.of_slide(Path("x.svs"), GRID)[0, 0]["patient_id"] == "p9"
    assert array_map.of_slide(Path("z.svs"), GRID)[0, 0]["patient_id"] == "p1"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("patient_id\np1\n", "has no column position"),
        ("position,patient_id\n,p1\n", "line 2: the position '' is no place"),
        ("position,patient_id\nA1,p1\nX,p2\n", "line 3: the position 'X' is no place"),
        ("position,patient_id\nA1,p1\nA-1,p2\n", "line 3: A-1 is already on line 2"),
        ("position,patient_id\nA1,=cmd()\n", "evaluates as a formula"),
        ("position,patinet_id\nA1,p\n", "did you mean 'patient_id'"),
    ],
)
def test_map_that_cannot_be_read_says_why(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(DearrayError, match=sentence):
        read_array_map(map_of(tmp_path, text))


def test_place_that_the_grid_lacks_is_refused(tmp_path: Path) -> None:
    array_map = read_array_map(map_of(tmp_path, "position,patient_id\nA1,p\nC4,p\n"))
    with pytest.raises(DearrayError, match=r"line 3: x.svs has no place C4; its grid has"):
        array_map.of_slide(Path("x.svs"), GRID)
