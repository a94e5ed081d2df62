"""Write the answer: tables of images, antibodies, genes and failures, and the page on them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from cacl import tables
from cacl.errors import StoreError, TableError
from cacl.report import (
    aggregate,
    agreement,
    datapackage,
    disagreement,
    figures,
    methods,
    page,
    review,
    thumbnails,
)
from cacl.report import text as words
from cacl.runtime.progress import track
from cacl.store import Store
from cacl.tables import dictionary
from cacl.tables.schemas import (
    AntibodyRow,
    ClassRow,
    DisagreementRow,
    FailureRow,
    ImageRow,
    MeasureRow,
    ReviewRow,
)

log = logging.getLogger(__name__)

NAMES = ("gene", "antibody_id", "patient_id", "tissue")
STAGES = ("catalog", "acquire", "tile", "segment", "measure")
GALLERY_BEST = 100
GALLERY_LAST = 6
PICTURED_ANTIBODIES = 500
PICTURED_CORES = 12
MAX_PICTURES = 1500
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
    benchmark: Path | None = None,
    jobs: int = 1,
    classes: Sequence[Path] = (),
) -> None:
    """Write the tables (.csv, .parquet), what describes them, and `report.html`.

    Tables: `antibodies`, `genes`, `disagreements`, `review`, `agreement`, `images`, `patterns`,
    `failures`. With them come `datapackage.json` and `columns.md` (every column), and
    `methods.md`. The page opens from disk without a network; its `images/`, `assets/` and
    `figures/` lie beside it.

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
        Seed of the bootstrap over antibodies.
    min_tissue_fraction, morphology, radius_px
        What the run was asked for, for the methods paragraph; None is left unsaid.
    benchmark
        Table of `cacl benchmark`; the page says so if there is none, or one older than the model.
    jobs
        Pictures at a time.
    patterns
        Tables of `ClassRow`, one a shard.

    Raises
    ------
    TableError
        A table is missing or damaged, or an image is in two shards.
    """
    images = _read_images(census)
    failed = _read_failures(failures)
    antibodies = aggregate.antibody_rows(images)
    genes = aggregate.gene_rows(images)
    disagreements = disagreement.disagreement_rows(antibodies)
    doubted = review.review_rows(images)
    class_rows = _read_classes(classes)
    agreements = agreement.agreement_rows(images, antibodies, seed=seed)
    listed = dictionary.report_tables(cell_type)
    rows: dict[str, Iterable[Any]] = {
        "antibodies": antibodies,
        "genes": genes,
        "disagreements": disagreements,
        "review": doubted,
        "agreement": agreements,
        "images": images,
        "classes": class_rows,
        "failures": failed,
    }
    for table in listed:
        tables.write_csv(out / f"{table.name}.csv", rows[table.name], table.record)
        tables.write_parquet(out / f"{table.name}.parquet", rows[table.name], table.record)
    atlas = Store(store)
    gallery = gallery_of(antibodies)
    asked = tables.read_frame([catalog / "images.parquet"], ImageRow)
    settings = words.Settings(
        cell_type=cell_type,
        min_tissue_fraction=min_tissue_fraction,
        morphology=morphology,
        radius_px=radius_px,
        seed=seed,
    )
    plots = (
        figures.volcano(antibodies),
        figures.against_annotation(antibodies),
        figures.specificity(antibodies),
        figures.ranking(antibodies),
        *figures.training(_read_curves(model / "training.csv")),
    )
    names = [name for column in NAMES for name in images[column].unique()]
    pictured = pictured_of(antibodies, disagreements, doubted)
    content = page.Content(
        images=images,
        antibodies=antibodies,
        genes=genes,
        agreement=agreements,
        disagreements=disagreements,
        review=doubted,
        failures=failed,
        classes=class_rows,
        catalog=asked,
        pictures=_write_pictures(atlas, images, pictured, out, jobs),
        gallery=gallery,
        figures=[plot for plot in plots if plot],
        benchmark=_read_benchmark(benchmark, model / "model.json"),
        model=_read_model(model / "model.json"),
        settings=settings,
        grid=_grid(atlas, images),
        tables=listed,
        notes=dictionary.reading_notes(names),
    )
    _describe(content, out)
    page.write_page(content, out)


def _describe(content: page.Content, out: Path) -> None:
    """Write what explains the tables to a reader, to a machine and to a paper's readers."""
    tables.write_text(out / "columns.md", dictionary.markdown(content.tables, content.notes))
    about_p = words.about_p(content.antibodies)
    text = methods.markdown(
        content.settings,
        content.images,
        content.failures,
        content.catalog,
        content.model,
        content.grid,
        about_p,
    )
    tables.write_text(out / "methods.md", text)
    question = words.question(
        content.settings.cell_type, sorted(set(content.images["tissue"]) - {""})
    )
    answer = words.answer(content.antibodies, failed=len(content.failures))
    datapackage.write_package(
        out,
        content.tables,
        title=f"CaCL Atlas: {question}",
        description=f"{answer} {about_p}".replace(words.NO_BREAK, " "),
        catalog=content.catalog,
    )


def _read_images(census: Sequence[Path]) -> pd.DataFrame:
    images = tables.read_frame(census, MeasureRow)
    twice = images["image_id"][images["image_id"].duplicated()]
    if len(twice):
        raise TableError(
            f"{twice.iloc[0]} is measured in two tables of {', '.join(map(str, census))}; one of "
            "them is of an older run, so delete them and measure again"
        )
    return images.sort_values("image_id", kind="stable", ignore_index=True)


def _read_classes(paths: Sequence[Path]) -> list[ClassRow]:
    """Return the areas by class, those of an image together, in the order of the classes."""
    rows = [row for path in paths for row in tables.read_parquet(path, ClassRow)]
    return sorted(rows, key=lambda row: row.image_id)


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


def pictured_of(
    antibodies: Sequence[AntibodyRow],
    disagreements: Sequence[DisagreementRow],
    review: Sequence[ReviewRow] = (),
) -> list[str]:
    """Return the antibodies whose cores get pictures, at most `PICTURED_ANTIBODIES`.

    The gallery comes first, then what the page lists for a look, then by rank. A whole
    atlas's 75,000 cores would fill gigabytes; the panel of the rest links to the original image.
    """
    doubted = [row.antibody_id for row in disagreements[: page.SHOWN_DISAGREEMENTS]]
    doubted += [row.antibody_id for row in review[: page.SHOWN_REVIEW]]
    ranked = [row.antibody_id for row in antibodies]
    wanted = [*(row.antibody_id for row in gallery_of(antibodies)), *doubted, *ranked]
    return list(dict.fromkeys(wanted))[:PICTURED_ANTIBODIES]


def _write_pictures(
    atlas: Store, images: pd.DataFrame, pictured: Sequence[str], out: Path, jobs: int
) -> dict[str, thumbnails.Picture]:
    place = {name: index for index, name in enumerate(pictured)}
    wanted = images[images["antibody_id"].isin(place)]
    cores = wanted.groupby("antibody_id", sort=False).head(PICTURED_CORES)
    order = cores["antibody_id"].map(place).argsort(kind="stable")
    names = cores["image_id"].iloc[order].tolist()[:MAX_PICTURES]
    (out / "images").mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        work = pool.map(lambda name: thumbnails.write_picture(atlas, name, out), names)
        written = list(track(work, "report: pictures", len(names)))
    return {name: picture for name, picture in zip(names, written, strict=True) if picture}


def _read_benchmark(path: Path | None, model: Path) -> pd.DataFrame | None:
    """Return the benchmark's table as text; None where there is none of this model."""
    if path is None or not path.exists():
        return None
    if model.exists() and model.stat().st_mtime > path.stat().st_mtime:
        log.warning("report: %s is older than the model, so it is not shown", path)
        return None
    try:
        frame = pd.read_csv(path, dtype="string", keep_default_na=False)
    except (OSError, ValueError) as error:
        log.warning("report: no benchmark: %s", error)
        return None
    return None if frame.empty else frame


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
