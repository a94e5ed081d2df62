"""What `cacl estimate` predicts for a run against what the run took, step by step.

Usage: python benchmarks/estimate.py RUN [--config FILE] [--out FILE]

RUN is the folder of a finished run on this machine; Snakemake left the times of its jobs in
`logs/benchmarks`. CPU seconds are compared as well: where other work shares the machine, they are
what both sides have in common.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks._lib.report import write_up
from cacl.config import load
from cacl.diagnostics.calibrate import calibrate
from cacl.diagnostics.estimate import estimate, workload_of

CHECKOUT = Path(__file__).parents[2]
TARGET = 0.30
TELLING, TARGET_TELLING = ("measure", "report"), 0.05
SHORTEST_S = 0.1


@dataclass(frozen=True)
class Took:
    """What the jobs of a step took: side by side as they ran, in CPU seconds, and when (Unix)."""

    seconds: float
    cpu_s: float
    begun: float
    ended: float


def took(run: Path, step: str, cores: int) -> Took:
    """Return what a step took; the jobs of its shards ran `cores` at a time."""
    single = run / "logs" / "benchmarks" / f"{step}.tsv"
    files = [single] if single.exists() else sorted((single.with_suffix("")).glob("*.tsv"))
    rows = [next(csv.DictReader(file.open(), delimiter="\t")) for file in files]
    times = [float(row["s"]) for row in rows]
    together = max([sum(times) / min(cores, max(1, len(times))), *times])
    ends = [file.stat().st_mtime for file in files]
    return Took(
        together,
        sum(float(row["cpu_time"]) for row in rows),
        min(end - time for end, time in zip(ends, times, strict=True)),
        max(ends),
    )


def main() -> None:
    """Calibrate, compare and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--config", type=Path, action="append", default=[])
    parser.add_argument("--out", type=Path, default=CHECKOUT / "benchmarks/results/estimate.md")
    given = parser.parse_args()
    settings, cores = load(given.config), len(os.sched_getaffinity(0))
    load_before, begun = os.getloadavg()[0], time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        machine = calibrate(settings, Path(folder), cores=cores)
    calibration_s = time.monotonic() - begun
    work = workload_of(settings, given.run)
    rows, said, real, times, telling_s = [], [0.0, 0.0], [0.0, 0.0], [], 0.0
    for step in estimate(work, machine):
        found = took(given.run, step.name, cores)
        telling_s += found.seconds if step.name in TELLING else 0.0
        rows.append(_row(step.name, step.one_node_s, found.seconds, step.cpu_s, found.cpu_s))
        for sums, parts in (
            (said, (step.one_node_s, step.cpu_s)),
            (real, (found.seconds, found.cpu_s)),
        ):
            sums[0] += parts[0]
            sums[1] += parts[1]
        times += [found.begun, found.ended]
    rows.append(_row("all", said[0], real[0], said[1], real[1]))
    clock = max(times) - min(times)
    rows.append(_row("all, by the clock", said[0], clock, said[1], real[1]))
    write_up(
        given.out,
        "The estimate against a run",
        [
            f"{work.images} images in {work.shards} shards; target: within {TARGET:.0%} by the "
            "clock, from the first job's start to the last one's end",
            f"the calibration took {calibration_s:.0f} s; target: 60 s",
            f"load average before the calibration: {load_before:.1f} on {cores} cores; that of the "
            "run is not known",
            f"measure + report: {telling_s / real[0]:.1%} of the run; target: under "
            f"{TARGET_TELLING:.0%}",
        ],
        ["step", "estimated s", "run s", "ratio", "estimated CPU s", "run CPU s", "ratio"],
        rows,
    )


def _row(name: str, said_s: float, real_s: float, said_cpu: float, real_cpu: float) -> list[str]:
    return [
        name,
        f"{said_s:.1f}",
        f"{real_s:.1f}",
        _ratio(said_s, real_s),
        f"{said_cpu:.1f}",
        f"{real_cpu:.1f}",
        _ratio(said_cpu, real_cpu),
    ]


def _ratio(said: float, real: float) -> str:
    """Return how many times the real one was said; empty where it is too short to be told."""
    return f"{said / real:.2f}" if real >= SHORTEST_S else ""


if __name__ == "__main__":
    main()
