"""The command `cacl`: one subcommand per step. It parses, calls and prints."""

from __future__ import annotations

import faulthandler
import logging
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from cacl import __version__
from cacl.cli import (
    benchmark,
    census,
    diagnostics,
    export,
    integrity,
    model,
    results,
    source,
    workflow,
)
from cacl.cli.options import with_config_options
from cacl.runtime.openmp import limit_active_waiting
from cacl.runtime.printable import log_to_stderr

HELP = "Quantify a diffuse stain across the Human Protein Atlas from image-wise labels."
PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "Start here": (
        workflow.init,
        workflow.run,
        diagnostics.status,
        results.top,
        diagnostics.doctor,
    ),
    "Before and after a run": (
        source.dearray,
        diagnostics.estimate,
        diagnostics.unlock,
        export.export,
        integrity.verify,
        integrity.compare,
    ),
    "Steps, which the workflow calls": (
        source.phantom,
        source.catalog,
        source.acquire,
        source.estimate_stain,
        source.tile,
        model.select,
        model.train,
        model.reuse_model,
        census.segment,
        census.measure,
        benchmark.controls,
        results.report,
        benchmark.benchmark_data,
        benchmark.train_classifier,
        benchmark.benchmark,
    ),
    "Development": (results.docs,),
}
"""Commands by the heading under which `cacl` lists them."""

app = typer.Typer(help=HELP, no_args_is_help=True, pretty_exceptions_enable=False)


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"cacl-atlas {__version__}")
        raise typer.Exit


@app.callback()
def main(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Set up logging and threads for every step."""
    if not faulthandler.is_enabled():
        faulthandler.enable(sys.__stderr__ or sys.stderr)
    limit_active_waiting()
    log_to_stderr(logging.DEBUG if verbose else logging.INFO)


for panel, commands in PANELS.items():
    for command in commands:
        name = command.__name__.replace("_", "-")
        app.command(name, rich_help_panel=panel)(with_config_options(command))
