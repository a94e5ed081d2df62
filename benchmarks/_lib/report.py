"""Write a benchmark's table with what is needed to repeat it: machine, date, command, sizes."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path


def write_up(
    path: Path,
    title: str,
    notes: Sequence[str],
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
) -> None:
    """Print a Markdown table and write it to `path`.

    Parameters
    ----------
    path
        The file to write.
    title
        What was measured.
    notes
        Sizes, seeds, targets: one line each.
    header, rows
        The table, as text.
    """
    table = [_line(header), _line(["---"] * len(header)), *(_line(row) for row in rows)]
    print("\n".join(table))
    command = shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    facts = [
        f"machine: {cpu_model()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        f"date: {datetime.now(UTC).date()}",
        f"command: `{command}`",
        *notes,
    ]
    lines = [f"# {title}", "", *(f"- {fact}" for fact in facts), "", *table, ""]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")


def cpu_model() -> str:
    """Return the name of this machine's processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def peak_mb() -> float:
    """Return the largest resident size of this process so far, in MB (10^6 bytes); Linux only."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    peak_kib = next(line.split()[1] for line in status if line.startswith("VmHWM"))
    return int(peak_kib) * 1024 / 1e6


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
