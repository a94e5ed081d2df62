"""Commands on the products of runs: verify, compare."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cacl.cli import options as opt
from cacl.runtime.printable import printable

Results = Annotated[Path, typer.Argument(help="Folder `results` of a run.")]
Jobs = Annotated[int, typer.Option(min=1, help="Number of things checked at the same time.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
TROUBLE = 2


def verify(results: Results = Path("results"), jobs: Jobs = 2, as_json: Json = False) -> None:
    """Check every product of a run against its digest and its inputs; exit status 1 if one is bad.

    Images and their provenance records, tables, lists, every chunk of the store, the model, saved
    trainings, and the files of the report. The first bad one of each kind is printed with its
    remedy.

    Example: cacl verify results --jobs 8
    """
    from cacl.diagnostics import verify as checks

    with opt.report_errors():
        found = checks.verify(results, jobs)
    if as_json:
        typer.echo(json.dumps([asdict(result) for result in found], indent=1))
    else:
        Console().print(checks.as_table(found))
        for result in found:
            if result.first:
                typer.echo(printable(f"First bad {result.kind}: {result.first}"))
    unfinished = sum(result.unfinished for result in found)
    if unfinished:
        typer.secho(
            f"{unfinished} are unfinished: a run writes them now, or was stopped; the same "
            "command as before writes them again",
            err=True,
        )
    bad = sum(result.bad for result in found)
    if bad:
        typer.secho(f"{bad} of {sum(result.checked for result in found)} are bad", err=True)
        raise typer.Exit(1)


def compare(
    first: Annotated[Path, typer.Argument(help="Folder `results` of a run.")],
    second: Annotated[Path, typer.Argument(help="Folder `results` of another run.")],
    jobs: Jobs = 2,
    as_json: Json = False,
) -> None:
    """Say what differs between two runs and why; exit status 0 if nothing does, 1 if something.

    Why: images and labels, parameters of each step, software, model. What: rows of the report's
    tables, masks. Exit status 2 if a run cannot be read.

    Example: cacl compare monday/results tuesday/results
    """
    from cacl.diagnostics import compare as comparison

    with opt.report_errors(status=TROUBLE):
        topics = comparison.compare(first, second, jobs)
    if as_json:
        typer.echo(json.dumps([asdict(topic) for topic in topics], indent=1))
    else:
        for topic in topics:
            typer.echo(f"{topic.name}: {'equal' if topic.is_equal else ''}".rstrip())
            for line in topic.differences:
                typer.echo(printable(f"  {line}"))
    if not all(topic.is_equal for topic in topics):
        raise typer.Exit(1)
