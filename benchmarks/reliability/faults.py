"""Faults of the machine in one step of a census: full or read-only disk, file handles, memory.

The census's folders `results` and `resources` are file systems of their own. A script named `cacl`
that comes first on the search path brings the fault about when the step's first job starts.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.reliability.census import PRODUCTS, Census

DISK_MB = 1024
TRACEBACK = re.compile(
    r"^(?!Exception ignored in).*\nTraceback \(most recent call last\):\n  File", re.MULTILINE
)
"""That of a job.

Beside its sentence Python prints those of objects that it destroys, and Snakemake, with an empty
line, that of its own clean-up in a read-only folder.
"""
SHIM = """#!/bin/bash
if [ "$1" = "$CHAOS_STEP" ]; then . "$CHAOS_FAULT"; fi
exec {program} "$@"
"""


@dataclass(frozen=True)
class Fault:
    """A fault of the machine.

    Parameters
    ----------
    name
        What it is.
    script
        Shell commands that bring it about, run by the job before its step in the run's folder.
    words
        The run says one of these.
    is_limit
        A step that needs less ends as usual.
    """

    name: str
    script: str
    words: tuple[str, ...]
    is_limit: bool = False


FULL_DISK = Fault(
    "full disk",
    # Its size becomes what is used; a size of 0 would be no limit.
    "\n".join(
        f'used=$(df -k --output=used "$PWD/{top}" | tail -1); '
        f'mount -o remount,size=$((used > 4 ? used : 4))k "$PWD/{top}"'
        for top in PRODUCTS
    ),
    ("No space left on device", "ran out of disk space"),
)
READ_ONLY = Fault(
    "read-only folder",
    # It fails while another job has a file open for writing.
    "\n".join(
        f'for i in {{1..200}}; do mount -o remount,ro "$PWD/{top}" && break; sleep 0.1; done'
        for top in PRODUCTS
    ),
    ("Read-only file system",),
)


def few_handles(count: int) -> Fault:
    """Return a limit of open files of a process."""
    return Fault(
        f"{count} file handles", f"ulimit -n {count}", ("Too many open files",), is_limit=True
    )


def little_memory(limit_kb: int) -> Fault:
    """Return a limit of the address space of a process, in KiB."""
    return Fault(
        f"{limit_kb // 1024} MiB of address space",
        f"ulimit -v {limit_kb}",
        ("memory", "can't start new thread"),
        is_limit=True,
    )


@contextmanager
def small_disks(folder: Path) -> Iterator[None]:
    """Mount the folders of a census's products as file systems of their own.

    Raises
    ------
    PermissionError
        This user cannot mount file systems.
    """
    with ExitStack() as stack:
        for top in PRODUCTS:
            path = folder / top
            path.mkdir(parents=True)
            options = ["-t", "tmpfs", "-o", f"size={DISK_MB}m", "cacl-test", str(path)]
            result = subprocess.run(  # nosec B603 B607  # a list, no shell
                ["mount", *options], capture_output=True, text=True, check=False
            )
            if result.returncode:
                raise PermissionError(result.stderr.strip())
            stack.callback(subprocess.run, ["umount", str(path)], check=True)
        yield


def repair(folder: Path) -> None:
    """Remove the faults of the disks."""
    for top in PRODUCTS:
        options = f"remount,rw,size={DISK_MB}m"
        command = ["mount", "-o", options, str(folder / top)]
        subprocess.run(command, check=True)  # nosec B603 B607  # a list, no shell


def with_fault(census: Census, folder: Path, fault: Fault, step: str) -> Census:
    """Return a census in whose step a fault happens.

    Parameters
    ----------
    census
        Without a fault.
    folder
        For the scripts.
    fault, step
        What happens, and in which command, such as `tile`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shim, script = folder / "cacl", folder / "fault.sh"
    shim.write_text(SHIM.format(program=Path(sys.executable).parent / "cacl"))
    shim.chmod(0o755)
    script.write_text(fault.script + "\n")
    variables = {"PATH": str(folder), "CHAOS_STEP": step, "CHAOS_FAULT": str(script)}
    return Census(census.folder, census.config, variables)


def sentence_problems(fault: Fault, status: int, output: str) -> list[str]:
    """Return what is wrong with the end of a run with a fault; empty if it is as expected.

    Parameters
    ----------
    fault
        What happened.
    status, output
        Exit status and output of Snakemake, which prints the logs of failed jobs.
    """
    if status == 0 and fault.is_limit:
        return []
    found = []
    if status == 0:
        found.append("status 0")
    if not any(word in output for word in fault.words):
        found.append("no sentence")
    if TRACEBACK.search(output):
        found.append("a traceback")
    return found
