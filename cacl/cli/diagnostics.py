"""Commands about a run: its progress, its requirements, its cost."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cacl.cli import options as opt
from cacl.config import load
from cacl.runtime.printable import printable
from cacl.runtime.yaml_io import read_yaml

Directory = Annotated[Path, typer.Option(help="The run's working directory.")]
Configs = Annotated[
    list[Path] | None,
    typer.Option("--config", help="Configuration; repeat to merge; the last one wins."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def status(directory: Directory = Path(), as_json: Json = False) -> None:
    """Report per shard what is done, failed and left, with the reasons of failures.

    Example: cacl status --directory .
    """
    from cacl.diagnostics.status import as_table, read_status

    with opt.report_errors():
        found = read_status(directory)
        if as_json:
            typer.echo(json.dumps(found.as_document(), indent=1))
        else:
            Console().print(as_table(found))
            for line in (*found.failure_lines(), f"images {found.retries}", str(found)):
                typer.echo(printable(line))


def unlock(directory: Directory = Path()) -> None:
    """Remove the lock that a killed Snakemake left, if no process uses the folder.

    Example: cacl unlock --directory .
    """
    from cacl.diagnostics import workflow_lock

    with opt.report_errors():
        if workflow_lock.unlock(directory):
            typer.echo("Unlocked. Run the same command again: it continues.")
        else:
            typer.echo(f"{directory.resolve()} is not locked")


def estimate(
    config: Configs = None,
    directory: Directory = Path(),
    nodes: Annotated[int, typer.Option(min=1, help="Number of machines like this one.")] = 1,
    as_json: Json = False,
) -> None:
    """Estimate the cost of a run from a calibration of this machine, which takes a minute.

    Example: cacl estimate --config config/examples/atlas.yaml --nodes 20
    """
    from cacl.diagnostics import estimate as costs
    from cacl.diagnostics.calibrate import calibrate

    with opt.report_errors(), tempfile.TemporaryDirectory() as folder:
        settings = load(config or [])
        work = costs.workload_of(settings, directory)
        machine = calibrate(settings, Path(folder), cores=len(os.sched_getaffinity(0)))
        steps = costs.estimate(work, machine, nodes=nodes)
        if as_json:
            typer.echo(json.dumps([asdict(step) for step in steps], indent=1))
        else:
            Console().print(costs.as_table(steps, work, nodes))


def doctor(
    config: Configs = None,
    directory: Directory = Path(),
    profile: Annotated[
        Path | None, typer.Option(help="Folder of a Snakemake profile; its jobs are checked too.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check what a run needs, print the remedy of each failed check; exit status 1 if one failed.

    Example: cacl doctor --profile profiles/slurm-gpu
    """
    from cacl.diagnostics.check_result import CheckStatus
    from cacl.diagnostics.doctor import as_table, run_checks

    with opt.report_errors():
        settings = load(config or [])
        profile_settings = read_yaml(profile / "config.yaml") if profile else None
        results = run_checks(directory, settings, profile_settings)
    if as_json:
        typer.echo(json.dumps([asdict(result) for result in results], indent=1))
    else:
        Console().print(as_table(results))
    failed = [result for result in results if result.status is CheckStatus.FAIL]
    if failed:
        noun, pronoun = ("check", "it") if len(failed) == 1 else ("checks", "them")
        sentence = f"{len(failed)} {noun} failed; fix {pronoun} and run `cacl doctor` again"
        typer.secho(sentence, err=True)
        raise typer.Exit(1)
