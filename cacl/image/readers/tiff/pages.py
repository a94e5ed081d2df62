"""Choice of the page to read: the one of full resolution, if it is the only one.

Scanners and programs add thumbnails, labels, overview pictures and lower levels before or after
the image, in pages or in SubIFDs, and not all of them mark these as reduced.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tifffile

from cacl.errors import ImageError
from cacl.image.readers.files import several_images, unsupported, warn_once
from cacl.image.readers.tiff.pixel_size import ome_pixels
from cacl.runtime.json_text import parse_json

REDUCED, MASK = 1, 4
"""Bits of NewSubfileType, TIFF 6.0, section 8."""

OLD_REDUCED = 2
"""SubfileType of a reduced image, TIFF 6.0, section 8."""

SIMILAR_AREA = 0.25
"""A page with this fraction of the largest page's area is an image of its own, not a label."""

MIN_SCALE = 1.2
"""A copy at lower resolution is smaller by at least this factor."""

ASPECT_TOLERANCE = 0.02
MAX_LISTED = 5
SIDES = ("imagewidth", "imagelength", "imagedepth", "tilewidth", "tilelength", "tiledepth")
STACK_TO_RGB = (
    "if these are its red, green and blue channels, merge them in ImageJ (Image > Color > Stack to "
    "RGB) and save the result; otherwise export the image in colour"
)
IMAGEJ_IMAGES = re.compile(r"^images=(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Choice:
    """The page to read.

    Parameters
    ----------
    first
        First page of the file, whose description holds the metadata of the file.
    page
        The page of full resolution.
    is_first
        Whether it is the first page.
    unverified
        Smaller pages of its shape that are not marked as reduced: lower levels, unless their
        content differs.
    """

    first: tifffile.TiffPage
    page: tifffile.TiffPage
    is_first: bool
    unverified: tuple[tifffile.TiffPage, ...]


def choose_page(path: Path, file: tifffile.TiffFile) -> Choice:
    """Return the page of full resolution.

    Pages that are marked as reduced or as a mask are left out; so are, with a warning, pages below
    `SIMILAR_AREA` of the largest one, such as labels.

    Raises
    ------
    ImageError
        With the reason `several_images`, or `unsupported_pixels` for channels in grey pages.
    """
    pages = all_pages(file)
    no_masks = [page for page in pages if not page.subfiletype & MASK] or pages
    full = [page for page in no_masks if not _is_reduced(page)] or no_masks
    largest = max(full, key=_area)
    others = [page for page in full if page is not largest]
    copies = tuple(page for page in others if _may_be_copy(page, largest))
    rest = [page for page in others if page not in copies]
    rivals = [page for page in rest if _area(page) >= SIMILAR_AREA * _area(largest)]
    planes = max(len(rivals) + 1, _planes(pages[0].description, largest))
    if planes > 1:
        if largest.samplesperpixel == 1:
            raise unsupported(path, f"{planes} planes of grey pixels", STACK_TO_RGB)
        raise refuse(path, pages, [largest, *rivals], planes)
    if rest:
        warn_of_others(path, rest)
    return Choice(pages[0], largest, largest is pages[0], copies)


def all_pages(file: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """Return the pages of a file with their SubIFDs.

    Raises
    ------
    tifffile.TiffFileError
        There are none, or the tags of a page state several values for one of its sides.
    """
    pages: list[tifffile.TiffPage] = []
    for page in file.pages:
        if not isinstance(page, tifffile.TiffPage):
            continue
        pages.append(page)
        if page.subifds:
            pages += [sub for sub in page.pages or () if isinstance(sub, tifffile.TiffPage)]
    if not pages:
        raise tifffile.TiffFileError("it has no pages")
    for page in pages:
        # A tuple or a text of a tag times a number of another would fill the memory.
        if not all(isinstance(getattr(page, side), int) for side in SIDES):
            raise tifffile.TiffFileError("a side of a page is not one number")
    return pages


def refuse(
    path: Path, pages: Sequence[tifffile.TiffPage], similar: Sequence[tifffile.TiffPage], count: int
) -> ImageError:
    """Return the error for several images of similar size."""
    listed = [
        f"page {number} of {page.imagewidth} x {page.imagelength} px"
        for number, page in enumerate(pages, 1)
        if any(page is other for other in similar)
    ]
    more = [f"and {len(listed) - MAX_LISTED} more"] if len(listed) > MAX_LISTED else []
    return several_images(path, f"{count} images ({', '.join([*listed[:MAX_LISTED], *more])})")


def warn_of_others(path: Path, pages: Sequence[tifffile.TiffPage]) -> None:
    """Say which smaller pages are not measured."""
    sizes = ", ".join(f"{page.imagewidth} x {page.imagelength} px" for page in pages[:MAX_LISTED])
    warn_once(
        f"{path}: only its largest page is measured; {len(pages)} smaller page(s), such as a "
        f"label, are left out ({sizes}); save them as files of their own if they are cores"
    )


def _is_reduced(page: tifffile.TiffPage) -> bool:
    old = page.tags.valueof("SubfileType", 0)
    return bool(page.subfiletype & REDUCED) or int(old) == OLD_REDUCED


def _area(page: tifffile.TiffPage) -> int:
    return int(page.imagewidth * page.imagelength)


def _may_be_copy(page: tifffile.TiffPage, largest: tifffile.TiffPage) -> bool:
    sides = page.imagewidth, page.imagelength
    if min(sides) < 1:
        return False
    across, down = largest.imagewidth / sides[0], largest.imagelength / sides[1]
    tolerance = ASPECT_TOLERANCE + 1 / min(sides)
    return min(across, down) >= MIN_SCALE and abs(across / down - 1) <= tolerance


def _planes(description: str, page: tifffile.TiffPage) -> int:
    """Return the number of images of the page's size that the description states.

    ImageJ and tifffile store a stack behind a single page, OME-TIFF possibly in other files.
    """
    stack = IMAGEJ_IMAGES.search(description) if description.startswith("ImageJ=") else None
    if stack is not None:
        return int(stack[1])
    if description.startswith('{"shape":'):
        return _planes_of_tifffile(description, page)
    size = str(page.imagewidth), str(page.imagelength)
    for pixels in ome_pixels(description):
        if (pixels.get("SizeX"), pixels.get("SizeY")) == size:
            sizes = [pixels.get(f"Size{axis}", "1") for axis in "ZTC"]
            depth, times, channels = (int(text) if text.isdecimal() else 1 for text in sizes)
            return depth * times * max(1, channels // page.samplesperpixel)
    return 1


def _planes_of_tifffile(description: str, page: tifffile.TiffPage) -> int:
    try:
        shape = [int(side) for side in parse_json(description)["shape"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        return 1
    sides, samples = [page.imagelength, page.imagewidth], page.samplesperpixel
    for image in ([*sides, samples], [samples, *sides], sides):
        if shape[-len(image) :] == image:
            return math.prod(shape[: -len(image)])
    return 1
