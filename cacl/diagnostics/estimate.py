"""What a run will cost: time, disk and memory of every step, here and on several machines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from rich.filesize import decimal
from rich.table import Table

from cacl.config import Config
from cacl.diagnostics.calibrate import Calibration, Rate, networks_of
from cacl.report.thumbnails import MAX_THUMBNAILS

SHARD_STEPS = ("acquire", "tile", "segment", "measure")
ATLAS_ANTIBODIES = 25_000
ANTIBODIES_A_GENE = 1.3
PATIENTS = 3


@dataclass(frozen=True)
class Workload:
    """What there is to do, and how that is known."""

    images: int
    shards: int
    train_steps: int
    drawn: bool
    source: str
    requests_per_second: float | None = None


@dataclass(frozen=True)
class Step:
    """The cost of one step: of all its jobs on one machine, and spread over `nodes`."""

    name: str
    jobs: int
    job_s: float
    here_s: float
    nodes_s: float
    cpu_s: float
    memory_mb: float
    disk_bytes: float


def workload_of(settings: Config, folder: Path) -> Workload:
    """Return how many images a configuration asks for.

    The catalog says so, where the run in `folder` has one; else it is the number that the
    configuration gives away, or for genes the atlas's mean of 1.3 antibodies a gene and three
    patients.
    """
    source = settings.source
    images, known = _images(settings, folder)
    return Workload(
        images=images,
        shards=settings.census.shards,
        train_steps=sum(one.steps for one in networks_of(settings)),
        drawn=source.kind == "phantom",
        source=known,
        requests_per_second=source.requests_per_second if source.kind == "hpa" else None,
    )


def _images(settings: Config, folder: Path) -> tuple[int, str]:
    source, phantom = settings.source, settings.phantom
    catalog = folder / "results" / "catalog" / "images.parquet"
    if catalog.exists():
        return pq.read_metadata(catalog).num_rows, "as the catalog lists them"
    if source.kind == "phantom":
        return phantom.antibodies * phantom.patients, "as phantom.* asks for"
    if source.manifest is not None and source.kind == "manifest" and source.manifest.exists():
        lines = source.manifest.read_text(encoding="utf-8-sig").splitlines()
        return max(0, sum(bool(line.strip()) for line in lines) - 1), "as the manifest lists them"
    tissues = max(1, len(source.tissues))
    antibodies = len(source.antibodies) or round(ANTIBODIES_A_GENE * sum(map(_genes, source.genes)))
    if source.genes == ("all",) or not antibodies:
        antibodies = ATLAS_ANTIBODIES
    known = "a guess of three patients a tissue; `snakemake --until catalog` counts them"
    return antibodies * PATIENTS * tissues, known


def _genes(name: str) -> int:
    """Return how many genes an entry of `source.genes` names: a file's lines, else one."""
    path = Path(name)
    return len(path.read_text(encoding="utf-8").split()) if path.is_file() else 1


def estimate(work: Workload, machine: Calibration, *, nodes: int = 1) -> list[Step]:
    """Return the cost of every step, in the order of a run.

    Jobs of a shard run side by side, one a CPU core; a step begins when the one before has
    ended. The host's images come at the configured rate, on however many machines.

    Parameters
    ----------
    work
        What there is to do.
    machine
        The rates of the machines, all alike.
    nodes
        How many machines.
    """
    each = math.ceil(work.images / work.shards)
    steps = []
    for name, rate in machine.rates.items():
        if name == "phantom" and not work.drawn:
            continue
        jobs = work.shards if name in SHARD_STEPS else 1
        units = each if name in SHARD_STEPS else _all(name, work)
        job_s = rate.start_s + units * rate.unit_s
        polite_s = 0.0
        if name == "acquire" and work.requests_per_second:
            polite_s = work.images / work.requests_per_second
        if name == "phantom":
            job_s = rate.start_s + units * rate.unit_s / min(machine.cores, 2)
        steps.append(
            Step(
                name=name,
                jobs=jobs,
                job_s=job_s,
                here_s=max(polite_s, _spread(work, rate, jobs, job_s, machine.cores)),
                nodes_s=max(polite_s, _spread(work, rate, jobs, job_s, machine.cores * nodes)),
                cpu_s=jobs * rate.start_cpu_s + _all(name, work) * rate.unit_cpu_s,
                memory_mb=rate.memory_mb,
                disk_bytes=rate.unit_bytes * _all(name, work),
            )
        )
    return steps


def _all(name: str, work: Workload) -> int:
    """Return how many units a step has to do: most of a report's time goes into its pictures."""
    own = {"train": work.train_steps, "select": 1, "report": min(work.images, MAX_THUMBNAILS)}
    return own.get(name, work.images)


def _spread(work: Workload, rate: Rate, jobs: int, job_s: float, places: int) -> float:
    """Return the time of jobs of uneven shards on as many places: their sum, or the largest one."""
    if jobs == 1:
        return job_s
    together = jobs * rate.start_s + work.images * rate.unit_s
    return max(together / places, job_s)


def as_table(steps: Sequence[Step], work: Workload, nodes: int) -> Table:
    """Return an estimate as a table for the terminal."""
    table = Table(
        title=f"{work.images:,} images ({work.source}) in {work.shards} shards",
        caption=f"Stores of an atlas and its JPEGs: {decimal(round(total_disk(steps)))}",
    )
    across = f"on {nodes} machines" if nodes > 1 else ""
    for name in ("step", "jobs", "a job", "here", *([across] if across else []), "memory", "disk"):
        table.add_column(name, justify="left" if name == "step" else "right")
    for step in steps:
        cells = [step.name, str(step.jobs), duration(step.job_s), duration(step.here_s)]
        cells += [duration(step.nodes_s)] if across else []
        disk = decimal(round(step.disk_bytes)) if step.disk_bytes else ""
        table.add_row(*cells, f"{step.memory_mb:,.0f} MB", disk)
    sums = [duration(sum(step.here_s for step in steps))]
    sums += [duration(sum(step.nodes_s for step in steps))] if across else []
    memory = f"{max(step.memory_mb for step in steps):,.0f} MB"
    table.add_row("all", "", "", *sums, memory, decimal(round(total_disk(steps))), style="bold")
    return table


def total_disk(steps: Sequence[Step]) -> float:
    """Return the bytes that all steps write."""
    return sum(step.disk_bytes for step in steps)


def duration(seconds: float) -> str:
    """Return a time in the largest fitting unit: `42 s`, `12 min`, `3.5 h`, `2.1 d`."""
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}" if size < 3600 else f"{seconds / size:.1f} {unit}"
    return f"{seconds / 86_400:.1f} d"
