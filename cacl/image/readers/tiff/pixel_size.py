"""Pixel size of a TIFF: from OME-XML, ImageJ, Aperio, or the resolution tags."""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import tifffile

from cacl.image.readers.source import MPP_MAX, MPP_MIN, plausible_mpp
from cacl.image.readers.tiff.tags import tag

log = logging.getLogger(__name__)

UM_PER_RESOLUTION_UNIT = {2: 25_400.0, 3: 10_000.0}
"""ResolutionUnit of TIFF 6.0, section 8: inch and centimetre."""

UM_PER_UNIT = {
    "m": 1e6,
    "meter": 1e6,
    "metre": 1e6,
    "cm": 1e4,
    "mm": 1e3,
    "millimeter": 1e3,
    "millimetre": 1e3,
    "um": 1.0,
    "\u00b5m": 1.0,
    "\u03bcm": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "nanometre": 1e-3,
    "pm": 1e-6,
    "\u00e5": 1e-4,
    "in": 25_400.0,
    "inch": 25_400.0,
    "inches": 25_400.0,
}
OME_DEFAULT_UNIT = "\u00b5m"
"""Default of PhysicalSizeXUnit in the OME schema 2016-06."""

PIXELS = re.compile(r"<(?:\w+:)?Pixels\b([^>]*)>")
ATTRIBUTE = re.compile(r"""([\w:]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
IMAGEJ_UNIT = re.compile(r"^unit=(.*)$", re.MULTILINE)
APERIO_MPP = re.compile(r"\|\s*MPP\s*=\s*([0-9.eE+-]+)")
ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")

Sides = tuple[float, float]


def pixel_size(path: Path, first: tifffile.TiffPage, page: tifffile.TiffPage) -> float | None:
    """Return the side of a pixel of `page` in um.

    The first plausible statement counts: OME-XML, ImageJ, Aperio, then the resolution tags. An
    implausible one of a microscopy program is ignored with a warning; resolution tags often hold
    the default of a screen or a printer, so that these are ignored without one.

    Parameters
    ----------
    path
        Path of the file, for the warning.
    first
        First page of the file; its description holds OME-XML and ImageJ's values.
    page
        The page that is read.

    Returns
    -------
    float or None
        None without a plausible value.
    """
    size = page.imagewidth, page.imagelength
    for name, stated in (
        ("OME-XML", _of_ome(first.description, size)),
        ("ImageJ", _of_imagej(first.description, page)),
        ("Aperio", _of_aperio(page.description) or _of_aperio(first.description)),
    ):
        if stated is None:
            continue
        mpp = plausible_mpp(*stated)
        if mpp is not None:
            return mpp
        log.warning(
            "%s: the pixel size of %g x %g um that %s states is ignored: expected %g to %g um in "
            "both directions; state mpp in the manifest",
            path,
            *stated,
            name,
            MPP_MIN,
            MPP_MAX,
        )
    per_unit = UM_PER_RESOLUTION_UNIT.get(int(tag(page, "ResolutionUnit", 2)))
    sides = None if per_unit is None else _of_resolution(page, per_unit)
    return None if sides is None else plausible_mpp(*sides)


def ome_pixels(description: str) -> Iterator[dict[str, str]]:
    """Yield the attributes of each element Pixels of OME-XML; nothing for other descriptions."""
    if "<OME" not in description and ":OME" not in description:
        return
    for element in PIXELS.finditer(description):
        yield {
            name: html.unescape(double or single)
            for name, double, single in ATTRIBUTE.findall(element[1])
        }


def _of_ome(description: str, size: tuple[int, int]) -> Sides | None:
    images = list(ome_pixels(description))
    same_size = [
        pixels
        for pixels in images
        if (pixels.get("SizeX"), pixels.get("SizeY")) == (str(size[0]), str(size[1]))
    ]
    for pixels in same_size or images[:1]:
        sides = [_ome_side(pixels, axis) for axis in "XY"]
        x, y = sides[0] or sides[1], sides[1] or sides[0]
        if x is not None and y is not None:
            return x, y
    return None


def _ome_side(pixels: dict[str, str], axis: str) -> float | None:
    unit = pixels.get(f"PhysicalSize{axis}Unit", OME_DEFAULT_UNIT)
    um = UM_PER_UNIT.get(unit.strip().lower())
    try:
        return None if um is None else um * float(pixels[f"PhysicalSize{axis}"])
    except (KeyError, ValueError):
        return None


def _of_imagej(description: str, page: tifffile.TiffPage) -> Sides | None:
    stated = IMAGEJ_UNIT.search(description)
    if not description.startswith("ImageJ=") or stated is None:
        return None
    unit = ESCAPED.sub(lambda code: chr(int(code[1], 16)), stated[1]).strip().lower()
    um = UM_PER_UNIT.get(unit)
    # ImageJ states an inch for images whose size it does not know.
    return None if um is None or unit.startswith("in") else _of_resolution(page, um)


def _of_aperio(description: str) -> Sides | None:
    stated = APERIO_MPP.search(description)
    try:
        return None if stated is None else (float(stated[1]), float(stated[1]))
    except ValueError:
        return None


def _of_resolution(page: tifffile.TiffPage, um: float) -> Sides | None:
    try:
        (x, x_per), (y, y_per) = tag(page, "XResolution"), tag(page, "YResolution")
        return um * x_per / x, um * y_per / y
    except (TypeError, ValueError, ZeroDivisionError):
        return None
