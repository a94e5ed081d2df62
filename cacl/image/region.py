"""A rectangle of an image file that is read as an image of its own, such as a core of a slide.

It is written as `<width>x<height>+<x>+<y>`, the geometry of X11 and ImageMagick, in one cell of a
table. Spreadsheets read it as text: `1200:3400:25:25` is a time, and four numbers in four columns
get thousands separators or decimals, and can be sorted apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from cacl.errors import ImageError, Reason

PATTERN = re.compile(
    r"\s*(?P<width>\d{1,9})\s*[xX\u00d7]\s*(?P<height>\d{1,9})\s*"
    r"\+\s*(?P<x>\d{1,9})\s*\+\s*(?P<y>\d{1,9})\s*",
    re.ASCII,
)


@dataclass(frozen=True)
class Region:
    """A rectangle in pixels of a file at full resolution, upright.

    Parameters
    ----------
    x, y
        Column and row of its upper left pixel, from 0.
    width, height
        Its size.

    Raises
    ------
    ValueError
        The corner is negative, or a side is below 1.
    """

    x: int
    y: int
    width: int
    height: int

    def __post_init__(self) -> None:
        if min(self.x, self.y) < 0 or min(self.width, self.height) < 1:
            raise ValueError(f"the region {self} has a negative corner or a side below 1 px")

    @classmethod
    def parse(cls, text: str) -> Region:
        """Return the region that a text states.

        Raises
        ------
        ValueError
            The text is no `<width>x<height>+<x>+<y>` of whole numbers, or a side is 0.
        """
        match = PATTERN.fullmatch(text)
        values = {name: int(value) for name, value in match.groupdict().items()} if match else {}
        if not values or not values["width"] or not values["height"]:
            raise ValueError(
                f"the region is {text[:50]!r}; expected <width>x<height>+<x>+<y> in whole pixels "
                "of the slide at full resolution, such as 2500x2500+1200+3400"
            )
        return cls(**values)

    def __str__(self) -> str:
        return f"{self.width}x{self.height}+{self.x}+{self.y}"


def parse_region(text: str) -> Region | None:
    """Return the region of a table's cell, None for an empty one; see `Region.parse`."""
    return Region.parse(text) if text else None


def check_inside(path: Path, region: Region, height: int, width: int) -> None:
    """Check that a region lies inside the image of a file.

    Raises
    ------
    ImageError
        With the reason `outside_image`.
    """
    if region.x + region.width > width or region.y + region.height > height:
        raise ImageError(
            Reason.OUTSIDE_IMAGE,
            f"The region {region} reaches to ({region.x + region.width:,}, "
            f"{region.y + region.height:,}) px, but {path} has {width:,} x {height:,} px; correct "
            "the column region of the manifest: <width>x<height>+<x>+<y> in pixels of the slide "
            "at full resolution",
        )
