"""Okabe & Ito's colours, told apart with every kind of colour vision, for masks everywhere."""

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


def stain_colour(place: int) -> Colour:
    """Return the colour of the mask of a class, by its place in `labels.classes`."""
    return STAINS[place % len(STAINS)]
