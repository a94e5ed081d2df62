"""Masks as GeoJSON for QuPath: polygons with holes, in pixels of the original image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage import measure

from cacl.image import palette
from cacl.image.palette import Colour
from cacl.store import ImageMeta

Bool = NDArray[np.bool_]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Polygon = list[Float64]

DECIMALS = 3


def polygons(mask: Bool) -> list[Polygon]:
    """Trace a mask: one polygon for each 4-connected part, with its holes.

    Parameters
    ----------
    mask
        (y, x).

    Returns
    -------
    Polygons in the order of their first pixel. Each is a list of closed rings (n, 2) of (x, y) in
    array pixels, where pixel (0, 0) covers 0 to 1: the outer ring, then the holes. They run half
    way between the centres of pixels inside and outside, so that every pixel whose centre lies in
    a polygon is one of the mask's, and no other.

    References
    ----------
    Marching squares; `skimage.measure.find_contours`.
    """
    parts = measure.label(mask, connectivity=1)
    found = []
    for part in measure.regionprops(parts):
        top, left = part.bbox[:2]
        framed = np.pad(part.image, 1).astype(np.uint8)
        rings = [_corners(ring) for ring in measure.find_contours(framed, 0.5)]
        rings.sort(key=_area, reverse=True)
        found.append([ring[:, ::-1] + (left - 0.5, top - 0.5) for ring in rings])
    return found


def _corners(ring: Float64) -> Float64:
    """Return a closed ring without the points on a straight line between their neighbours."""
    steps = np.diff(ring, axis=0)
    turns = np.any(steps != np.roll(steps, 1, axis=0), axis=1)
    corners = ring[:-1][turns]
    return np.concatenate([corners, corners[:1]])


def _area(ring: Float64) -> float:
    """Return the area inside a closed ring (n, 2)."""
    first, second = ring[:, 0], ring[:, 1]
    return float(abs(np.dot(first[:-1], second[1:]) - np.dot(first[1:], second[:-1])) / 2)


def stain_features(
    mask: Bool,
    name: str,
    dab: Float32,
    meta: ImageMeta,
    measures: Mapping[str, float],
    colour: Colour = palette.STAINS[0],
) -> list[dict[str, Any]]:
    """Return one feature for each connected part of a class's stain, with its score.

    Parameters
    ----------
    mask
        (y, x), the stain.
    name
        `stain` or `stain-<class>`, as the store names the mask.
    dab
        (y, x), optical density of DAB; its mean over a part is the part's score.
    meta
        What the image was made from; gives the original's pixels.
    measures
        Of the whole image, repeated on every part so that QuPath can show and filter them.
    colour
        Red, green, blue, 0-255.
    """
    parts = measure.label(mask, connectivity=1)
    count = int(parts.max(initial=0))
    areas = np.bincount(parts.ravel(), minlength=count + 1)
    summed = np.bincount(parts.ravel(), weights=dab.ravel(), minlength=count + 1)
    scale = meta.grid.downsample
    return [
        _feature(
            {"type": "Polygon", "coordinates": _placed(polygon, meta)},
            name,
            colour,
            f"{meta.image_id} {name} {number}",
            {
                "Score: mean DAB OD": float(summed[number] / areas[number]),
                "Area px^2": float(areas[number] * scale**2),
                **measures,
            },
        )
        for number, polygon in enumerate(polygons(mask), start=1)
    ]


def class_name(label: str) -> str:
    """Return what QuPath calls a mask's class, such as "CaCL stain: nucleus"."""
    return "CaCL cell area" if label == "cell" else f"CaCL {label.replace('-', ': ', 1)}"


def area_feature(
    mask: Bool, name: str, meta: ImageMeta, measures: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return a whole mask as one feature of many polygons; none for an empty mask."""
    placed = [_placed(polygon, meta) for polygon in polygons(mask)]
    if not placed:
        return []
    area = float(mask.sum() * meta.grid.downsample**2)
    return [
        _feature(
            {"type": "MultiPolygon", "coordinates": placed},
            name,
            palette.CELL,
            f"{meta.image_id} {name}",
            {"Area px^2": area, **measures},
        )
    ]


def _placed(polygon: Polygon, meta: ImageMeta) -> list[list[list[float]]]:
    """Return rings in pixels of the original image, none of them outside it."""
    limits = (meta.source_width, meta.source_height)
    scale = meta.grid.downsample
    return [np.clip(ring * scale, 0, limits).round(DECIMALS).tolist() for ring in polygon]


def _feature(
    geometry: dict[str, Any],
    label: str,
    colour: Colour,
    name: str,
    measures: Mapping[str, float],
) -> dict[str, Any]:
    return {
        "type": "Feature",
        "geometry": geometry,
        "properties": {
            "objectType": "annotation",
            "name": name,
            "isLocked": True,
            "classification": {
                "name": class_name(label),
                "color": list(colour),
            },
            "measurements": {key: round(value, 6) for key, value in measures.items()},
        },
    }
