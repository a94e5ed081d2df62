"""The command that exports the census to other software."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cacl.cli import options as opt
from cacl.config import SourceConfig
from cacl.steps.parameters import ExportFiles

Labels = Annotated[
    list[str] | None,
    typer.Option("--label", help="Only this mask: cell, stain, stain-<class>; repeat."),
]


Antibodies = Annotated[tuple[str, ...], opt.Key(SourceConfig, "antibodies")]


def export(
    antibodies: Antibodies,
    files: ExportFiles,
    report: Annotated[Path, typer.Option(help="Folder of `cacl report`.")] = Path("results/report"),
    store: opt.StorePath = Path("results/atlas.zarr"),
    label: Labels = None,
    jobs: opt.Jobs = 1,
) -> None:
    """Export masks (GeoJSON for QuPath), tables (AnnData for scanpy, xlsx), the model as one file.

    Example: cacl export --report results/report --store results/atlas.zarr --geojson masks
    --h5ad atlas.h5ad --xlsx atlas.xlsx
    """
    from cacl.steps import export as step

    with opt.report_errors():
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
            typer.echo(f"{files.h5ad}: {rows} antibodies x {columns} measures")
        if summary.sheets is not None:
            typer.echo(f"{files.xlsx}: {summary.sheets} tables and the meaning of their columns")
        if summary.images is not None:
            typer.echo(f"{files.geojson}: masks of {summary.images} images")
        if summary.model is not None:
            typer.echo(f"{files.model}: the model {summary.model}")
