"""Write the census for other software: masks as GeoJSON for QuPath, antibodies as AnnData."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cacl import tables
from cacl.errors import ConfigError, ImageError, Reason, StoreError, StrictError
from cacl.export import anndata, geojson
from cacl.hpa.target_class import TargetClass, label_name
from cacl.image import stain
from cacl.image.palette import stain_colour
from cacl.runtime.images import run_images
from cacl.store import Store
from cacl.tables.schemas import AntibodyRow, ClassRow, MeasureRow

log = logging.getLogger(__name__)

STAIN, CELL = "stain", "cell"
MEASURES = {
    "stained_to_cell_ratio": "Core: stained / cell area",
    "border_share": "Core: border share of DAB",
    "h_score": "Core: H-score",
}


def export_masks(
    report: Path,
    store: Path,
    out: Path,
    *,
    labels: Sequence[str] = (),
    antibodies: Sequence[str] = (),
    jobs: int = 1,
) -> int:
    """Write `<out>/<antibody>/<image>.geojson` for every measured image.

    Coordinates are pixels of the original image, so that QuPath lays the masks on it.

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
        each connected part a feature with its mean DAB density as score. All if empty.
    antibodies
        Only these; all if empty.
    jobs
        Images at a time.

    Returns
    -------
    How many files were written.

    Raises
    ------
    ConfigError
        An unknown label, or antibodies that the report does not hold.
    StrictError
        Some images could not be exported; the log says why, the others are written.
    """
    classes = _classes(report)
    known = [CELL, STAIN, *dict.fromkeys(name for names in classes.values() for name in names[1:])]
    unknown = sorted(set(labels) - set(known))
    if unknown:
        raise ConfigError(f"Labels can be {', '.join(known)}, got {', '.join(unknown)}")
    rows: list[MeasureRow] = tables.read_parquet(report / "images.parquet", MeasureRow)
    missing = sorted(set(antibodies) - {row.antibody_id for row in rows})
    if missing:
        raise ConfigError(
            f"{report} holds no measured image of {', '.join(missing)}; see its antibodies.csv"
        )
    wanted = [row for row in rows if not antibodies or row.antibody_id in antibodies]
    atlas = Store(store)

    def work(row: MeasureRow) -> None:
        own = classes.get(row.image_id, [STAIN])
        chosen = [name for name in (CELL, *own) if not labels or name in labels]
        features = _features(atlas, row, chosen, own)
        collection = {"type": "FeatureCollection", "features": features}
        path = out / f"{row.image_id}.geojson"
        tables.write_text(path, json.dumps(collection, separators=(",", ":"), allow_nan=False))

    outcome = run_images("export", wanted, work, source=lambda row: row.image_id, jobs=jobs)
    if outcome.failures:
        first = outcome.failures[0]
        raise StrictError(
            f"{len(outcome.failures)} of {len(wanted)} images could not be exported; the first is "
            f"{first.image_id}: {first.message}"
        )
    return len(outcome.results)


def _features(
    atlas: Store, row: MeasureRow, labels: Sequence[str], own: Sequence[str]
) -> list[dict[str, object]]:
    """Return the features of those of an image's masks; `own` are the classes that it has."""
    values = {title: getattr(row, name) for name, title in MEASURES.items()}
    measures = {
        title: float(value)
        for title, value in values.items()
        if value is not None and math.isfinite(value)
    }
    try:
        meta = atlas.meta(row.image_id)
        masks = {label: np.asarray(atlas.label(row.image_id, label)) > 0 for label in labels}
        rgb = (
            np.asarray(atlas.image(row.image_id), dtype=np.uint8)
            if set(own) & set(labels)
            else None
        )
    except (StoreError, ValueError, RuntimeError) as error:  # zarr's codecs raise the last two
        raise ImageError(Reason.DAMAGED, str(error)) from error
    features: list[dict[str, object]] = []
    if CELL in masks:
        features += geojson.area_feature(masks[CELL], CELL, meta, measures)
    if rgb is not None:
        _, dab = stain.separate_stains(rgb)
        for name in (one for one in own if one in masks):
            colour = stain_colour(own.index(name))
            features += geojson.stain_features(masks[name], name, dab, meta, measures, colour)
    return features


def _classes(report: Path) -> dict[str, list[str]]:
    """Return the masks of each image's classes, as the store names them."""
    found: dict[str, list[str]] = {}
    rows: list[ClassRow] = tables.read_parquet(report / "classes.parquet", ClassRow)
    for row in rows:
        own = found.setdefault(row.image_id, [])
        own.append(label_name(len(own), TargetClass(name=row.class_name)))
    return found


def export_table(report: Path, out: Path) -> tuple[int, int]:
    """Write a report's antibodies as AnnData; see `cacl.export.anndata.to_anndata`.

    Parameters
    ----------
    report
        Folder of `cacl report`.
    out
        The `.h5ad` to write.

    Returns
    -------
    Antibodies and measures.

    Raises
    ------
    ConfigError
        The package `anndata` is not installed.
    TableError
        The folder holds no report of this version.
    """
    antibodies: pd.DataFrame = tables.read_frame([report / "antibodies.parquet"], AntibodyRow)
    images = tables.read_frame([report / "images.parquet"], MeasureRow)
    made = anndata.to_anndata(antibodies, images)
    tables.write_atomically(out, lambda temporary: anndata.write_h5ad(made, temporary))
    return made.n_obs, made.n_vars
