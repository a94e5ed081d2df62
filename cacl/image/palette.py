"""Colours of masks and marks, the only source of them for the store, the report and exports.

The eight colours of Okabe & Ito, Color Universal Design (2008), can be distinguished with every
kind of colour vision.
"""

from __future__ import annotations

Colour = tuple[int, int, int]

ORANGE: Colour = (230, 159, 0)
BLUE: Colour = (0, 114, 178)
BLUISH_GREEN: Colour = (0, 158, 115)
REDDISH_PURPLE: Colour = (204, 121, 167)
VERMILLION: Colour = (213, 94, 0)
SKY_BLUE: Colour = (86, 180, 233)
GREY: Colour = (122, 122, 122)

CELL = ORANGE
STAINS: tuple[Colour, ...] = (BLUE, BLUISH_GREEN, REDDISH_PURPLE, VERMILLION, SKY_BLUE)

# The stain mask over a picture of tissue. Light blue differs from the brown of DAB and the violet
# of haematoxylin with every kind of colour vision.
OVERLAY: Colour = (0, 185, 245)


def stain_colour(class_index: int) -> Colour:
    """Return the colour of a class's mask, by the class's index in `labels.classes`."""
    return STAINS[class_index % len(STAINS)]


def hex_code(colour: Colour) -> str:
    """Return a colour as CSS and Plotly write it, such as `#0072b2`."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
