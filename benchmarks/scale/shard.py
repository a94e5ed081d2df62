"""A shard from images to measures on one core and on two: time, CPU, memory; and the report.

Usage: python -m benchmarks.scale.shard RUN [--images N] [--out FILE]

RUN is the folder of a finished run: its images, model and annotation are used. The images are
listed again under other names until there are enough. Every command runs as in Snakemake, in a
process of its own, bound to one core and then to two. The upper limit for two cores is measured as
well: two processes in parallel, each bound to a core of its own, with half of the images each.
Needs Linux (`taskset`).
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks._lib.report import RESULTS, load_note, write_table
from cacl import tables
from cacl.diagnostics.process_cost import Cost, measure_commands
from cacl.tables.schemas import AcquiredRow, ImageRow

Row = list[str]
TARGET_SPEED_UP, TARGET_MB, MAX_REPORT_FRACTION = 1.7, 2147, 0.05
STEPS = ("tile", "segment", "measure", "report")
SHARD_STEPS = STEPS[:3]


def write_tables(run: Path, folder: Path, images: int) -> int:
    """Write the tables of a shard of `images` images; return the number of different ones."""
    acquired = [
        row
        for path in sorted((run / "results/acquired").glob("*.parquet"))
        for row in tables.read_parquet(path, AcquiredRow)
    ]
    listed = {
        row.image_id: row
        for path in sorted((run / "results/catalog/shards").glob("*.parquet"))
        for row in tables.read_parquet(path, ImageRow)
    }
    acquired_rows, image_rows = [], []
    for number in range(images):
        row = acquired[number % len(acquired)]
        name = f"{row.image_id}-{number // len(acquired)}"
        path = str((run / row.path).resolve())
        acquired_rows.append(dataclasses.replace(row, image_id=name, path=path))
        image_rows.append(dataclasses.replace(listed[row.image_id], image_id=name))
    tables.write_parquet(folder / "acquired.parquet", acquired_rows, AcquiredRow)
    tables.write_parquet(folder / "images.parquet", image_rows, ImageRow)
    return min(images, len(acquired))


def commands(run: Path, folder: Path, core_ids: Sequence[int]) -> dict[str, list[str]]:
    """Return the commands of a shard by step, bound to these cores."""
    cores, root = len(core_ids), folder / "-".join(map(str, core_ids))
    root.mkdir()
    store, model = ("--store", root / "atlas.zarr"), ("--model", run / "results/model")
    failures = ("--failures", root / "failures.csv")
    annotations = sorted((run / "results/catalog/annotations").glob("*.parquet"))
    options: dict[str, tuple[object, ...]] = {
        "tile": (
            *("--acquired", folder / "acquired.parquet", *store, *failures),
            *("--out", root / "tiles.parquet", "--jobs", cores),
        ),
        "segment": (
            *("--tiles", root / "tiles.parquet", *store, *model, *failures),
            *("--out", root / "segmented.parquet", "--threads", cores),
        ),
        "measure": (
            *("--segmented", root / "segmented.parquet", *store, *failures),
            *("--images", folder / "images.parquet", "--annotations", annotations[0]),
            *("--tiles", root / "tiles.parquet", "--out", root / "census.parquet"),
            *("--jobs", cores),
        ),
        "report": (
            *("--census", root / "census.parquet", *failures, *store, *model),
            *("--catalog", run / "results/catalog", "--out", root / "report", "--jobs", cores),
        ),
    }
    taskset = ["taskset", "-c", ",".join(map(str, core_ids))]
    return {
        step: [*taskset, sys.executable, "-m", "cacl", step, *map(str, of_step)]
        for step, of_step in options.items()
    }


def two_halves(run: Path, folder: Path, images: int) -> dict[str, Cost]:
    """Return the cost of each step of a shard in two processes with half of the images each."""
    halves = []
    for core in (0, 1):
        half = folder / f"half-{core}"
        half.mkdir()
        write_tables(run, half, images // 2)
        halves.append(commands(run, half, (core,)))
    return {step: measure_commands([half[step] for half in halves]) for step in SHARD_STEPS}


def table_rows(one: dict[str, Cost], two: dict[str, Cost], halves: dict[str, Cost]) -> list[Row]:
    """Return the rows of the table from the costs on one core, on two, and of two halves."""
    rows = [
        [
            step,
            f"{one[step].seconds:.1f}",
            f"{two[step].seconds:.1f}",
            f"{one[step].seconds / two[step].seconds:.2f}",
            f"{one[step].seconds / halves[step].seconds:.2f}" if step in halves else "",
            f"{one[step].cpu_s:.1f}",
            f"{two[step].cpu_s:.1f}",
            f"{one[step].memory_mb:.0f}",
            f"{two[step].memory_mb:.0f}",
        ]
        for step in STEPS
    ]
    one_s, two_s, halves_s = (
        sum(costs[step].seconds for step in SHARD_STEPS) for costs in (one, two, halves)
    )
    cpu_s = (sum(costs[step].cpu_s for step in SHARD_STEPS) for costs in (one, two))
    total = [
        " + ".join(SHARD_STEPS),
        f"{one_s:.1f}",
        f"{two_s:.1f}",
        f"{one_s / two_s:.2f}",
        f"{one_s / halves_s:.2f}",
        *(f"{seconds:.1f}" for seconds in cpu_s),
        *("", ""),
    ]
    return [*rows[: len(SHARD_STEPS)], total, *rows[len(SHARD_STEPS) :]]


def report_fraction(costs: dict[str, Cost]) -> float:
    """Return the fraction of the time that measure and report take."""
    last_steps = costs["measure"].seconds + costs["report"].seconds
    return last_steps / sum(costs[step].seconds for step in STEPS)


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--out", type=Path, default=RESULTS / "shard.md")
    options = parser.parse_args()
    run = options.run.resolve()
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        different = write_tables(run, folder, options.images)
        one, two = (
            {step: measure_commands([of_step]) for step, of_step in of_cores.items()}
            for of_cores in (commands(run, folder, range(cores)) for cores in (1, 2))
        )
        halves = two_halves(run, folder, options.images)
    memory_mb = max(cost.memory_mb for costs in (one, two) for cost in costs.values())
    notes = [
        f"{options.images} images of 3000 x 3000 px, {different} different ones; commands in "
        "processes of their own, start-up included; images are on disk",
        load_note(load_before),
        f"measure + report: {report_fraction(one):.1%} of all on one core, "
        f"{report_fraction(two):.1%} on two; target: under {MAX_REPORT_FRACTION:.0%}",
        f"largest memory of a job: {memory_mb:.0f} MB; target: under {TARGET_MB} MB (2 GiB)",
        f"target of the speed-up: {TARGET_SPEED_UP}; two halves: two processes in parallel, each "
        "on a core of its own with half of the images: the upper limit on this machine",
    ]
    header = [
        *("step", "1 core s", "2 cores s", "speed-up", "two halves"),
        *("CPU s, 1 core", "CPU s, 2 cores"),
        *("MB, 1 core", "MB, 2 cores"),
    ]
    rows = table_rows(one, two, halves)
    title = "A shard, on one core and on two"
    write_table(options.out, title, notes, header, rows, runs=[run])


if __name__ == "__main__":
    main()
