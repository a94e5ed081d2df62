"""Write the answer: tables of images, antibodies, genes and failures, and the page on them."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from cacl import tables
from cacl.errors import StoreError, TableError
from cacl.progress import track
from cacl.records import AntibodyRow, FailureRow, GeneRow, ImageRow, MeasureRow
from cacl.report import figures, page, pictures, pooling, words
from cacl.store import Store

log = logging.getLogger(__name__)

STAGES = ("catalog", "acquire", "tile", "segment", "measure")
GALLERY_BEST = 100
GALLERY_LAST = 6
GALLERY_CORES = 3
MAX_CURVE_POINTS = 2000


def report(
    census: Sequence[Path],
    failures: Sequence[Path],
    store: Path,
    model: Path,
    catalog: Path,
    out: Path,
    *,
    cell_type: str,
    seed: int,
    min_tissue_fraction: float | None = None,
    morphology: str | None = None,
    radius_px: int | None = None,
    jobs: int = 1,
) -> None:
    """Write `images`, `antibodies`, `genes` and `failures` (.csv, .parquet) and `report.html`.

    The page opens from disk without a network; its `images/` and `assets/` lie beside it.

    Parameters
    ----------
    census
        Tables of `MeasureRow`, one a shard.
    failures
        CSVs of `FailureRow`, one a step and shard.
    store
        The OME-Zarr store, for the pictures.
    model
        Folder with `model.json` and `training.csv`; the page says so if they are missing.
    catalog
        Folder with `images.parquet`, for licences.
    out
        Folder of the report.
    cell_type
        Cell type whose annotation labelled the images; part of the question.
    seed
        Seed of the bootstrap over patients.
    min_tissue_fraction, morphology, radius_px
        What the run was asked for, for the methods paragraph; None is left unsaid.
    jobs
        Pictures at a time.

    Raises
    ------
    TableError
        A table is missing or damaged, or an image is in two shards.
    """
    images = _read_images(census)
    failed = _read_failures(failures)
    antibodies = pooling.antibody_rows(images, seed=seed)
    genes = pooling.gene_rows(images, seed=seed)
    for name, rows, record in (
        ("images", images, MeasureRow),
        ("antibodies", antibodies, AntibodyRow),
        ("genes", genes, GeneRow),
        ("failures", failed, FailureRow),
    ):
        tables.write_csv(out / f"{name}.csv", rows, record)
        tables.write_parquet(out / f"{name}.parquet", rows, record)
    atlas = Store(store)
    gallery = gallery_of(antibodies)
    shown = _write_pictures(atlas, images, gallery, out, jobs)
    plots = (
        figures.against_annotation(antibodies),
        figures.specificity(antibodies),
        figures.ranking(antibodies),
        *figures.training(_read_curves(model / "training.csv")),
    )
    content = page.Content(
        images=images,
        antibodies=antibodies,
        failures=failed,
        catalog=tables.read_frame([catalog / "images.parquet"], ImageRow),
        pictures=shown,
        gallery=gallery,
        figures=[plot for plot in plots if plot],
        model=_read_model(model / "model.json"),
        settings=words.Settings(
            cell_type=cell_type,
            min_tissue_fraction=min_tissue_fraction,
            morphology=morphology,
            radius_px=radius_px,
            seed=seed,
        ),
        grid=_grid(atlas, images),
    )
    page.write_page(content, out)


def _read_images(census: Sequence[Path]) -> pd.DataFrame:
    images = tables.read_frame(census, MeasureRow)
    twice = images["image_id"][images["image_id"].duplicated()]
    if len(twice):
        raise TableError(
            f"{twice.iloc[0]} is measured in two tables of {', '.join(map(str, census))}; one of "
            "them is of an older run, so delete them and measure again"
        )
    return images.sort_values("image_id", kind="stable", ignore_index=True)


def _read_failures(paths: Sequence[Path]) -> list[FailureRow]:
    frames = [tables.read_csv(path, FailureRow) for path in paths]
    rows = {
        FailureRow(**dict(zip(frame.columns, row, strict=True)))
        for frame in frames
        for row in frame.to_numpy().tolist()
    }
    stages = {stage: index for index, stage in enumerate(STAGES)}
    return sorted(
        rows,
        key=lambda row: (stages.get(row.stage, len(STAGES)), row.image_id, row.reason, row.message),
    )


def gallery_of(antibodies: Sequence[AntibodyRow]) -> list[AntibodyRow]:
    """Return the antibodies to show: those with the highest ratios and a few with the lowest."""
    rated = [row for row in antibodies if row.stained_to_cell_ratio is not None]
    best = rated[:GALLERY_BEST]
    return best + rated[len(best) :][-GALLERY_LAST:]


def _write_pictures(
    atlas: Store, images: pd.DataFrame, gallery: Sequence[AntibodyRow], out: Path, jobs: int
) -> dict[str, pictures.Picture]:
    wanted = images[images["antibody_id"].isin([row.antibody_id for row in gallery])]
    cores = wanted.groupby("antibody_id", sort=False).head(GALLERY_CORES)["image_id"].tolist()
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        work = pool.map(lambda name: pictures.write_picture(atlas, name, out), cores)
        written = list(track(work, "report: pictures", len(cores)))
    return {name: picture for name, picture in zip(cores, written, strict=True) if picture}


def _read_curves(path: Path) -> pd.DataFrame:
    """Return training curves, thinned to a length that a browser draws at once."""
    try:
        curves = pd.read_csv(path)
    except (OSError, ValueError) as error:
        log.warning("report: no training curves: %s", error)
        return pd.DataFrame()
    return curves.iloc[:: -(-len(curves) // MAX_CURVE_POINTS) or 1].reset_index(drop=True)


def _read_model(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        log.warning("report: no description of the model: %s", error)
        return {}
    return document if isinstance(document, dict) else {}


def _grid(atlas: Store, images: pd.DataFrame) -> str:
    """Return how the first image was cut, in words; empty if there is none."""
    for image_id in images["image_id"][:1]:
        try:
            meta = atlas.meta(image_id)
        except StoreError:
            return ""
        return f"tiles of {meta.source_px} px, stored as {meta.tile_px} px"
    return ""
