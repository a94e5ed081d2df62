"""The prediction of `cacl estimate` for a run against the run's measured times, step by step.

Usage: python -m benchmarks.scale.estimate RUN [--config FILE] [--out FILE]

RUN is the folder of a finished run on this machine; Snakemake writes the times of its jobs to
`logs/benchmarks`. CPU seconds are compared as well: they depend less on other load.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks._lib.report import RESULTS, write_table
from cacl.config import load
from cacl.diagnostics.calibrate import calibrate
from cacl.diagnostics.estimate import estimate, workload_of

TARGET = 0.30
REPORT_STEPS, TARGET_REPORT = ("measure", "report"), 0.05
SHORTEST_S = 0.1


@dataclass(frozen=True)
class StepTime:
    """Wall time of a step's parallel jobs, their CPU time, and start and end (Unix time)."""

    seconds: float
    cpu_s: float
    start: float
    end: float


def measured_time(run: Path, step: str, cores: int) -> StepTime:
    """Return the time of a step whose jobs ran `cores` at a time."""
    single = run / "logs" / "benchmarks" / f"{step}.tsv"
    files = [single] if single.exists() else sorted((single.with_suffix("")).glob("*.tsv"))
    rows = [next(csv.DictReader(file.open(), delimiter="\t")) for file in files]
    times = [float(row["s"]) for row in rows]
    parallel_s = max([sum(times) / min(cores, max(1, len(times))), *times])
    ends = [file.stat().st_mtime for file in files]
    return StepTime(
        parallel_s,
        sum(float(row["cpu_time"]) for row in rows),
        min(end - time for end, time in zip(ends, times, strict=True)),
        max(ends),
    )


def main() -> None:
    """Calibrate, compare and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--config", type=Path, action="append", default=[])
    parser.add_argument("--out", type=Path, default=RESULTS / "estimate.md")
    options = parser.parse_args()
    settings, cores = load(options.config), len(os.sched_getaffinity(0))
    load_before, start = os.getloadavg()[0], time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        machine = calibrate(settings, Path(folder), cores=cores)
    calibration_s = time.monotonic() - start
    work = workload_of(settings, options.run)
    steps = estimate(work, machine)
    measured = [measured_time(options.run, step.name, cores) for step in steps]
    rows = [
        _row(step.name, step.one_node_s, run.seconds, step.cpu_s, run.cpu_s)
        for step, run in zip(steps, measured, strict=True)
    ]
    estimated_s, estimated_cpu_s = (
        sum(step.one_node_s for step in steps),
        sum(step.cpu_s for step in steps),
    )
    run_s, run_cpu_s = sum(run.seconds for run in measured), sum(run.cpu_s for run in measured)
    wall_s = max(run.end for run in measured) - min(run.start for run in measured)
    rows.append(_row("sum", estimated_s, run_s, estimated_cpu_s, run_cpu_s))
    rows.append(_row("wall time", estimated_s, wall_s, estimated_cpu_s, run_cpu_s))
    report_s = sum(
        run.seconds for step, run in zip(steps, measured, strict=True) if step.name in REPORT_STEPS
    )
    notes = [
        f"{work.images} images in {work.shards} shards; target: within {TARGET:.0%} in wall time, "
        "from the first job's start to the last one's end",
        f"the calibration took {calibration_s:.0f} s; target: 60 s",
        f"load average before the calibration: {load_before:.1f} on {cores} cores; that of the "
        "run is not recorded",
        f"measure + report: {report_s / run_s:.1%} of the run; target: under {TARGET_REPORT:.0%}",
    ]
    header = ["step", "estimated s", "run s", "ratio", "estimated CPU s", "run CPU s", "ratio"]
    write_table(options.out, "The estimate against a run", notes, header, rows, runs=[options.run])


def _row(
    name: str, estimated_s: float, run_s: float, estimated_cpu_s: float, run_cpu_s: float
) -> list[str]:
    return [
        name,
        f"{estimated_s:.1f}",
        f"{run_s:.1f}",
        _ratio(estimated_s, run_s),
        f"{estimated_cpu_s:.1f}",
        f"{run_cpu_s:.1f}",
        _ratio(estimated_cpu_s, run_cpu_s),
    ]


def _ratio(estimated_s: float, run_s: float) -> str:
    """Return estimated / measured time; empty if the measured time is too short."""
    return f"{estimated_s / run_s:.2f}" if run_s >= SHORTEST_S else ""


if __name__ == "__main__":
    main()
