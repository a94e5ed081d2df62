"""Time and memory of a task that runs in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks._lib.report import CHECKOUT


@dataclass(frozen=True)
class Usage:
    """Number of processed items, wall and CPU time, and peak memory (10^6 bytes) of a process."""

    items: int
    wall_s: float
    cpu_s: float
    peak_mb: float


def print_usage(task: Callable[[], int]) -> None:
    """Run a task that returns a number of items; print its usage as a line of JSON."""
    wall, cpu = time.perf_counter(), time.process_time()
    items = task()
    wall_s, cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps(asdict(Usage(items, wall_s, cpu_s, peak_mb()))))


def read_usage(module: str, *arguments: str) -> Usage:
    """Run a script of this package that ends in `print_usage`; return the printed usage."""
    output = subprocess.run(  # nosec B603  # a list, no shell
        command(module, *arguments), check=True, stdout=subprocess.PIPE, env=environment()
    ).stdout
    return Usage(**json.loads(output.splitlines()[-1]))


def command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module with this interpreter."""
    return [sys.executable, "-m", module, *arguments]


def environment() -> dict[str, str]:
    """Return the environment of a child process, with the checkout on the module path."""
    paths = [str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


def peak_mb() -> float:
    """Return the peak resident size of this process, in MB (10^6 bytes); Linux only."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    peak_kib = next(line.split()[1] for line in status if line.startswith("VmHWM"))
    return int(peak_kib) * 1024 / 1e6
