"""A picture of a slide with its grid."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cacl.dearray.cores import FoundCore, Status
from cacl.dearray.grid import Grid, position_name
from cacl.dearray.grid_file import CLASSES
from cacl.dearray.overview import Overview

UInt8 = NDArray[np.uint8]

FONT = cv2.FONT_HERSHEY_SIMPLEX
TEXT_FRACTION = 0.22
"""Height of a name over the diameter of a core."""

MIN_SCALE, MAX_SCALE = 0.35, 1.2
FONT_PX = 22
"""Height of the capitals of the font at scale 1."""

JPEG_QUALITY = 88


def grid_picture(overview: Overview, grid: Grid) -> bytes:
    """Return a JPEG of the overview with a circle, a name and the region of each core.

    Circles are green, those of split cores orange with a thick line; a missing core is a red cross.
    """
    picture = np.ascontiguousarray(overview.pixels[..., ::-1])
    for region in grid.regions().values():
        corner, size = np.array([region.x, region.y]), np.array([region.width, region.height])
        corners = np.stack([corner, corner + size])
        first, last = np.rint(corners / overview.scale).astype(int).tolist()
        cv2.rectangle(picture, first, last, (170, 170, 170), 1, cv2.LINE_AA)
    for core in grid.cores:
        _draw(picture, core, overview.scale)
    encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    return bytes(encoded)


def _draw(picture: UInt8, core: FoundCore, scale: float) -> None:
    red, green, blue = CLASSES[core.status][1]
    colour = (blue, green, red)
    x, y, radius = (round(value / scale) for value in (core.x, core.y, core.diameter / 2))
    if core.status is Status.MISSING:
        cv2.drawMarker(picture, (x, y), colour, cv2.MARKER_TILTED_CROSS, radius, 2, cv2.LINE_AA)
    else:
        thickness = 4 if core.status is Status.SPLIT else 2
        cv2.circle(picture, (x, y), radius, colour, thickness, cv2.LINE_AA)
    name = position_name(core)
    size = float(np.clip(TEXT_FRACTION * 2 * radius / FONT_PX, MIN_SCALE, MAX_SCALE))
    (width, height), _ = cv2.getTextSize(name, FONT, size, 1)
    at = (x - width // 2, max(height + 2, y - radius - 5))
    for ink, thickness in (((255, 255, 255), 4), (colour, 1 if size < 0.6 else 2)):
        cv2.putText(picture, name, at, FONT, size, ink, thickness, cv2.LINE_AA)
