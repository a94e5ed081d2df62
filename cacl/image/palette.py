"""Colours of masks, distinguishable with every kind of colour vision (Okabe & Ito, 2008)."""

from __future__ import annotations

Colour = tuple[int, int, int]

CELL: Colour = (230, 159, 0)
STAINS: tuple[Colour, ...] = (
    (0, 114, 178),
    (0, 158, 115),
    (204, 121, 167),
    (213, 94, 0),
    (86, 180, 233),
)


def stain_colour(class_index: int) -> Colour:
    """Return the colour of the mask of a class, by its index in `labels.classes`."""
    return STAINS[class_index % len(STAINS)]
