"""Stain vectors: the optical densities of red, green and blue of haematoxylin and of DAB alone."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

Vector = tuple[float, float, float]

# Ruifrok & Johnston, Anal Quant Cytol Histol 2001; the H DAB vectors of Fiji and scikit-image.
HEMATOXYLIN_OD: Vector = (0.650, 0.704, 0.286)
DAB_OD: Vector = (0.268, 0.570, 0.776)

MIN_ANGLE_DEG = 5.0
"""Stains whose vectors enclose a smaller angle cannot be separated."""

DECIMALS = 4


@dataclass(frozen=True)
class StainVectors:
    """The two vectors with which images are separated into haematoxylin and DAB.

    Only their directions count.

    Parameters
    ----------
    hematoxylin, dab
        Optical densities of red, green and blue of each stain alone.

    Raises
    ------
    ValueError
        A density is not finite or negative, all are 0, or the vectors are nearly parallel.
    """

    hematoxylin: Vector
    dab: Vector

    def __post_init__(self) -> None:
        for name, vector in vars(self).items():
            if not all(math.isfinite(value) and value >= 0.0 for value in vector):
                raise ValueError(f"{name} has a density that is negative or not finite: {vector}")
            if not 0.0 < math.hypot(*vector) < math.inf:
                raise ValueError(f"{name} has no density that can be used: {vector}")
        if (degrees := angle(self.hematoxylin, self.dab)) < MIN_ANGLE_DEG:
            raise ValueError(
                f"hematoxylin and dab enclose {degrees:.1f} degrees, expected at least "
                f"{MIN_ANGLE_DEG:g}: stains of equal colour cannot be separated"
            )

    @classmethod
    def of(cls, hematoxylin: Sequence[float], dab: Sequence[float]) -> StainVectors:
        """Return vectors of norm 1, rounded; `REFERENCE` if they have its directions.

        Raises
        ------
        ValueError
            As for the class.
        """
        given = cls(_triple(hematoxylin), _triple(dab))
        rounded = cls(_unit(given.hematoxylin), _unit(given.dab))
        return REFERENCE if rounded == _ROUNDED_REFERENCE else rounded

    def difference(self, other: StainVectors) -> float:
        """Return the larger of the angles between the vectors of one stain, degrees."""
        return max(angle(self.hematoxylin, other.hematoxylin), angle(self.dab, other.dab))

    def describe(self) -> str:
        """Return the vectors as text for a sentence, with norm 1."""
        shown = (
            " ".join(f"{value:.2f}" for value in _unit(vector))
            for vector in (self.hematoxylin, self.dab)
        )
        return "haematoxylin {}, DAB {}".format(*shown)

    def __str__(self) -> str:
        return json.dumps({name: list(vector) for name, vector in vars(self).items()})


def angle(first: Vector, second: Vector) -> float:
    """Return the angle between two vectors, degrees."""
    lengths = math.hypot(*first), math.hypot(*second)
    cosine = sum(a / lengths[0] * b / lengths[1] for a, b in zip(first, second, strict=True))
    return math.degrees(math.acos(min(1.0, max(-1.0, cosine))))


def _triple(values: Sequence[float]) -> Vector:
    red, green, blue = map(float, values)
    return red, green, blue


def _unit(vector: Vector) -> Vector:
    norm = math.hypot(*vector)
    return _triple([round(value / norm, DECIMALS) for value in vector])


REFERENCE = StainVectors(HEMATOXYLIN_OD, DAB_OD)
_ROUNDED_REFERENCE = StainVectors(_unit(HEMATOXYLIN_OD), _unit(DAB_OD))
