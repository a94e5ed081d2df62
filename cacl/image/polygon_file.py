"""Polygons that a person drew, as QuPath exports them: GeoJSON to one mask per class.

References
----------
RFC 7946. QuPath names the class of an object in `properties.classification.name`; its coordinates
are pixels of the image at full resolution, where pixel (0, 0) covers 0 to 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cacl.errors import ConfigError, ImageError
from cacl.image.mask_grid import at_grid
from cacl.image.polygon_fill import Polygon, fill_polygons
from cacl.image.readers.files import MAX_CORE_PX, read_head
from cacl.image.tile_grid import TileGrid
from cacl.runtime.json_text import parse_json

Bool = NDArray[np.bool_]

MAX_BYTES = 32 * 2**20
MAX_COORDINATE = 1e9
MARGIN_PX = 1.0
"""By how much a polygon may exceed the image: rounding of a polygon along its edge."""

UNCLASSIFIED = ""
"""Class of an object without a class."""

AGAIN = "export it again from QuPath (File > Export objects as GeoJSON)"


@dataclass(frozen=True, eq=False)
class Drawing:
    """The masks of a file.

    Parameters
    ----------
    masks
        (y, x) in analysis pixels by name; empty masks included.
    ignored
        Number of objects of other classes, by class as the file names it.
    """

    masks: Mapping[str, Bool]
    ignored: Mapping[str, int]


def read_drawing(path: Path, grid: TileGrid, names: Mapping[str, Collection[str]]) -> Drawing:
    """Return the masks that the polygons of a GeoJSON file give.

    The file holds a FeatureCollection, a list of features, or one feature; geometries are Polygon
    and MultiPolygon. A pixel of the source belongs to a mask if its centre is inside a polygon (see
    `fill_polygons`), an analysis pixel if more than half of its area does: a mask and polygons
    along its pixels give the same.

    Parameters
    ----------
    path
        The file, at most 32 MiB.
    grid
        Tiles of the image, whose size bounds the coordinates. If the image is a region of a slide,
        the coordinates are those of the slide, and what lies outside the region is cut off.
    names
        Classes of objects that make up each mask, in lower case; `UNCLASSIFIED` for objects without
        a class. Every other class is counted and its geometry is not looked at.

    Raises
    ------
    ConfigError
        The file cannot be read, is no GeoJSON, holds a wanted object that is no polygon or exceeds
        the image by more than 1 px, no wanted object touches the region, or the polygons or the
        image are too large.
    """
    height, width = grid.source_height, grid.source_width
    if height * width > MAX_CORE_PX:
        raise ConfigError(
            f"{path} is of an image of {width} x {height} px; masks are made of images of at most "
            f"{MAX_CORE_PX:,} px: remove the file, or cut the image into smaller ones"
        )
    wanted = {each: mask for mask, classes in names.items() for each in classes}
    polygons: dict[str, list[Polygon]] = {mask: [] for mask in names}
    ignored: Counter[str] = Counter()
    document = read_geojson(path)
    try:
        for number, feature in enumerate(features_of(document), start=1):
            place = f"object {number}"
            class_name = _class_name(feature, place)
            mask = wanted.get(class_name.strip().lower())
            if mask is None:
                ignored[class_name.strip()] += 1
            else:
                polygons[mask] += polygons_of(feature.get("geometry"), place)
        outlines = [ring for each in polygons.values() for (ring, *_) in each]
        if grid.origin is None:
            _check_extent(outlines, height, width)
        else:
            _check_touches(outlines, grid.origin, height, width)
            polygons = {
                mask: [[ring - grid.origin for ring in polygon] for polygon in each]
                for mask, each in polygons.items()
            }
        masks = {
            mask: at_grid(fill_polygons(each, height, width), grid)
            for mask, each in polygons.items()
        }
    except ValueError as error:
        raise ConfigError(f"{path} cannot be used as a mask: {error}") from error
    return Drawing(masks, dict(ignored))


def read_geojson(path: Path) -> Any:
    """Return the document of a GeoJSON file; its content is not checked.

    Raises
    ------
    ConfigError
        The file cannot be read, is larger than `MAX_BYTES`, or is no JSON.
    """
    try:
        read_head(path)  # refuses folders and pipes unopened, and empty files
        size = path.stat().st_size
        data = path.read_bytes() if size <= MAX_BYTES else b""
    except ImageError as error:
        raise ConfigError(str(error)) from error
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror or error}); check the file"
        ) from error
    if size > MAX_BYTES:
        raise ConfigError(
            f"{path} has {size:,} bytes, expected GeoJSON of at most {MAX_BYTES:,}; simplify its "
            "polygons in QuPath (Objects > Annotations > Simplify shape)"
        )
    try:
        return parse_json(data)
    except ValueError as error:
        raise ConfigError(f"{path} is no JSON ({str(error)[:200]}); {AGAIN}") from error


def features_of(document: Any) -> list[Any]:
    """Return the features of a document; their types are not checked.

    Raises
    ------
    ValueError
        The document is no FeatureCollection, list of features, or Feature.
    """
    kind = document.get("type") if isinstance(document, dict) else None
    features = document
    if kind == "FeatureCollection":
        features = document.get("features")
    elif kind == "Feature":
        features = [document]
    if not isinstance(features, list):
        raise ValueError(
            f"it is no FeatureCollection, list of features or Feature of GeoJSON; {AGAIN}"
        )
    return features


def _class_name(feature: Any, place: str) -> str:
    if not isinstance(feature, dict) or feature.get("type") != "Feature":
        raise ValueError(f"{place} is no Feature of GeoJSON; {AGAIN}")
    properties = feature.get("properties")
    if properties is None:
        return UNCLASSIFIED
    if not isinstance(properties, dict):
        raise ValueError(f"the properties of {place} are no mapping; {AGAIN}")
    classification = properties.get("classification")
    if classification is None:
        return UNCLASSIFIED
    name = classification.get("name") if isinstance(classification, dict) else None
    if not isinstance(name, str):
        raise ValueError(f"the class of {place} has no name; {AGAIN}")
    return name


def polygons_of(geometry: Any, place: str) -> Iterator[Polygon]:
    """Yield the polygons of a geometry; `place` names its feature in messages.

    Raises
    ------
    ValueError
        The geometry is no Polygon or MultiPolygon with finite coordinates.
    """
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind not in ("Polygon", "MultiPolygon"):
        found = repr(kind)[:50] if isinstance(kind, str) else "none"
        raise ValueError(
            f"{place} has no area: its geometry is {found}, expected Polygon or MultiPolygon; draw "
            "it as an area, or remove it or its class"
        )
    coordinates = geometry.get("coordinates")
    for rings in [coordinates] if kind == "Polygon" else _list(coordinates, place):
        if not _list(rings, place):
            raise ValueError(f"{place} has a polygon without an outline; draw it again")
        yield [_ring(ring, place) for ring in rings]


def _list(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(
            f"the coordinates of {place} are not nested as its geometry needs; {AGAIN}"
        )
    return value


def _ring(points: Any, place: str) -> NDArray[np.float64]:
    """Return a ring (n, 2) of at least three different points."""
    coordinates = []
    for point in _list(points, place):
        if not isinstance(point, list) or len(point) < 2:
            raise ValueError(f"{place} has a point that is no pair of numbers; {AGAIN}")
        for value in point[:2]:
            # `type` and not `isinstance`: true and false are no numbers. NaN compares as False.
            if type(value) not in (int, float):
                raise ValueError(f"{place} has a coordinate that is no number; {AGAIN}")
            if not -MAX_COORDINATE <= value <= MAX_COORDINATE:
                raise ValueError(
                    f"{place} has the coordinate {repr(value)[:50]}, expected a number of at most "
                    f"{MAX_COORDINATE:.0e}; {AGAIN}"
                )
            coordinates.append(value)
    ring = np.array(coordinates, np.float64).reshape(-1, 2)
    if len(set(map(tuple, ring[:4].tolist()))) < 3 and len(np.unique(ring, axis=0)) < 3:
        raise ValueError(
            f"{place} has an outline of fewer than three different points; draw it again"
        )
    return ring


def _check_extent(rings: list[NDArray[np.float64]], height: int, width: int) -> None:
    """Check that no outer ring exceeds the image."""
    if not rings:
        return
    points = np.concatenate(rings)
    low, high = points.min(axis=0), points.max(axis=0)
    if (low < -MARGIN_PX).any() or (high > np.array([width, height]) + MARGIN_PX).any():
        raise ValueError(
            f"its polygons reach from ({low[0]:g}, {low[1]:g}) to ({high[0]:g}, {high[1]:g}) px, "
            f"but the image has {width} x {height} px; draw them on the original image at full "
            "resolution, upright"
        )


def _check_touches(
    rings: list[NDArray[np.float64]], origin: tuple[int, int], height: int, width: int
) -> None:
    """Check that an outer ring, in pixels of the slide, may touch the region of an image."""
    low = np.array(origin)
    high = low + np.array([width, height])
    if rings and not any(
        (ring.min(axis=0) < high).all() and (ring.max(axis=0) > low).all() for ring in rings
    ):
        raise ValueError(
            f"none of its polygons touches the core, which covers ({low[0]}, {low[1]}) to "
            f"({high[0]}, {high[1]}) px of the slide; draw them on the slide, in its own pixels"
        )
