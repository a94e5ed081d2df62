"""Write the table of a benchmark with machine, date, command and sizes."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
RESULTS = CHECKOUT / "benchmarks" / "results"


def write_table(
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
        Output file.
    title
        Heading of the file.
    notes
        Sizes, seeds, targets: one line each.
    header, rows
        Cells of the table.
    """
    table = [_line(header), _line(["---"] * len(header)), *(_line(row) for row in rows)]
    print("\n".join(table))
    facts = [
        f"machine: {cpu_model()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        f"date: {datetime.now(UTC).date()}",
        f"command: `{_command()}`",
        *notes,
    ]
    lines = [f"# {title}", "", *(f"- {fact}" for fact in facts), "", *table, ""]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")


def load_note(load_before: float) -> str:
    """Return a note with the load average before a benchmark and now."""
    return (
        f"load average before and after: {load_before:.1f}, {os.getloadavg()[0]:.1f} on "
        f"{os.cpu_count()} cores"
    )


def cpu_model() -> str:
    """Return the name of this machine's processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _command() -> str:
    """Return the command line of this process, as `python -m <module> <arguments>`."""
    spec = sys.modules["__main__"].__spec__
    program = ["-m", spec.name] if spec else [sys.argv[0]]
    return shlex.join(["python", *program, *sys.argv[1:]])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
