"""The command that exports the census to other software."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cacl.cli import options as opt
from cacl.config import SourceConfig
from cacl.steps.parameters import ExportFiles, ModelExport

Labels = Annotated[
    list[str] | None,
    typer.Option("--label", help="Only this mask: cell, stain, stain-<class>; repeat."),
]


Antibodies = Annotated[tuple[str, ...], opt.Key(SourceConfig, "antibodies")]


def export(
    antibodies: Antibodies,
    report: Annotated[Path, typer.Option(help="Folder of `cacl report`.")] = Path("results/report"),
    store: opt.StorePath = Path("results/atlas.zarr"),
    geojson: Annotated[
        Path | None, typer.Option(help="Folder for masks as GeoJSON for QuPath.")
    ] = None,
    h5ad: Annotated[
        Path | None, typer.Option(help="File for antibodies x measures as AnnData.")
    ] = None,
    xlsx: Annotated[
        Path | None, typer.Option(help="File for all tables as an Excel workbook.")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="File for the model beside the report, for train.model of another run."),
    ] = None,
    label: Labels = None,
    jobs: opt.Jobs = 1,
) -> None:
    """Export masks (GeoJSON for QuPath), tables (AnnData for scanpy, xlsx), the model as one file.

    Example: cacl export --report results/report --store results/atlas.zarr --geojson masks
    --h5ad atlas.h5ad --xlsx atlas.xlsx
    """
    from cacl.steps import export as step

    with opt.report_errors():
        files = ExportFiles(
            geojson=geojson,
            h5ad=h5ad,
            xlsx=xlsx,
            model=None if model is None else ModelExport(report.parent / "model", model),
        )
        summary = step.export(
            report,
            store,
            files,
            labels=label or (),
            antibodies=antibodies,
            jobs=jobs,
        )
        if summary.table_shape is not None:
            rows, columns = summary.table_shape
            typer.echo(f"{h5ad}: {rows} antibodies x {columns} measures")
        if summary.sheets is not None:
            typer.echo(f"{xlsx}: {summary.sheets} tables and the meaning of their columns")
        if summary.images is not None:
            typer.echo(f"{geojson}: masks of {summary.images} images")
        if summary.model is not None:
            typer.echo(f"{model}: the model {summary.model}")
