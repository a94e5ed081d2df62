"""Speed of teachers one after another and in parallel, alone and beside other work.

Usage: python -m benchmarks.speed.parallel_networks [--threads N] [--steps N] [--out FILE]

As many teachers as threads are trained for N steps each: one after another by all threads, and side
by side by one thread each. Other work is a busy loop, or a training of another user with as many
threads. The speed is the median over intervals of ten steps; in parallel, the speeds of the
teachers add up. The student, trained by all threads, is measured in the same conditions.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import torch

from benchmarks._lib.images import cores
from benchmarks._lib.process import environment
from benchmarks._lib.report import RESULTS, load_note, write_table
from benchmarks.speed.shared_machine import busy_loops
from benchmarks.speed.train_speed import every_step, image_layers, tile_dataset
from cacl.model.config import Preset
from cacl.model.data.dataset import TileDataset
from cacl.model.device import make_fabric
from cacl.model.presets import ROBUST, TEACHER
from cacl.model.training import parallel_networks
from cacl.model.training.loop import Stage, train_stage
from cacl.model.training.run import TrainingRun
from cacl.runtime.distributed import World
from cacl.runtime.malloc import tune_malloc
from cacl.runtime.openmp import limit_active_waiting
from cacl.runtime.signals import StopFlag

AFTER_ANOTHER, IN_PARALLEL, STUDENT = "one after another", "in parallel", "student"
KINDS = {
    AFTER_ANOTHER: "teachers one after another, all threads",
    IN_PARALLEL: "teachers in parallel, one thread each",
    STUDENT: "student, all threads",
}
MANY_STEPS = 10**6


def stages(kind: str, tiles: TileDataset, number: int, steps: int, folder: Path) -> list[Stage]:
    """Return the trainings of a kind, without the operations that are not part of every step."""
    preset: Preset = ROBUST if kind == STUDENT else TEACHER
    return [
        Stage(
            name=f"{kind} {index}",
            class_indices=(0,),
            tiles=tiles,
            held_out=tiles,
            preset=every_step(preset),
            steps=steps,
            seed=index,
            deadline=math.inf,
            path=folder / f"{index}.safetensors",
            fingerprint="",
        )
        for index in range(number if kind != STUDENT else 1)
    ]


def train(kind: str, threads: int, steps: int) -> None:
    """Train in this process and its children; print the tiles per second of all together."""
    torch.set_num_threads(threads)
    tune_malloc()
    parallel_networks.MIN_STEPS = 0
    with tempfile.TemporaryDirectory() as folder:
        paths, _ = cores(Path(folder), 1)
        tiles = tile_dataset([image_layers(path) for path in paths])
        planned = stages(kind, tiles, threads, steps, Path(folder))
        if kind == IN_PARALLEL:
            parallel_networks.train_in_parallel(planned, Path(folder), StopFlag())
        else:
            for stage in planned:
                train_stage(stage, World(make_fabric(1)), StopFlag())
        speeds = [_speed(stage) for stage in planned]
    total = sum(speeds) if kind == IN_PARALLEL else statistics.harmonic_mean(speeds)
    sys.stdout.write(f"{json.dumps(total)}\n")


def _speed(stage: Stage) -> float:
    """Return the median speed of a training from its saved run, without its first interval."""
    run = TrainingRun.create(stage.preset, stage.tiles, make_fabric(1), stage.seed)
    run.resume(stage.path, stage.fingerprint)
    return statistics.median(rate for _, rate in run.speed[1:])


def command(kind: str, threads: int, steps: int) -> list[str]:
    """Return the command of a training in a process of its own."""
    options = ["--worker", kind, "--threads", str(threads), "--steps", str(steps)]
    return [sys.executable, "-m", "benchmarks.speed.parallel_networks", *options]


def speed(kind: str, threads: int, steps: int) -> float:
    """Return the tiles per second of a training in a new process."""
    run = subprocess.run(  # nosec B603  # a list, no shell
        command(kind, threads, steps),
        check=True,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    return float(json.loads(run.stdout))


@contextmanager
def another_training(threads: int) -> Iterator[None]:
    """Run a training of a student that does not end."""
    other = subprocess.Popen(  # nosec B603  # a list, no shell
        command(STUDENT, threads, MANY_STEPS), env=environment(), stdout=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        other.kill()
        other.wait()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--out", type=Path, default=RESULTS / "parallel_networks.md")
    parser.add_argument("--worker", choices=KINDS, help="train once, print the speed")
    options = parser.parse_args(arguments)
    if options.worker:
        train(options.worker, options.threads, options.steps)
        return
    load_before = os.getloadavg()[0]
    conditions: dict[str, AbstractContextManager[None]] = {
        "nothing": nullcontext(),
        "a busy loop": busy_loops(1),
        "another training": another_training(options.threads),
    }
    rows: list[list[str]] = []
    alone: dict[str, float] = {}
    for beside, context in conditions.items():
        with context:
            found = {kind: speed(kind, options.threads, options.steps) for kind in KINDS}
        alone = alone or found
        for kind, text in KINDS.items():
            against = f"{found[kind] / found[AFTER_ANOTHER]:.2f}" if kind != STUDENT else ""
            row = [beside, text, f"{found[kind]:.1f}", f"{found[kind] / alone[kind]:.2f}", against]
            rows.append(row)
    notes = [
        f"{options.threads} threads on {os.cpu_count()} cores, {options.threads} teachers of "
        f"{options.steps} steps each",
        load_note(load_before),
    ]
    header = ["beside", "training", "tiles/s", "ratio to alone", "ratio to one after another"]
    write_table(options.out, "Teachers in parallel", notes, header, rows)


if __name__ == "__main__":
    limit_active_waiting()
    main()
