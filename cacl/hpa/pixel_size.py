"""Sizes of pixels and cores: what a user states in a manifest, and those of the HPA."""

from __future__ import annotations

from cacl.errors import ManifestError
from cacl.image.readers.source import MPP_MAX, MPP_MIN
from cacl.tables.cells import decimal

HPA_CORE_UM = 1000.0
"""Diameter of the punch (Kampf et al., J Vis Exp 2012)."""

HPA_MPP = 0.4
"""Side of a pixel of an image as the HPA serves it (HuBMAP + HPA: Hacking the Human Body, 2022)."""

CORE_UM_MIN, CORE_UM_MAX = 200.0, 5000.0
UM_PER_INCH = 25_400.0
OTHER_UNITS = (("nanometres", 1e-3), ("millimetres", 1e3), ("metres", 1e6))
MAGNIFICATIONS = (10, 20, 40, 63, 100)
"""Magnifications of objectives; a tenth of a millimetre per pixel and more is no microscopy."""


def parse_mpp(text: str) -> float | None:
    """Return the side of a pixel in um, or None for an empty text.

    Raises
    ------
    ManifestError
        Not a number between `MPP_MIN` and `MPP_MAX`; the message names the likely unit.
    """
    if not text:
        return None
    value = decimal(text)
    if value is None or value <= 0:
        raise ManifestError(
            f"mpp is {text[:50]!r}; expected micrometres per pixel as a plain number, such as 0.5"
        )
    if not MPP_MIN <= value <= MPP_MAX:
        raise ManifestError(
            f"mpp is {text[:50]!r}; expected micrometres per pixel, {MPP_MIN:g} to {MPP_MAX:g}"
            f"{_likely_unit(value)}"
        )
    return value


def parse_core_um(text: str) -> float | None:
    """Return the diameter of a core in um, or None for an empty text.

    Raises
    ------
    ManifestError
        Not a number between `CORE_UM_MIN` and `CORE_UM_MAX`.
    """
    if not text:
        return None
    value = decimal(text)
    if value is None or not CORE_UM_MIN <= value <= CORE_UM_MAX:
        raise ManifestError(
            f"core_um is {text[:50]!r}; expected the diameter of the punch in micrometres, "
            f"{CORE_UM_MIN:g} to {CORE_UM_MAX:g}, such as 1000; leave it empty for an image that "
            "is no core of a tissue microarray"
        )
    return value


def _likely_unit(value: float) -> str:
    if value in MAGNIFICATIONS:
        return (
            f"; {value:g} looks like the magnification of the objective, so see the scanner's "
            "properties of the image for its pixel size"
        )
    for unit, um in OTHER_UNITS:
        if MPP_MIN <= value * um <= MPP_MAX:
            return f"; {value:g} looks like {unit}, so write {value * um:g}"
    if MPP_MIN <= UM_PER_INCH / value <= MPP_MAX:
        return f"; {value:g} looks like dots per inch, so write {UM_PER_INCH / value:.4g}"
    return "; see the scanner's properties of the image, or leave it empty"
