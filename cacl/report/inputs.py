"""Reading of the tables and files that the report is made from."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cacl import tables
from cacl.errors import CheckpointError, StoreError, TableError
from cacl.runtime.file_digest import read_json_with_digest
from cacl.runtime.resources import raise_if_short
from cacl.stain.vectors import REFERENCE, StainVectors
from cacl.store import ImageMeta, Store
from cacl.tables.schemas import ClassRow, FailureRow, MeasureRow

log = logging.getLogger(__name__)

STAGES = ("catalog", "acquire", "tile", "segment", "measure", "controls")
MAX_CURVE_POINTS = 2000


def read_images(census: Sequence[Path]) -> pd.DataFrame:
    """Return the rows of all shards, columns of `MeasureRow`, sorted by image.

    Raises
    ------
    TableError
        A table is missing or damaged, or an image is in two tables.
    """
    images = tables.read_frame(census, MeasureRow)
    duplicates = images["image_id"][images["image_id"].duplicated()]
    if len(duplicates):
        raise TableError(
            f"{duplicates.iloc[0]} is in two tables of {', '.join(map(str, census))}; at least one "
            "table is left over from an older run: delete these tables and run `cacl measure` again"
        )
    return images.sort_values("image_id", kind="stable", ignore_index=True)


def read_classes(paths: Sequence[Path]) -> list[ClassRow]:
    """Return the areas by class, sorted by image; classes of an image keep their order."""
    rows = [row for path in paths for row in tables.read_parquet(path, ClassRow)]
    return sorted(rows, key=lambda row: row.image_id)


def read_failures(paths: Sequence[Path]) -> list[FailureRow]:
    """Return the distinct failures of all steps, in the order of the steps, then by image."""
    frames = [tables.read_csv(path, FailureRow) for path in paths]
    rows = {
        FailureRow(**dict(zip(frame.columns, row, strict=True)))
        for frame in frames
        for row in frame.to_numpy().tolist()
    }
    order = {stage: index for index, stage in enumerate(STAGES)}
    return sorted(
        rows,
        key=lambda row: (order.get(row.stage, len(STAGES)), row.image_id, row.reason, row.message),
    )


def read_benchmark(path: Path | None, model: Path) -> pd.DataFrame | None:
    """Return the benchmark's table as text; None if there is none of this model.

    Parameters
    ----------
    path
        The CSV of `cacl benchmark`.
    model
        The model's `model.json`; a table that is older is of another model.

    Raises
    ------
    TableError
        The table has changed since it was written.
    """
    if path is None or not path.exists():
        return None
    if model.exists() and model.stat().st_mtime > path.stat().st_mtime:
        log.warning("report: %s is older than the model and is not shown", path)
        return None
    tables.check_file(path)
    try:
        frame = pd.read_csv(path, dtype="string", keep_default_na=False)
    except (OSError, ValueError) as error:
        raise_if_short(error, f"report: {path}")
        log.warning("report: no benchmark: %s", error)
        return None
    return None if frame.empty else frame


def read_training_curves(path: Path) -> pd.DataFrame:
    """Return the curves of `training.csv`, thinned to at most `MAX_CURVE_POINTS` rows.

    Raises
    ------
    TableError
        The file has changed since it was written.
    """
    tables.check_file(path)
    try:
        curves = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise_if_short(error, f"report: {path}")
        log.warning("report: no training curves: %s", error)
        return pd.DataFrame()
    return curves.iloc[:: -(-len(curves) // MAX_CURVE_POINTS) or 1].reset_index(drop=True)


def read_model_description(path: Path) -> dict[str, Any]:
    """Return the content of `model.json`; empty, with a warning, if it is missing.

    Raises
    ------
    CheckpointError
        The file is damaged, or has changed since it was written.
    """
    try:
        return read_json_with_digest(path.read_bytes())
    except OSError as error:
        raise_if_short(error, f"report: {path}")
        log.warning("report: no description of the model: %s", error)
        return {}
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged ({error}); run `cacl train` again") from error


def describe_tiling(store: Store, images: pd.DataFrame) -> str:
    """Return the tile size of the first image in words; empty if there is no image."""
    meta = _first_meta(store, images)
    return f"tiles of {meta.source_px} px, stored as {meta.tile_px} px" if meta else ""


def read_tile_px(store: Store, images: pd.DataFrame) -> int | None:
    """Return the side of a tile of the first image in the store; None if there is no image."""
    meta = _first_meta(store, images)
    return meta.tile_px if meta else None


def read_stain_vectors(store: Store, images: pd.DataFrame) -> StainVectors:
    """Return the stain vectors of the first image in the store; a run has one set of them."""
    meta = _first_meta(store, images)
    return meta.stain_vectors if meta else REFERENCE


def _first_meta(store: Store, images: pd.DataFrame) -> ImageMeta | None:
    for image_id in images["image_id"][:1]:
        try:
            return store.meta(image_id)
        except StoreError as error:
            raise_if_short(error, f"report: {image_id}")
    return None
