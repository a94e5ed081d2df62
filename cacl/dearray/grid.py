"""The places of a tissue microarray: their names, cores, and regions of the slide."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from cacl.dearray.cores import FoundCore, Status
from cacl.image.region import Region

LETTER_FIRST = re.compile(r"([A-Z]{1,2})[ _-]?(\d{1,3})", re.ASCII)
NUMBER_FIRST = re.compile(r"(\d{1,3})[ _-]([A-Z]{1,2})", re.ASCII)
LETTERS = 26

MARGIN = 0.1
"""Space around a core in its region, over its diameter: the core spans 0.83 of the region."""


@dataclass(frozen=True)
class Grid:
    """The cores of a slide.

    Parameters
    ----------
    cores
        Places in pixels of the slide, row by row.
    height, width
        Size of the slide.
    """

    cores: tuple[FoundCore, ...]
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return max(core.row for core in self.cores) + 1, max(core.col for core in self.cores) + 1

    @property
    def diameter(self) -> float:
        """Median diameter of the cores that are there and whole, else of all places."""
        whole = [core.diameter for core in self.cores if core.status is Status.FOUND]
        return statistics.median(whole or [core.diameter for core in self.cores])

    def of_status(self, status: Status) -> list[str]:
        """Return the names of the places of a status."""
        return [position_name(core) for core in self.cores if core.status is status]

    def regions(self) -> dict[tuple[int, int], Region]:
        """Return the region of each core that is there, by row and column.

        It is the square around the core with `MARGIN`, inside the slide, as far as half the way
        to the neighbours: tissue of a core that touches is not counted twice.
        """
        present = {
            (core.row, core.col): core for core in self.cores if core.status is not Status.MISSING
        }
        return {place: self._region(core, present) for place, core in present.items()}

    def _region(self, core: FoundCore, present: dict[tuple[int, int], FoundCore]) -> Region:
        half = (0.5 + MARGIN) * core.diameter
        left, right = core.x - half, core.x + half
        top, bottom = core.y - half, core.y + half
        for step in (-1, 1):
            beside = present.get((core.row, core.col + step))
            if beside is not None and (beside.x - core.x) * step > 0:
                middle = (core.x + beside.x) / 2
                left, right = (left, min(right, middle)) if step > 0 else (max(left, middle), right)
            above = present.get((core.row + step, core.col))
            if above is not None and (above.y - core.y) * step > 0:
                middle = (core.y + above.y) / 2
                top, bottom = (top, min(bottom, middle)) if step > 0 else (max(top, middle), bottom)
        x, y = max(0, round(left)), max(0, round(top))
        end_x, end_y = min(self.width, round(right)), min(self.height, round(bottom))
        return Region(x, y, max(1, end_x - x), max(1, end_y - y))


def position_name(core: FoundCore) -> str:
    """Return the name of a place, such as C11: a letter for the row, a number for the column."""
    return f"{row_name(core.row)}{core.col + 1}"


def row_name(row: int) -> str:
    """Return the letters of a row from 0: A to Z, then AA, AB, ... as in a spreadsheet."""
    before, last = divmod(row, LETTERS)
    return (row_name(before - 1) if before else "") + chr(ord("A") + last)


def parse_position(text: str) -> tuple[int, int]:
    """Return row and column from 0 of the name of a place.

    Read are `C11`, `c-11` (as QuPath names cores), `C 11`, `C_11`, `C011`, and `11-C`.

    Raises
    ------
    ValueError
        It is no such name.
    """
    name = text.strip().upper()
    match = LETTER_FIRST.fullmatch(name)
    letters, number = match.groups() if match else ("", "0")
    if match is None and (reverse := NUMBER_FIRST.fullmatch(name)):
        number, letters = reverse.groups()
    if not letters or int(number) < 1:
        raise ValueError(
            f"{text[:50]!r} is no place of an array; expected the letter of its row and the number "
            "of its column, such as C11"
        )
    row = 0
    for letter in letters:
        row = row * LETTERS + ord(letter) - ord("A") + 1
    return row - 1, int(number) - 1


def scaled_grid(cores: Sequence[FoundCore], scale: float, height: int, width: int) -> Grid:
    """Return the grid of cores that were found in an overview.

    Parameters
    ----------
    cores
        In pixels of the overview.
    scale
        Pixels of the slide per pixel of the overview.
    height, width
        Size of the slide.
    """
    return Grid(
        tuple(
            FoundCore(
                core.row,
                core.col,
                core.x * scale,
                core.y * scale,
                core.diameter * scale,
                core.status,
            )
            for core in cores
        ),
        height,
        width,
    )
