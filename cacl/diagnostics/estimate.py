"""Estimate the cost of a run: time, memory and disk of every step, on one or several machines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.filesize import decimal
from rich.table import Table

from cacl import tables
from cacl.config import Config
from cacl.diagnostics.calibrate import Calibration, Rate, extra_steps_of, networks_of
from cacl.hpa.genes import expand_names
from cacl.hpa.manifest import read_manifest
from cacl.report.thumbnails import MAX_THUMBNAILS

SHARD_STEPS = ("acquire", "tile", "segment", "measure")
HPA_ANTIBODIES = 25_000
ANTIBODIES_PER_GENE = 1.3
PATIENTS = 3
PHANTOM_JOBS = 2


@dataclass(frozen=True)
class Workload:
    """The amount of work of a run.

    Parameters
    ----------
    images
        Number of images.
    shards
        Number of shards.
    train_steps
        Steps of all networks that are trained; 0 with a model of another run.
    synthetic
        Whether the run draws its images.
    basis
        How the number of images is known.
    extra_steps
        Further steps of the training at most, if its teachers separate poorly.
    controls
        Number of cores of the spike-in controls.
    requests_per_second
        Rate limit of the HPA host; None if the images come from elsewhere.
    """

    images: int
    shards: int
    train_steps: int
    synthetic: bool
    basis: str
    extra_steps: int = 0
    controls: int = 0
    requests_per_second: float | None = None


@dataclass(frozen=True)
class StepCost:
    """The cost of one step: of a job, of all jobs on one node, and of all jobs on all nodes."""

    name: str
    jobs: int
    job_s: float
    one_node_s: float
    all_nodes_s: float
    cpu_s: float
    memory_mb: float
    disk_bytes: float


def workload_of(settings: Config, folder: Path) -> Workload:
    """Return the workload of a configuration.

    The number of images comes from the catalog if the run in `folder` has one, else from the
    configuration. For genes it is an estimate from 1.3 antibodies per gene, the mean of the HPA,
    and three patients.

    Parameters
    ----------
    settings
        A resolved configuration.
    folder
        The run's working directory.
    """
    source = settings.source
    images, basis = _count_images(settings, folder)
    return Workload(
        images=images,
        shards=settings.census.shards,
        train_steps=0
        if settings.train.model
        else sum(planned.steps for planned in networks_of(settings)),
        synthetic=source.kind == "phantom",
        basis=basis,
        extra_steps=extra_steps_of(settings),
        controls=min(settings.controls.cores, images),
        requests_per_second=source.requests_per_second if source.kind == "hpa" else None,
    )


def _count_images(settings: Config, folder: Path) -> tuple[int, str]:
    source, phantom = settings.source, settings.phantom
    catalog = folder / "results" / "catalog" / "images.parquet"
    if catalog.exists():
        return tables.read_arrow(catalog, ["image_id"]).num_rows, "from the catalog"
    if source.kind == "phantom":
        return phantom.antibodies * phantom.patients, "from phantom.*"
    if source.manifest is not None and source.kind == "manifest" and source.manifest.exists():
        return len(read_manifest(source.manifest)), "from the manifest"
    tissues = max(1, len(source.tissues))
    genes = len(expand_names(source.genes))
    antibodies = len(source.antibodies) or round(ANTIBODIES_PER_GENE * genes)
    if source.genes == ("all",) or not antibodies:
        antibodies = HPA_ANTIBODIES
    basis = "assuming three patients per tissue; `snakemake --until catalog` counts them"
    return antibodies * PATIENTS * tissues, basis


def estimate(work: Workload, machine: Calibration, *, nodes: int = 1) -> list[StepCost]:
    """Return the cost of every step, in the order of a run.

    The jobs of shards run in parallel, one per CPU core; a step starts when the previous one has
    ended. Images are requested from the host at the configured rate, however many nodes there are.

    Parameters
    ----------
    work
        The workload.
    machine
        The calibration of a node; all nodes are alike.
    nodes
        Number of nodes.
    """
    shard_images = math.ceil(work.images / work.shards)
    costs = []
    for name, rate in machine.rates.items():
        if name == "phantom" and not work.synthetic:
            continue
        if name == "train" and not work.train_steps:
            continue
        jobs = work.shards if name in SHARD_STEPS else 1
        units = shard_images if name in SHARD_STEPS else _units(name, work)
        job_s = rate.start_s + units * rate.unit_s
        request_s = 0.0
        if name == "acquire" and work.requests_per_second:
            request_s = work.images / work.requests_per_second
        if name == "phantom":
            job_s = rate.start_s + units * rate.unit_s / min(machine.cores, PHANTOM_JOBS)
        all_cores = machine.cores * nodes
        costs.append(
            StepCost(
                name=name,
                jobs=jobs,
                job_s=job_s,
                one_node_s=max(request_s, _makespan(work, rate, jobs, job_s, machine.cores)),
                all_nodes_s=max(request_s, _makespan(work, rate, jobs, job_s, all_cores)),
                cpu_s=jobs * rate.start_cpu_s + _units(name, work) * rate.unit_cpu_s,
                memory_mb=rate.memory_mb,
                disk_bytes=rate.unit_bytes * _units(name, work),
            )
        )
    return costs


def _units(name: str, work: Workload) -> int:
    """Return the number of units of a step; for the report, thumbnails take most of the time."""
    units = {
        "train": work.train_steps,
        "select": 1,
        "controls": work.controls,
        "report": min(work.images, MAX_THUMBNAILS),
    }
    return units.get(name, work.images)


def _makespan(work: Workload, rate: Rate, jobs: int, job_s: float, cores: int) -> float:
    """Return the wall time of the jobs of a step on so many cores: at least that of one job."""
    if jobs == 1:
        return job_s
    total_s = jobs * rate.start_s + work.images * rate.unit_s
    return max(total_s / cores, job_s)


def as_table(costs: Sequence[StepCost], work: Workload, nodes: int) -> Table:
    """Return an estimate as a table for the terminal."""
    caption = f"Disk space of the store and the images: {decimal(round(total_disk(costs)))}"
    if work.extra_steps:
        extra = duration(extra_training_s(costs, work))
        caption += f"\nTeachers that separate poorly: up to about {extra} more training"
    table = Table(
        title=f"{work.images:,} images ({work.basis}) in {work.shards} shards", caption=caption
    )
    several = [f"on {nodes} machines"] if nodes > 1 else []
    for header in ("step", "jobs", "one job", "this machine", *several, "memory", "disk"):
        table.add_column(header, justify="left" if header == "step" else "right")
    for cost in costs:
        cells = [cost.name, str(cost.jobs), duration(cost.job_s), duration(cost.one_node_s)]
        cells += [duration(cost.all_nodes_s)] if several else []
        disk = decimal(round(cost.disk_bytes)) if cost.disk_bytes else ""
        table.add_row(*cells, f"{cost.memory_mb:,.0f} MB", disk)
    sums = [duration(sum(cost.one_node_s for cost in costs))]
    sums += [duration(sum(cost.all_nodes_s for cost in costs))] if several else []
    memory = f"{max(cost.memory_mb for cost in costs):,.0f} MB"
    table.add_row("all", "", "", *sums, memory, decimal(round(total_disk(costs))), style="bold")
    return table


def extra_training_s(costs: Sequence[StepCost], work: Workload) -> float:
    """Return how long the further rounds of a training take at most, in seconds."""
    train_s = sum(cost.job_s for cost in costs if cost.name == "train")
    return train_s * work.extra_steps / max(1, work.train_steps)


def total_disk(costs: Sequence[StepCost]) -> float:
    """Return the bytes that all steps write."""
    return sum(cost.disk_bytes for cost in costs)


def duration(seconds: float) -> str:
    """Return a time in the largest fitting unit: `42 s`, `12 min`, `3.5 h`, `2.1 d`."""
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}" if size < 3600 else f"{seconds / size:.1f} {unit}"
    return f"{seconds / 86_400:.1f} d"
