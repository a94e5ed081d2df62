"""Write the report: tables of antibodies, genes, images and failures, and the page on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cacl import tables
from cacl.config import SegmentConfig
from cacl.diagnostics.retries import Retries, count_retries
from cacl.report import (
    aggregate,
    agreement,
    control_figure,
    controls,
    datapackage,
    disagreement,
    figures,
    gallery,
    inputs,
    methods,
    model_origin,
    page,
    review,
    text,
    thumbnails,
    views,
)
from cacl.report.content import ReportContent
from cacl.steps.parameters import ReportFiles
from cacl.store import Store
from cacl.tables import dictionary
from cacl.tables.schemas import ImageRow

# Columns whose values a spreadsheet may damage.
NAME_COLUMNS = ("gene", "antibody_id", "patient_id", "tissue")


def report(
    files: ReportFiles,
    out: Path,
    *,
    cell_type: str,
    seed: int,
    min_tissue_fraction: float | None = None,
    segment: SegmentConfig | None = None,
    jobs: int = 1,
) -> None:
    """Write the tables (.csv, .parquet), their description, and `report.html`.

    Tables: `antibodies`, `genes`, `disagreements`, `review`, `agreement`, `images`, `classes`,
    `controls`, `limits`, `failures`. `datapackage.json` and `columns.md` describe every column;
    `methods.md` is the methods paragraph. `SHA256SUMS` has the digest of every file of the folder.
    The page opens from disk without a network; its `images/`, `assets/` and `figures/` lie beside
    it.

    Parameters
    ----------
    files
        Tables of `MeasureRow` and `ClassRow`, one per shard; CSVs of `FailureRow`, one per step and
        shard; the store, for the thumbnails; the folder of the model (`model.json` and
        `training.csv`) and the table of `cacl benchmark`: the page says so if they are missing, or
        if the benchmark is older than the model; the folder of the catalog, for licences.
    out
        Folder of the report.
    cell_type
        Cell type whose annotation labelled the images; part of the question.
    seed
        Seed of the bootstrap over antibodies.
    min_tissue_fraction, segment
        Settings of the run for the methods paragraph; None is not mentioned.
    jobs
        Thumbnails at a time.

    Raises
    ------
    TableError
        A table is missing or damaged, or an image is in two shards.
    """
    images = inputs.read_images(files.census)
    antibodies = aggregate.antibody_rows(images)
    disagreements = disagreement.disagreement_rows(antibodies)
    reviewed = review.review_rows(images)
    image_store = Store(files.store)
    names = [name for column in NAME_COLUMNS for name in images[column].unique()]
    spiked = controls.read_controls(files.controls, out)
    model = inputs.read_model_description(files.model / "model.json")
    vectors = inputs.read_stain_vectors(image_store, images)
    shown = thumbnails.write_thumbnails(
        image_store,
        images,
        gallery.thumbnail_antibodies(antibodies, disagreements, reviewed),
        out,
        jobs,
    )
    content = ReportContent(
        images=images,
        antibodies=antibodies,
        genes=aggregate.gene_rows(images),
        agreement=agreement.agreement_rows(images, antibodies, seed=seed),
        disagreements=disagreements,
        review=reviewed,
        failures=inputs.read_failures(files.failures),
        classes=inputs.read_classes(files.classes_table),
        catalog=tables.read_frame([files.catalog / "images.parquet"], ImageRow),
        thumbnails=shown,
        views=views.write_views(image_store, list(shown), out, jobs),
        gallery=gallery.gallery_antibodies(antibodies),
        figures=[
            *filter(None, [control_figure.recall_by_dose(spiked.rows)]),
            *figures.report_figures(
                antibodies, inputs.read_training_curves(files.model / "training.csv")
            ),
        ],
        benchmark=inputs.read_benchmark(files.benchmark, files.model / "model.json"),
        model=model,
        origin=model_origin.describe_origin(
            files.reused_model,
            model,
            images,
            inputs.read_tile_px(image_store, images),
            vectors,
        ),
        settings=text.RunSettings(
            cell_type=cell_type,
            min_tissue_fraction=min_tissue_fraction,
            morphology=segment.morphology if segment else None,
            radius_px=segment.radius_px if segment else None,
            seed=seed,
            reused_model=str(files.reused_model) if files.reused_model else None,
        ),
        tiling=inputs.describe_tiling(image_store, images),
        stain_vectors=vectors,
        tables=dictionary.report_tables(cell_type),
        reading_notes=dictionary.reading_notes(names),
        retries=_describe_retries(files),
        controls=spiked,
    )
    _write_tables(content, out)
    _write_descriptions(content, out)
    page.write_page(content, out)
    tables.write_sums(out)


def _describe_retries(files: ReportFiles) -> str:
    if files.attempts is None or not files.attempts.is_dir():
        return ""
    return str(count_retries(Retries(files.attempts), [path.stem for path in files.census]))


def _write_tables(content: ReportContent, out: Path) -> None:
    rows: dict[str, Iterable[Any]] = {
        "antibodies": content.antibodies,
        "genes": content.genes,
        "disagreements": content.disagreements,
        "review": content.review,
        "agreement": content.agreement,
        "images": content.images,
        "classes": content.classes,
        "controls": content.controls.rows,
        "limits": content.controls.limits,
        "failures": content.failures,
    }
    made_with = tables.made_with("report", **asdict(content.settings))
    for table in content.tables:
        tables.write_csv(out / f"{table.name}.csv", rows[table.name], table.record)
        tables.write_parquet(
            out / f"{table.name}.parquet", rows[table.name], table.record, made_with
        )


def _write_descriptions(content: ReportContent, out: Path) -> None:
    """Write `columns.md`, `methods.md` and `datapackage.json`."""
    columns = dictionary.markdown(content.tables, content.reading_notes)
    tables.write_text(out / "columns.md", columns)
    tables.write_text(
        out / "methods.md",
        methods.markdown(
            content.settings,
            content.images,
            content.failures,
            content.catalog,
            content.model,
            content.tiling,
            content.p_values,
            content.stain_vectors,
        ),
    )
    datapackage.write_datapackage(
        out,
        content.tables,
        title=f"CaCL Atlas: {content.question}",
        description=f"{content.headline} {content.p_values}".replace(text.NO_BREAK, " "),
        catalog=content.catalog,
    )
