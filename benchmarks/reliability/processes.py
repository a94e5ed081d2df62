"""The jobs of a running census, as Linux lists its processes."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

POLL_S = 0.05


@dataclass(frozen=True)
class Job:
    """A process that runs `cacl <step>`; `table` is its `--out`."""

    pid: int
    step: str
    out: str


def jobs(folder: Path) -> list[Job]:
    """Return the running jobs of a census; a job is one process, not its shell."""
    return list(_jobs(folder.resolve()))


def running_jobs(folder: Path, process: subprocess.Popen[str]) -> Iterator[Job]:
    """Yield the jobs of a census again and again, until Snakemake, the process, ends."""
    while process.poll() is None:
        yield from jobs(folder)
        time.sleep(POLL_S)


def peak_kb(pid: int) -> int:
    """Return the peak address space of a process in KiB; 0 if it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmPeak:"):
                return int(line.split()[1])
    return 0


def _jobs(folder: Path) -> Iterator[Job]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):  # it has ended meanwhile
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            place = next((i for i, word in enumerate(words[:3]) if Path(word).name == "cacl"), None)
            if place is None or (entry / "cwd").resolve(strict=True) != folder:
                continue
            out = words[words.index("--out") + 1] if "--out" in words else ""
            yield Job(int(entry.name), words[place + 1], out)
