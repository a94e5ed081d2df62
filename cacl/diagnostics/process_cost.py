"""Measure commands: wall time, CPU time, peak memory; and the disk usage of a folder."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cacl.errors import CaclError

BLOCK_BYTES = 512
"""Unit of `st_blocks`; see stat(2)."""


@dataclass(frozen=True)
class Cost:
    """Wall time, CPU time and peak memory (10^6 bytes) of a command."""

    seconds: float
    cpu_s: float
    memory_mb: float


def measure_commands(commands: Sequence[Sequence[str]]) -> Cost:
    """Run `cacl` commands in parallel and return their cost.

    Returns
    -------
    The wall time until the last one ends, the mean CPU time, and the largest peak memory.

    Raises
    ------
    CaclError
        A command fails; the message ends in the last line of its standard error.
    """
    start = time.monotonic()
    processes = [
        subprocess.Popen(  # noqa: S603  # nosec B603  # a list, no shell
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        for command in commands
    ]
    seconds, cpu_s, memory_mb = 0.0, 0.0, 0.0
    for command, process in zip(commands, processes, strict=True):
        stderr = process.stderr.read() if process.stderr else b""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            last_line = stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise CaclError(
                f"`cacl {command[3]}` failed while its cost was measured ({' '.join(last_line)}); "
                "run `cacl doctor` to see what this machine lacks"
            )
        seconds = max(seconds, time.monotonic() - start)
        cpu_s += (usage.ru_utime + usage.ru_stime) / len(commands)
        memory_mb = max(memory_mb, usage.ru_maxrss * 1024 / 1e6)
    return Cost(seconds, cpu_s, memory_mb)


def disk_bytes(folder: Path) -> int:
    """Return the bytes that the files of a folder occupy; hard links count once."""
    inodes = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            stat = path.stat()
            inodes[stat.st_ino] = stat.st_blocks * BLOCK_BYTES
    return sum(inodes.values())
