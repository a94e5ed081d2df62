"""The map of an array: a person's CSV that says whose core is where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from cacl.dearray.grid import Grid, parse_position, row_name
from cacl.errors import DearrayError
from cacl.tables.user_csv import Columns, read_lines

JOINED = ("patient_id", "antibody_id", "label", "gene", "ensembl_id", "tissue")
"""Columns of a map that become columns of the manifest."""

COLUMNS = Columns(
    required=("position",),
    optional=(*JOINED, "slide", "image_path", "image_id", "region", "status", "core_um", "mpp"),
    paths=("slide", "image_path"),
    names=("position", *(name for name in JOINED if name != "label")),
)
"""A manifest is a map, too: what has been filled in stays when a grid is corrected."""

Values = dict[str, str]


@dataclass(frozen=True)
class ArrayMap:
    """What is known of the places of an array.

    Parameters
    ----------
    path
        The file, for messages.
    lines
        Number of the line and values by name of the slide, in lower case (empty for every slide),
        row and column.
    """

    path: Path
    lines: Mapping[tuple[str, int, int], tuple[int, Values]] = field(default_factory=dict)

    def of_slide(self, slide: Path, grid: Grid) -> dict[tuple[int, int], Values]:
        """Return the values of the places of a slide, by row and column.

        Raises
        ------
        DearrayError
            The map has a place that the grid lacks: all places could be numbered wrongly.
        """
        known = {(core.row, core.col) for core in grid.cores}
        values: dict[tuple[int, int], Values] = {}
        for own in (False, True):
            for (name, row, col), (number, line) in self.lines.items():
                if (name in _names(slide)) if own else not name:
                    if (row, col) not in known:
                        rows, cols = grid.shape
                        raise DearrayError(
                            f"{self.path}, line {number}: {slide.name} has no place "
                            f"{row_name(row)}{col + 1}; its grid has the rows A to "
                            f"{row_name(rows - 1)} and the columns 1 to {cols}. If a whole row or "
                            "column of cores is missing on the slide, the others are numbered "
                            "wrongly: open the grid (.grid.geojson) in QuPath, correct the names "
                            "or add the missing places, and read it with --grid; else correct the "
                            "map"
                        )
                    values[row, col] = line
        return values


def read_array_map(path: Path) -> ArrayMap:
    """Read a map: a line per place with `position` and columns of `JOINED`.

    A column `slide` (or the `image_path` of a manifest) limits a line to the slide of that file
    name; a line without one is of every slide.

    Raises
    ------
    DearrayError
        The file is no table, or a line has no position, an unknown one, or that of another line.
    """
    lines: dict[tuple[str, int, int], tuple[int, Values]] = {}
    for line in read_lines(path, COLUMNS, DearrayError):
        place = f"{path}, line {line.number}"
        try:
            row, col = parse_position(line.values["position"])
        except ValueError as error:
            raise DearrayError(f"{place}: the position {error}") from error
        slide = PurePath(line.values["slide"] or line.values["image_path"]).name.lower()
        if (slide, row, col) in lines:
            first = lines[slide, row, col][0]
            raise DearrayError(
                f"{place}: {line.values['position']} is already on line {first}; remove one, or "
                "name the slide of each in a column slide"
            )
        lines[slide, row, col] = (line.number, {name: line.values[name] for name in JOINED})
    return ArrayMap(path, lines)


def _names(slide: Path) -> tuple[str, str]:
    return slide.name.lower(), slide.stem.lower()
