"""Speed of training on an idle machine and beside other work, by how OpenMP threads wait.

Usage: python -m benchmarks.speed.shared_machine [--threads N] [--seconds S] [--rounds N] [--busy N]
    [--out FILE]

Each setting trains the student's network for S seconds in a process of its own, alone and beside
busy loops; the settings take turns, and the fastest round counts.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from benchmarks._lib.images import cores
from benchmarks._lib.process import environment
from benchmarks._lib.report import RESULTS, load_note, write_table
from benchmarks.speed.train_speed import image_layers, tile_dataset, training_speed
from cacl.model.presets import ROBUST
from cacl.runtime.malloc import tune_malloc
from cacl.runtime.openmp import SPIN_COUNT, WAITING

DEFAULT = "OpenMP's default"
SETTINGS: dict[str, Mapping[str, str]] = {
    DEFAULT: {},
    "passive (OMP_WAIT_POLICY)": {"OMP_WAIT_POLICY": "PASSIVE"},
    f"cacl's: {SPIN_COUNT} spins (GOMP_SPINCOUNT)": {"GOMP_SPINCOUNT": str(SPIN_COUNT)},
}
ONE_THREAD = "one thread"
BUSY_LOOP = "while True: pass"


def speed(waiting: Mapping[str, str], threads: int, seconds: float) -> float:
    """Return the tiles per second of a training in a new process."""
    variables = {name: text for name, text in environment().items() if name not in WAITING}
    command = [sys.executable, "-m", "benchmarks.speed.shared_machine", "--worker"]
    command += ["--threads", str(threads), "--seconds", str(seconds)]
    run = subprocess.run(  # nosec B603  # a list, no shell
        command, check=True, env={**variables, **waiting}, stdout=subprocess.PIPE, text=True
    )
    return float(run.stdout)


@contextmanager
def busy_loops(number: int) -> Iterator[None]:
    """Run loops that each keep a core busy."""
    command = [sys.executable, "-c", BUSY_LOOP]
    loops = [
        subprocess.Popen(command)  # nosec B603  # a list, no shell
        for _ in range(number)
    ]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def train(threads: int, seconds: float) -> None:
    """Print the tiles per second of a training in this process."""
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    tune_malloc()
    with tempfile.TemporaryDirectory() as folder:
        paths, _ = cores(Path(folder), 1)
        tiles = tile_dataset([image_layers(path) for path in paths])
    sys.stdout.write(f"{training_speed(ROBUST, tiles, seconds).wall}\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy", type=int, default=1, help="busy loops beside the training")
    parser.add_argument("--out", type=Path, default=RESULTS / "shared_machine.md")
    parser.add_argument("--worker", action="store_true", help="train once, print the speed")
    options = parser.parse_args(arguments)
    if options.worker:
        train(options.threads, options.seconds)
        return
    load_before = os.getloadavg()[0]
    works = {name: (waiting, options.threads) for name, waiting in SETTINGS.items()}
    works[ONE_THREAD] = ({}, 1)
    fastest: dict[tuple[str, int], float] = {}
    for _ in range(options.rounds):
        for busy in (0, options.busy):
            with busy_loops(busy):
                for name, (waiting, threads) in works.items():
                    tiles_per_s = speed(waiting, threads, options.seconds)
                    fastest[name, busy] = max(fastest.get((name, busy), 0.0), tiles_per_s)
    idle = fastest[DEFAULT, 0]
    rows = []
    for name in works:
        alone, beside = fastest[name, 0], fastest[name, options.busy]
        rows.append([name, f"{alone:.1f}", f"{beside:.1f}", f"{alone / idle:.2f}"])
        rows[-1] += [f"{beside / idle:.2f}", f"{beside / fastest[DEFAULT, options.busy]:.2f}"]
    notes = [
        f"training steps of the preset robust's student, {options.threads} threads unless said; "
        f"the fastest of {options.rounds} rounds of {options.seconds:g} s each",
        f"busy: {options.busy} endless loop(s) beside it on {os.cpu_count()} cores",
        load_note(load_before),
    ]
    header = [
        *("how threads wait", "tiles/s, idle", "tiles/s, busy", "idle, ratio to default idle"),
        *("busy, ratio to default idle", "busy, ratio to default busy"),
    ]
    write_table(options.out, "Training on a shared machine", notes, header, rows)


if __name__ == "__main__":
    main()
