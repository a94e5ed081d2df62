"""The grid of a slide as GeoJSON that QuPath imports, and that comes back corrected.

References
----------
QuPath's `PathObjectTypeAdapter`: objects of the type `tmaCore` are read, but their order in a grid
is not part of GeoJSON, so that QuPath shows no grid of them. Annotations can be moved, named,
deleted and added. A core of QuPath's own TMA dearrayer is read as well, with `isMissing`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from cacl.dearray.cores import FoundCore, Status
from cacl.dearray.grid import Grid, parse_position, position_name
from cacl.errors import ConfigError, DearrayError
from cacl.image.polygon_file import features_of, polygons_of, read_geojson

CLASSES: dict[Status, tuple[str, tuple[int, int, int]]] = {
    Status.FOUND: ("Core", (0, 140, 60)),
    Status.SPLIT: ("Split core", (230, 120, 0)),
    Status.MISSING: ("Missing core", (200, 0, 0)),
}
"""Class and colour of an annotation by status."""

READ_TYPES = ("annotation", "tmaCore", "tma_core", "TMACoreObject", "PathAnnotationObject", "")
CORNERS = 48
DECIMALS = 2
MIN_DIAMETER = 2.0


def grid_geojson(grid: Grid) -> str:
    """Return the places as annotations: circles in pixels of the slide, named by their places."""
    angle = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    features = []
    for core in grid.cores:
        ring = (np.array([core.x, core.y]) + core.diameter / 2 * circle).round(DECIMALS).tolist()
        name, colour = CLASSES[core.status]
        features.append(
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
                "properties": {
                    "objectType": "annotation",
                    "name": position_name(core),
                    "classification": {"name": name, "color": list(colour)},
                },
            }
        )
    return json.dumps({"type": "FeatureCollection", "features": features}, allow_nan=False) + "\n"


def read_grid(path: Path, height: int, width: int) -> Grid:
    """Read a grid that a person has corrected.

    Parameters
    ----------
    path
        GeoJSON with one object per place, which has the place's name. An object of the class
        `Missing core`, or with `isMissing`, is a missing core; one of `Split core` a split one;
        every other one is a core. Detections, cells and tiles are ignored.
    height, width
        Size of the slide in pixels.

    Raises
    ------
    DearrayError
        The file cannot be read, holds no place, or an object has no name, a name that is no place
        or that another object has, no area, or lies outside the slide.
    """
    cores: dict[tuple[int, int], FoundCore] = {}
    try:
        for number, feature in enumerate(features_of(read_geojson(path)), start=1):
            core = _core(feature, f"object {number}", height, width)
            if core is None:
                continue
            if (core.row, core.col) in cores:
                raise ValueError(
                    f"two objects are called {position_name(core)}; rename or delete one of them"
                )
            cores[core.row, core.col] = core
        if not cores:
            raise ValueError(
                "it holds no annotation or TMA core; export all of them from QuPath (File > Export "
                "objects as GeoJSON)"
            )
    except (ConfigError, ValueError) as error:
        raise DearrayError(f"--grid: {path} cannot be used as a grid: {error}") from error
    return Grid(tuple(cores[place] for place in sorted(cores)), height, width)


def _core(feature: Any, place: str, height: int, width: int) -> FoundCore | None:
    properties = feature.get("properties") if isinstance(feature, dict) else None
    if not isinstance(properties, dict):
        raise ValueError(f"{place} is no Feature of GeoJSON with properties; export it again")
    if properties.get("objectType", "") not in READ_TYPES:
        return None
    name = properties.get("name")
    if not isinstance(name, str) or not name.strip():
        raise ValueError(
            f"{place} has no name; name it by its place, such as C11 (in QuPath: Annotations > Set "
            "properties), or delete it"
        )
    row, col = parse_position(name)
    polygons = polygons_of(feature.get("geometry"), f"the core {name[:50]}")
    points = np.concatenate([polygon[0] for polygon in polygons])
    low, high = points.min(axis=0), points.max(axis=0)
    (x, y), diameter = (low + high) / 2, float((high - low).max())
    if not (0 <= x <= width and 0 <= y <= height) or not MIN_DIAMETER <= diameter <= 2 * max(
        height, width
    ):
        raise ValueError(
            f"the core {name[:50]} lies at ({x:,.0f}, {y:,.0f}) px with a diameter of "
            f"{diameter:,.0f} px, but the slide has {width:,} x {height:,} px; draw it on the "
            "slide itself"
        )
    return FoundCore(row, col, float(x), float(y), diameter, _status(properties))


def _status(properties: dict[str, Any]) -> Status:
    classification = properties.get("classification")
    name = classification.get("name") if isinstance(classification, dict) else None
    if properties.get("isMissing") is True:
        return Status.MISSING
    by_class = {title.lower(): status for status, (title, _) in CLASSES.items()}
    return (
        by_class.get(name.strip().lower(), Status.FOUND) if isinstance(name, str) else Status.FOUND
    )
