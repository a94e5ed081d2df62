"""Commands of what a run ends in: report, the short answer, documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cacl.cli import options as opt
from cacl.config import default, documentation
from cacl.tables import write_text


def report(
    census: Annotated[list[Path], typer.Option(help="Tables of `cacl measure`; repeat.")],
    failures: Annotated[list[Path], typer.Option(help="Failures of every step; repeat.")],
    store: opt.StorePath,
    model: opt.ModelPath,
    catalog: Annotated[Path, typer.Option(help="Folder of `cacl catalog`.")],
    out: opt.Out,
    cell_type: opt.CellType = default("labels.cell_type"),
    min_tissue_fraction: opt.MinTissue = default("tiles.min_tissue_fraction"),
    morphology: opt.Morphology = default("segment.morphology"),
    radius_px: opt.RadiusPx = default("segment.radius_px"),
    seed: opt.Seed = default("seed"),
    benchmark: Annotated[
        Path | None, typer.Option(help="Table of `cacl benchmark`, to show if it is there.")
    ] = None,
    jobs: opt.Jobs = 1,
    classes: Annotated[
        list[Path] | None, typer.Option(help="Areas by class of `cacl measure`; repeat.")
    ] = None,
) -> None:
    """Pool the census; write tables and report.html.

    Example: cacl report --census census.parquet --failures failures.csv --store atlas.zarr
    --model model --catalog catalog --out report
    """
    from cacl.steps import report as step

    with opt.sentences():
        step.report(
            census,
            failures,
            store,
            model,
            catalog,
            out,
            cell_type=cell_type,
            min_tissue_fraction=min_tissue_fraction,
            morphology=morphology,
            radius_px=radius_px,
            seed=seed,
            benchmark=benchmark,
            jobs=jobs,
            classes=classes or (),
        )


def top(
    report: Annotated[Path, typer.Option(help="Folder of `cacl report`.")] = Path("results/report"),
    count: Annotated[int, typer.Option(min=1, help="How many.")] = 5,
) -> None:
    """Print the antibodies of highest ratio.

    Example: cacl top --report results/report --count 20
    """
    from cacl.report.terminal import top_antibodies

    with opt.sentences():
        Console().print(top_antibodies(report, count))
        typer.echo(f"Report: {(report / 'report.html').resolve()}")


def docs(
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("config/README.md"),
) -> None:
    """Write the documentation of the configuration.

    Example: cacl docs --out config/README.md
    """
    with opt.sentences():
        write_text(out, documentation())
