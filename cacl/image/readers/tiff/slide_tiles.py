"""Sides and places of the tiles of a slide, checked before OpenSlide reads them.

OpenSlide 4.0 ends the process for a tile of more bytes than fit the memory, and divides by zero for
some tiles of invalid sides.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

from cacl.image.readers.files import damaged
from cacl.image.readers.tiff.decode import open_tiff
from cacl.image.readers.tiff.pages import all_pages

SIDE_MULTIPLE = 16
"""Sides of a tile are multiples of it: TIFF 6.0, section 15."""


def check_slide_tiles(path: Path) -> None:
    """Check that the tiles of all pages have valid sides and lie in the file.

    Raises
    ------
    ImageError
        With the reason `damaged`, or `several_images` for more than 1,000 pages.
    """
    with open_tiff(path) as file:
        size = file.filehandle.size
        for page in all_pages(file):
            if page.is_tiled:
                _check_page(path, page, size)


def _check_page(path: Path, page: tifffile.TiffPage, size: int) -> None:
    sides = page.tilewidth, page.tilelength
    if min(sides) < 1 or any(side % SIDE_MULTIPLE for side in sides):
        raise damaged(path, f"tiles of {sides[0]:,} x {sides[1]:,} px")
    starts = np.array(page.dataoffsets, np.uint64)
    counts = np.array(page.databytecounts, np.uint64)
    if starts.size != counts.size:
        raise damaged(path, f"{starts.size:,} places of {counts.size:,} tiles")
    outside = (counts > size) | (starts > size) | (starts + counts > size)
    if outside.any():
        raise damaged(path, f"{int(outside.sum()):,} tiles outside its {size:,} bytes")
