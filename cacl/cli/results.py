"""Commands on the results of a run: report, top; and docs, which writes generated files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cacl.cli import options as opt
from cacl.config import SegmentConfig
from cacl.steps.parameters import ReportFiles


def report(
    cell_type: opt.CellType,
    min_tissue_fraction: opt.MinTissueFraction,
    segment: SegmentConfig,
    seed: opt.Seed,
    files: ReportFiles,
    out: opt.Out,
    jobs: opt.Jobs = 1,
) -> None:
    """Aggregate the census; write tables and report.html.

    Example: cacl report --census census.parquet --failures failures.csv --store atlas.zarr
    --model model --catalog catalog --out report
    """
    from cacl.steps import report as step

    with opt.report_errors():
        step.report(
            files,
            out,
            cell_type=cell_type,
            seed=seed,
            min_tissue_fraction=min_tissue_fraction,
            segment=segment,
            jobs=jobs,
        )


def top(
    report: Annotated[Path, typer.Option(help="Folder of `cacl report`.")] = Path("results/report"),
    count: Annotated[int, typer.Option(min=1, help="How many.")] = 5,
) -> None:
    """Print the antibodies with the highest ratio.

    Example: cacl top --report results/report --count 20
    """
    from rich.console import Console

    from cacl.report.terminal import top_antibodies

    with opt.report_errors():
        Console().print(top_antibodies(report, count))
        typer.echo(f"Report: {(report / 'report.html').resolve()}")


def docs(
    readme: Annotated[
        Path, typer.Option(help="Documentation of the configuration to write.")
    ] = Path("config/README.md"),
    schema: Annotated[Path, typer.Option(help="Its JSON schema to write.")] = Path(
        "workflow/schemas/config.schema.yaml"
    ),
) -> None:
    """Write the files that are generated from the configuration's models.

    Example: cacl docs --readme config/README.md --schema workflow/schemas/config.schema.yaml
    """
    from cacl.cli import config_docs
    from cacl.tables import write_text

    with opt.report_errors():
        write_text(readme, config_docs.readme())
        write_text(schema, config_docs.schema_yaml())
