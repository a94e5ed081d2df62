"""Write the table of a benchmark with machine, date, command and sizes."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks._lib.catalog import entry_of
from benchmarks._lib.runs import model_digest
from benchmarks._lib.sources import CHECKOUT as CHECKOUT
from benchmarks._lib.sources import SourceTree
from cacl.runtime.atomic import replaced_file

RESULTS_VARIABLE = "CACL_BENCHMARK_RESULTS"
"""Environment variable with another folder for the tables; `benchmarks.run_all` sets it."""
RESULTS = Path(os.environ.get(RESULTS_VARIABLE, CHECKOUT / "benchmarks" / "results"))


def write_table(
    path: Path,
    title: str,
    notes: Sequence[str],
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    runs: Sequence[Path] = (),
) -> None:
    """Print a Markdown table and write it to `path`, as a whole or not at all.

    Among the facts above it are the digest of the sources that its numbers depend on, and those of
    the models of the runs: `benchmarks.run_all` compares them with the present ones.

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
    runs
        Folders of the finished runs that the numbers are of.
    """
    table = [_line(header), _line(["---"] * len(header)), *(_line(row) for row in rows)]
    print("\n".join(table))
    facts = [
        f"machine: {cpu_model()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        f"date: {datetime.now(UTC).date()}",
        f"command: `{_command()}`",
        *_digests(path.name, runs),
        *notes,
    ]
    lines = [f"# {title}", "", *(f"- {fact}" for fact in facts), "", *table, ""]
    with replaced_file(path) as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")


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
    """Return the command line of this process, as `python -m <module> <arguments>`.

    An absolute path is one of this machine and becomes `PATH`.
    """
    spec = sys.modules["__main__"].__spec__
    program = ["-m", spec.name] if spec else [sys.argv[0]]
    arguments = ("PATH" if Path(word).is_absolute() else word for word in sys.argv[1:])
    return shlex.join(["python", *program, *arguments])


def _digests(table: str, runs: Sequence[Path]) -> list[str]:
    """Return the digests of sources and models; no sources if a test writes the table."""
    spec = sys.modules["__main__"].__spec__
    entry = entry_of(spec.name, table) if spec else None
    facts = [f"sources: {entry.digest(SourceTree())}"] if entry else []
    models = [model_digest(run) for run in runs]
    return [*facts, f"model: {', '.join(models)}"] if models else facts


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
