"""Commands about a run: how far it is, what it lacks, what it will cost."""

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
from cacl.config import load, resolve

Directory = Annotated[Path, typer.Option(help="The run's working directory.")]
Configs = Annotated[
    list[Path] | None, typer.Option("--config", help="Configuration; repeat; the last one wins.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def status(directory: Directory = Path(), as_json: Json = False) -> None:
    """Tell per shard what is done, failed and left, and why what failed did.

    Example: cacl status --directory .
    """
    from cacl.diagnostics.status import as_table, read_status

    with opt.sentences():
        found = read_status(directory)
        if as_json:
            typer.echo(json.dumps(found.as_document(), indent=1))
        else:
            Console().print(as_table(found))
            for line in (*found.failure_lines(), str(found)):
                typer.echo(line)


def estimate(
    config: Configs = None,
    directory: Directory = Path(),
    nodes: Annotated[int, typer.Option(min=1, help="Machines like this one.")] = 1,
    as_json: Json = False,
) -> None:
    """Say what a run will cost, from a minute's calibration of this machine.

    Example: cacl estimate --config config/examples/atlas.yaml --nodes 20
    """
    from cacl.diagnostics import estimate as costs
    from cacl.diagnostics.calibrate import calibrate

    with opt.sentences(), tempfile.TemporaryDirectory() as folder:
        settings = resolve(load(config or []))
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
    """Check what a run needs and print the remedy for each miss; exit status 1 if there is one.

    Example: cacl doctor --profile profiles/slurm-gpu
    """
    from cacl.diagnostics.check_result import CheckStatus
    from cacl.diagnostics.doctor import as_table, run_checks

    with opt.sentences():
        settings = resolve(load(config or []))
        asked = load([profile / "config.yaml"]) if profile else None
        findings = run_checks(directory, settings, asked)
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in findings], indent=1))
    else:
        Console().print(as_table(findings))
    failed = [one for one in findings if one.status is CheckStatus.FAIL]
    if failed:
        n, noun, them = len(failed), *(("check", "it") if len(failed) == 1 else ("checks", "them"))
        typer.secho(f"{n} {noun} failed; fix {them} and run `cacl doctor` again", err=True)
        raise typer.Exit(1)
