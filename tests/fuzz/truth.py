"""Cases of true masks: GeoJSON of QuPath with edited values, and with any coordinates."""

from __future__ import annotations

import json
from typing import Any

from tests.fuzz.genome import Genome
from tests.fuzz.mutations import NUMBER_TEXTS, edited_json

SIDE = 48
CLASSES = ("Positive", "stained", "Negative", "Necrosis", "", " positive ")


def _feature(geometry: Any, class_name: str = "Positive") -> dict[str, Any]:
    properties = {
        "objectType": "annotation",
        "classification": {"name": class_name, "color": [250, 62, 62]},
    }
    return {"type": "Feature", "id": "1", "geometry": geometry, "properties": properties}


BOX = [[2, 2], [30.5, 2], [30.5, 40], [2, 40], [2, 2]]
HOLE = [[5, 5], [9, 5], [9, 9], [5, 9], [5, 5]]
DOCUMENTS: tuple[Any, ...] = (
    {
        "type": "FeatureCollection",
        "features": [
            _feature({"type": "Polygon", "coordinates": [BOX, HOLE]}),
            _feature({"type": "MultiPolygon", "coordinates": [[BOX], [HOLE]]}, "Necrosis"),
            _feature({"type": "Point", "coordinates": [1, 2]}, "Necrosis"),
        ],
    },
    [_feature({"type": "MultiPolygon", "coordinates": [[BOX, HOLE], [HOLE]]}, "stained")],
    {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [HOLE]}, "properties": {}},
)

GRIDS: tuple[Any, ...] = (
    {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "properties": {"objectType": kind, "name": name, "isMissing": name == "B2"},
            }
            for kind, name, ring in (
                ("annotation", "A1", BOX),
                ("tmaCore", "B-2", HOLE),
                ("annotation", "AA17", HOLE),
            )
        ],
    },
)


def geojson(genome: Genome) -> bytes:
    """Return GeoJSON with edited values, or with rings of any numbers."""
    if not genome.chance(2):
        return edited_json(genome, DOCUMENTS)
    features = []
    for _ in range(1 + genome.below(6)):
        polygons = [_polygon(genome) for _ in range(1 + genome.below(3))]
        geometry: dict[str, Any] = {"type": "MultiPolygon", "coordinates": polygons}
        if genome.chance(2):
            geometry = {"type": "Polygon", "coordinates": polygons[0]}
        features.append(_feature(geometry, genome.choice(CLASSES)))
    return json.dumps(features).replace('"@', "").replace('@"', "").encode()


def grid(genome: Genome) -> bytes:
    """Return the grid of an array as GeoJSON, with edited values."""
    return edited_json(genome, GRIDS)


def _polygon(genome: Genome) -> list[Any]:
    repeats = 1 if not genome.chance(30) else 3000
    return [
        [[_number(genome), _number(genome)] for _ in range(_points(genome))] * repeats
        for _ in range(1 + genome.below(3))
    ]


def _number(genome: Genome) -> Any:
    """Return a coordinate, mostly inside the image or on its edge."""
    if genome.chance(200):
        return f"@{genome.choice(NUMBER_TEXTS).decode()}@"
    return genome.below(SIDE + 1) / genome.choice((1, 1, 2, 3))


def _points(genome: Genome) -> int:
    return genome.below(3) if genome.chance(30) else 3 + genome.below(9)
