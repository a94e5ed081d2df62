"""Commands on the whole workflow: init, run."""

from __future__ import annotations

import contextlib
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cacl.cli import options as opt
from cacl.cli.results import top
from cacl.errors import TableError
from cacl.runtime.printable import printable

Configs = Annotated[
    list[Path] | None,
    typer.Option(
        "--configfile", help="Configuration; repeat to merge; the last one wins. [cacl.yaml]"
    ),
]
Directory = Annotated[Path, typer.Option(help="Working directory of the run.")]


class FirstFiles(StrEnum):
    """What `cacl init` writes."""

    MANIFEST = "manifest"
    HPA = "hpa"
    DEMO = "demo"
    SLURM = "slurm"


def init(
    kind: Annotated[
        FirstFiles,
        typer.Argument(
            help="manifest: your own images; hpa: genes of the Human Protein Atlas; demo: "
            "synthetic images; slurm: the profile of a cluster."
        ),
    ],
    directory: Annotated[Path, typer.Option(help="Where the files go.")] = Path(),
) -> None:
    """Write a commented configuration and an example table to start from.

    Example: cacl init manifest
    """
    from cacl.launch.first_files import write_first_files

    with opt.report_errors():
        for path in write_first_files(kind.value, directory):
            typer.echo(f"wrote {path}")
        where = "" if directory == Path() else f" --directory {directory}"
        if kind is FirstFiles.SLURM:
            typer.echo("Edit it, then: cacl run --profile profiles/slurm-gpu")
        else:
            typer.echo(f"Edit them, then: cacl run{where}")


def run(
    configfile: Configs = None,
    directory: Directory = Path(),
    cores: Annotated[
        int | None, typer.Option(min=1, help="CPU cores. [all of the machine]")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="Name or folder of a Snakemake profile, such as a cluster's.")
    ] = None,
    extra: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- SNAKEMAKE...]", help="Targets and options of Snakemake, unchanged."
        ),
    ] = None,
) -> None:
    """Run the workflow, or continue it: from the images to the report.

    Example: cacl run --configfile my.yaml --cores 4
    """
    from cacl.launch.snakemake_command import RunOptions, run_workflow

    with opt.report_errors():
        is_done = run_workflow(
            RunOptions(
                configs=configfile or (),
                directory=directory,
                cores=cores,
                profile=profile,
                extra=extra or (),
            )
        )
        if not is_done:
            raise typer.Exit(1)
        if not extra:
            _print_failures(directory)
            top(directory / "results/report")


def _print_failures(directory: Path) -> None:
    """Print a line on the images and genes that failed in each step."""
    from cacl.diagnostics.status import read_status

    with contextlib.suppress(TableError):  # the run has not come to its catalog
        for line in read_status(directory).failure_lines():
            typer.echo(printable(line), err=True)
