"""Time of a census of the whole atlas on a node and on many jobs, from the rates of this machine.

The rates are those of `cacl estimate`: every step runs on eight synthetic cores, on all CPU cores
of this machine at a time. The configuration is that of the whole atlas.

Example: python -m benchmarks.scale.atlas_cost
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks._lib.report import CHECKOUT, RESULTS, load_note, write_table
from cacl.config import load
from cacl.diagnostics.calibrate import Calibration, calibrate
from cacl.diagnostics.estimate import (
    duration,
    estimate,
    extra_training_s,
    total_disk,
    workload_of,
)

CONFIGURATION = CHECKOUT / "config" / "examples" / "atlas.yaml"
NODE_CORES, SLURM_JOBS = 16, 50
HEADER = (
    *("step", "jobs", "one job", f"1 node of {NODE_CORES} cores", f"{SLURM_JOBS} Slurm jobs"),
    *("CPU time", "memory of a job, MB"),
)


def rows_of(machine: Calibration, folder: Path) -> tuple[list[list[str]], list[str]]:
    """Return the rows of the table, and notes on the work.

    Parameters
    ----------
    machine
        Rates per CPU core.
    folder
        An empty folder, so that no catalog is found.
    """
    work = workload_of(load([CONFIGURATION]), folder)
    node = estimate(work, dataclasses.replace(machine, cores=NODE_CORES))
    cluster = estimate(work, dataclasses.replace(machine, cores=1), nodes=SLURM_JOBS)
    rows = [
        [
            *(step.name, f"{step.jobs}", duration(step.job_s), duration(step.one_node_s)),
            *(duration(spread.all_nodes_s), duration(step.cpu_s), f"{step.memory_mb:.0f}"),
        ]
        for step, spread in zip(node, cluster, strict=True)
    ]
    sums = [
        sum(getattr(step, name) for step in steps)
        for steps, name in ((node, "one_node_s"), (cluster, "all_nodes_s"), (node, "cpu_s"))
    ]
    rows.append(["all", "", "", *map(duration, sums), ""])
    extra = duration(extra_training_s(node, work))
    notes = [
        f"{work.images:,} images in {work.shards} shards; {total_disk(node) / 1e9:.0f} GB",
        f"images are requested from the host at {work.requests_per_second:g} per second, "
        "whatever the number of nodes",
        f"teachers that separate poorly add up to {extra} of training",
    ]
    return rows, notes


def main(arguments: Sequence[str] | None = None) -> None:
    """Calibrate and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "atlas_cost.md")
    options = parser.parse_args(arguments)
    load_before, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        machine = calibrate(load([CONFIGURATION]), Path(folder), cores=cores)
    with tempfile.TemporaryDirectory() as folder:
        rows, notes = rows_of(machine, Path(folder))
    notes += [
        f"an extrapolation: rates per CPU core of this machine, with {cores} jobs at a time; "
        "shared storage and the queue of a cluster cost more",
        f"each of the {SLURM_JOBS} Slurm jobs has one core for the steps on shards; training has "
        "two threads everywhere",
        "a GPU is not measured: no machine with one was at hand (`benchmarks/speed/gpu.py`)",
        load_note(load_before),
    ]
    write_table(options.out, "Cost of the whole atlas", notes, HEADER, rows)


if __name__ == "__main__":
    main()
