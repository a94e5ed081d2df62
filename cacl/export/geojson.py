"""GeoJSON features of masks for QuPath: polygons with holes, in pixels of the original image."""

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

COORDINATE_DECIMALS = 3
MEASUREMENT_DECIMALS = 6


def polygons(mask: Bool) -> list[Polygon]:
    """Trace a mask: one polygon with holes per 4-connected component.

    Parameters
    ----------
    mask
        (y, x).

    Returns
    -------
    Polygons in the order of their first pixel. Each is a list of closed rings (n, 2) of (x, y) in
    array pixels, where pixel (0, 0) covers 0 to 1: the outer ring, then the holes. Rings run half
    way between the centres of pixels inside and outside the mask, so that exactly the pixels of the
    mask have their centres inside a polygon.

    References
    ----------
    Marching squares; `skimage.measure.find_contours`.
    """
    traced = []
    for component in measure.regionprops(measure.label(mask, connectivity=1)):
        top, left = component.bbox[:2]
        padded = np.pad(component.image, 1).astype(np.uint8)
        rings = [_corners(ring) for ring in measure.find_contours(padded, 0.5)]
        rings.sort(key=_area, reverse=True)
        traced.append([ring[:, ::-1] + (left - 0.5, top - 0.5) for ring in rings])
    return traced


def _corners(ring: Float64) -> Float64:
    """Return a closed ring without points on the straight line between their neighbours."""
    steps = np.diff(ring, axis=0)
    is_corner = np.any(steps != np.roll(steps, 1, axis=0), axis=1)
    corners = ring[:-1][is_corner]
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
    measurements: Mapping[str, float],
    colour: Colour = palette.STAINS[0],
) -> list[dict[str, Any]]:
    """Return one feature per connected component of a stain mask, with its score.

    Parameters
    ----------
    mask
        (y, x), the stain.
    name
        `stain` or `stain-<class>`, the mask's name in the store.
    dab
        (y, x), optical density of DAB; its mean over a component is the component's score.
    meta
        Scale and size of the original image.
    measurements
        Measurements of the whole image, repeated on every feature so that QuPath can filter by
        them.
    colour
        Red, green, blue, 0-255.
    """
    components = measure.label(mask, connectivity=1)
    count = int(components.max(initial=0))
    areas = np.bincount(components.ravel(), minlength=count + 1)
    dab_sums = np.bincount(components.ravel(), weights=dab.ravel(), minlength=count + 1)
    scale = meta.grid.downsample
    return [
        _feature(
            {"type": "Polygon", "coordinates": _source_coordinates(polygon, meta)},
            name,
            colour,
            f"{meta.image_id} {name} {number}",
            {
                "Score: mean DAB OD": float(dab_sums[number] / areas[number]),
                "Area px^2": float(areas[number] * scale**2),
                **measurements,
            },
        )
        for number, polygon in enumerate(polygons(mask), start=1)
    ]


def qupath_class(label: str) -> str:
    """Return the QuPath class of a mask, such as "CaCL stain: nucleus"."""
    return "CaCL cell area" if label == "cell" else f"CaCL {label.replace('-', ': ', 1)}"


def area_feature(
    mask: Bool, name: str, meta: ImageMeta, measurements: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return a mask as one feature of several polygons; no feature for an empty mask."""
    coordinates = [_source_coordinates(polygon, meta) for polygon in polygons(mask)]
    if not coordinates:
        return []
    area = float(mask.sum() * meta.grid.downsample**2)
    return [
        _feature(
            {"type": "MultiPolygon", "coordinates": coordinates},
            name,
            palette.CELL,
            f"{meta.image_id} {name}",
            {"Area px^2": area, **measurements},
        )
    ]


def _source_coordinates(polygon: Polygon, meta: ImageMeta) -> list[list[list[float]]]:
    """Return rings in pixels of the original image, clipped to it; of the slide, for a region."""
    limits = (meta.source_width, meta.source_height)
    grid = meta.grid
    scale, origin = grid.downsample, grid.origin or (0, 0)
    return [
        (np.clip(ring * scale, 0, limits) + origin).round(COORDINATE_DECIMALS).tolist()
        for ring in polygon
    ]


def _feature(
    geometry: dict[str, Any],
    label: str,
    colour: Colour,
    name: str,
    measurements: Mapping[str, float],
) -> dict[str, Any]:
    return {
        "type": "Feature",
        "geometry": geometry,
        "properties": {
            "objectType": "annotation",
            "name": name,
            "isLocked": True,
            "classification": {
                "name": qupath_class(label),
                "color": list(colour),
            },
            "measurements": {
                key: round(value, MEASUREMENT_DECIMALS) for key, value in measurements.items()
            },
        },
    }
