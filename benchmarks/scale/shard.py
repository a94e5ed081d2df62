"""A shard from images to measures on one core and on two: time, CPU, memory; and the report.

Usage: python benchmarks/shard.py RUN [--images N] [--out FILE]

RUN is the folder of a finished run: its images, model and annotation are used. They are listed
again under other names until there are enough. Every command runs as Snakemake runs it, in a
process of its own, bound to one core and then to two. What two cores could give at most is measured
too: two processes at the same time, each bound to a core of its own, with half of the images each.
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

from benchmarks._lib.report import write_up
from cacl import tables
from cacl.diagnostics.process_cost import Cost, measure_commands
from cacl.tables.schemas import AcquiredRow, ImageRow

HERE = Path(__file__).parents[1]
TARGET_SPEED_UP, TARGET_MB, TARGET_SHARE = 1.7, 2147, 0.05
STEPS = ("tile", "segment", "measure", "report")
SHARD = STEPS[:3]


def write_lists(run: Path, folder: Path, images: int) -> int:
    """Write the lists of a shard of so many images; return how many are different."""
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
    chosen, known = [], []
    for number in range(images):
        row = acquired[number % len(acquired)]
        name = f"{row.image_id}-{number // len(acquired)}"
        path = str((run / row.path).resolve())
        chosen.append(dataclasses.replace(row, image_id=name, path=path))
        known.append(dataclasses.replace(listed[row.image_id], image_id=name))
    tables.write_parquet(folder / "acquired.parquet", chosen, AcquiredRow)
    tables.write_parquet(folder / "images.parquet", known, ImageRow)
    return min(images, len(acquired))


def commands(run: Path, folder: Path, bound: Sequence[int]) -> dict[str, list[str]]:
    """Return the commands of a shard, by step, bound to these cores."""
    cores, home = len(bound), folder / "-".join(map(str, bound))
    home.mkdir()
    store, model = ("--store", home / "atlas.zarr"), ("--model", run / "results/model")
    failures = ("--failures", home / "failures.csv")
    annotations = sorted((run / "results/catalog/annotations").glob("*.parquet"))
    given: dict[str, tuple[object, ...]] = {
        "tile": (
            *("--acquired", folder / "acquired.parquet", *store, *failures),
            *("--out", home / "tiles.parquet", "--jobs", cores),
        ),
        "segment": (
            *("--tiles", home / "tiles.parquet", *store, *model, *failures),
            *("--out", home / "segmented.parquet", "--threads", cores),
        ),
        "measure": (
            *("--segmented", home / "segmented.parquet", *store, *failures),
            *("--images", folder / "images.parquet", "--annotations", annotations[0]),
            *("--tiles", home / "tiles.parquet", "--out", home / "census.parquet"),
            *("--jobs", cores),
        ),
        "report": (
            *("--census", home / "census.parquet", *failures, *store, *model),
            *("--catalog", run / "results/catalog", "--out", home / "report", "--jobs", cores),
        ),
    }
    tied = ["taskset", "-c", ",".join(map(str, bound))]
    return {
        step: [*tied, sys.executable, "-m", "cacl", step, *map(str, options)]
        for step, options in given.items()
    }


def two_halves(run: Path, folder: Path, images: int) -> dict[str, Cost]:
    """Return what each step of a shard costs where two processes have half of the images each."""
    todo = []
    for core in (0, 1):
        half = folder / f"half-{core}"
        half.mkdir()
        write_lists(run, half, images // 2)
        todo.append(commands(run, half, (core,)))
    return {step: measure_commands([one[step] for one in todo]) for step in SHARD}


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "shard.md")
    given = parser.parse_args()
    load_before = os.getloadavg()[0]
    took: dict[int, dict[str, Cost]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        different = write_lists(given.run.resolve(), folder, given.images)
        for cores in (1, 2):
            todo = commands(given.run.resolve(), folder, range(cores))
            took[cores] = {step: measure_commands([todo[step]]) for step in STEPS}
        halves = two_halves(given.run.resolve(), folder, given.images)
    sums = {cores: sum(took[cores][step].seconds for step in SHARD) for cores in took}
    cpu = {cores: sum(took[cores][step].cpu_s for step in SHARD) for cores in took}
    side_by_side = sum(halves[step].seconds for step in SHARD)
    memory = max(took[cores][step].memory_mb for cores in took for step in STEPS)
    rows = [
        [
            step,
            *(f"{took[cores][step].seconds:.1f}" for cores in took),
            f"{took[1][step].seconds / took[2][step].seconds:.2f}",
            f"{took[1][step].seconds / halves[step].seconds:.2f}" if step in halves else "",
            *(f"{took[cores][step].cpu_s:.1f}" for cores in took),
            *(f"{took[cores][step].memory_mb:.0f}" for cores in took),
        ]
        for step in STEPS
    ]
    rows.insert(
        3,
        [
            "tile + segment + measure",
            *(f"{sums[cores]:.1f}" for cores in took),
            f"{sums[1] / sums[2]:.2f}",
            f"{sums[1] / side_by_side:.2f}",
            *(f"{cpu[cores]:.1f}" for cores in took),
            "",
            "",
        ],
    )
    last = {cores: took[cores]["measure"].seconds + took[cores]["report"].seconds for cores in took}
    whole = {cores: sums[cores] + took[cores]["report"].seconds for cores in took}
    notes = [
        f"{given.images} images of 3000 x 3000 px, {different} different ones; commands in "
        "processes of their own, starts included; images are at hand",
        f"load average before and after: {load_before:.1f}, {os.getloadavg()[0]:.1f} on "
        f"{os.cpu_count()} cores",
        f"measure + report: {last[1] / whole[1]:.1%} of all on one core, {last[2] / whole[2]:.1%} "
        f"on two; target: under {TARGET_SHARE:.0%}",
        f"largest memory of a job: {memory:.0f} MB; target: under {TARGET_MB} MB (2 GiB)",
        f"target of the speed-up: {TARGET_SPEED_UP}; side by side: two processes at the same time, "
        "each on a core of its own with half of the images: what two cores of this machine give",
    ]
    header = [
        *("step", "1 core s", "2 cores s", "speed-up", "side by side"),
        *("CPU s, 1 core", "CPU s, 2 cores"),
        *("MB, 1 core", "MB, 2 cores"),
    ]
    write_up(given.out, "A shard, on one core and on two", notes, header, rows)


if __name__ == "__main__":
    main()
