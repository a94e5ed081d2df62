"""Masks of all images of a report as GeoJSON files."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cacl import tables
from cacl.config import TargetClass
from cacl.errors import ConfigError, StrictError
from cacl.export import geojson
from cacl.hpa.target_class import label_name
from cacl.image import stain
from cacl.image.palette import stain_colour
from cacl.runtime.images import run_images
from cacl.store import Store
from cacl.tables.schemas import ClassRow, MeasureRow

STAIN, CELL = "stain", "cell"
MEASUREMENT_NAMES = {
    "stained_to_cell_ratio": "Core: stained / cell area",
    "border_share": "Core: border share of DAB",
    "h_score": "Core: H-score",
}


def write_masks(
    report: Path,
    store: Path,
    out: Path,
    *,
    labels: Sequence[str] = (),
    antibodies: Sequence[str] = (),
    jobs: int = 1,
) -> int:
    """Write `<out>/<antibody>/<image>.geojson` for every measured image.

    Coordinates are pixels of the original image, so that QuPath overlays the masks on it.

    Parameters
    ----------
    report
        Folder of `cacl report`; its images are exported.
    store
        The OME-Zarr store.
    out
        Folder for the files.
    labels
        Masks to write: `cell`, one feature; `stain`, and `stain-<class>` of every further class,
        one feature per connected component, with its mean DAB density as score. All if empty.
    antibodies
        Antibodies to export; all if empty.
    jobs
        Images at a time.

    Returns
    -------
    Number of files.

    Raises
    ------
    ConfigError
        A label is unknown, or the report has no image of an antibody.
    StrictError
        Some images could not be exported; the log lists the reasons, the others are written.
    """
    class_labels = _class_labels(report)
    further = dict.fromkeys(name for names in class_labels.values() for name in names[1:])
    known = [CELL, STAIN, *further]
    unknown = sorted(set(labels) - set(known))
    if unknown:
        raise ConfigError(f"Labels can be {', '.join(known)}, got {', '.join(unknown)}")
    rows = _rows_to_export(report, antibodies)
    image_store = Store(store)

    def export_image(row: MeasureRow) -> None:
        stain_labels = class_labels.get(row.image_id, [STAIN])
        selected = [name for name in (CELL, *stain_labels) if not labels or name in labels]
        features = _features(image_store, row, selected, stain_labels)
        collection = {"type": "FeatureCollection", "features": features}
        path = out / f"{row.image_id}.geojson"
        tables.write_text(path, json.dumps(collection, separators=(",", ":"), allow_nan=False))

    outcome = run_images("export", rows, export_image, source=lambda row: row.image_id, jobs=jobs)
    if outcome.failures:
        first = outcome.failures[0]
        raise StrictError(
            f"{len(outcome.failures)} of {len(rows)} images could not be exported; the first is "
            f"{first.image_id}: {first.message}"
        )
    return len(outcome.results)


def _rows_to_export(report: Path, antibodies: Sequence[str]) -> list[MeasureRow]:
    rows: list[MeasureRow] = tables.read_parquet(report / "images.parquet", MeasureRow)
    missing = sorted(set(antibodies) - {row.antibody_id for row in rows})
    if missing:
        raise ConfigError(
            f"{report} has no measured image of {', '.join(missing)}; its antibodies.csv lists the "
            "antibodies that it has"
        )
    return [row for row in rows if not antibodies or row.antibody_id in antibodies]


def _class_labels(report: Path) -> dict[str, list[str]]:
    """Return the stain masks of each image, one per class, by their names in the store."""
    labels: dict[str, list[str]] = {}
    rows: list[ClassRow] = tables.read_parquet(report / "classes.parquet", ClassRow)
    for row in rows:
        image_labels = labels.setdefault(row.image_id, [])
        image_labels.append(label_name(len(image_labels), TargetClass(name=row.class_name)))
    return labels


def _features(
    store: Store, row: MeasureRow, labels: Sequence[str], stain_labels: Sequence[str]
) -> list[dict[str, object]]:
    """Return the features of an image's masks.

    Parameters
    ----------
    labels
        Masks to export.
    stain_labels
        All stain masks of the image, in the order of the classes, which gives the colours.
    """
    values = {title: getattr(row, name) for name, title in MEASUREMENT_NAMES.items()}
    measurements = {
        title: float(value)
        for title, value in values.items()
        if value is not None and math.isfinite(value)
    }
    has_stain = bool(set(stain_labels) & set(labels))
    meta = store.meta(row.image_id)
    masks = {label: np.asarray(store.label(row.image_id, label)) > 0 for label in labels}
    rgb = np.asarray(store.image(row.image_id), dtype=np.uint8) if has_stain else None
    features: list[dict[str, object]] = []
    if CELL in masks:
        features += geojson.area_feature(masks[CELL], CELL, meta, measurements)
    if rgb is not None:
        _, dab = stain.separate_stains(rgb, meta.stain_vectors)
        for class_index, label in enumerate(stain_labels):
            if label in masks:
                colour = stain_colour(class_index)
                features += geojson.stain_features(
                    masks[label], label, dab, meta, measurements, colour
                )
    return features
