"""Run the command of a table, and replace the table when the command has succeeded."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks._lib.catalog import PAINTED, Entry
from benchmarks._lib.needs import former_code
from benchmarks._lib.process import environment
from benchmarks._lib.report import RESULTS_VARIABLE
from benchmarks._lib.runs import SharedRun
from benchmarks._lib.sources import CHECKOUT, SourceTree
from benchmarks._lib.status import Place, read_facts
from cacl.runtime.atomic import replaced_file

WORK, LOGS, NEW, QUICK = "work", "logs", "new", "quick"
FORMER_FILE = "former_shard.py"
STOP_S = 60.0


@dataclass(frozen=True)
class Outcome:
    """How a command ended: the problem, None if there is none, and its wall time."""

    problem: str | None
    seconds: float


def command_of(entry: Entry, place: Place, digest: str, *, quick: bool = False) -> list[str]:
    """Return the command line of an entry; `digest` is that of its sources."""
    if entry.launcher:
        return list(entry.launcher)
    work = place.runs / WORK
    values = {
        "runs": str(place.runs),
        "work": str(work / f"{Path(entry.name).stem}-{digest}"),
        "painted": str(work / f"{Path(PAINTED.name).stem}-{PAINTED.digest(SourceTree())}"),
        "tiatoolbox": str(place.tools.tiatoolbox),
        "former": str(work / FORMER_FILE),
    }
    return [sys.executable, "-m", entry.module, *entry.words(values, quick=quick)]


def shown(command: list[str]) -> str:
    """Return a command as a line of a shell."""
    program = "python" if command[0] == sys.executable else command[0]
    return shlex.join([program, *command[1:]])


def make_run(run: SharedRun, place: Place, tree: SourceTree) -> Outcome:
    """Make a shared run, or continue it."""
    run.begin(tree)
    log = place.runs / LOGS / f"{run.setting}-{run.seed}.log"
    outcome = _call(run.command(), log, {})
    if outcome.problem is None and not run.is_finished:
        return Outcome(f"products are missing in {run.folder}; see {log}", outcome.seconds)
    return outcome


def make_tables(entry: Entry, place: Place, *, quick: bool = False) -> Outcome:
    """Run the command of an entry; replace its tables if it succeeds.

    The command writes into a folder of its own, where its tables stay if it fails. With `quick`,
    the command is the short one, and no table is replaced.
    """
    stem = Path(entry.name).stem
    digest = entry.digest(SourceTree())
    new = place.runs / (QUICK if quick else NEW) / stem
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    if "former" in entry.needs and (code := former_code()):
        with replaced_file(place.runs / WORK / FORMER_FILE) as path:
            path.write_text(code, encoding="utf-8")
    command = command_of(entry, place, digest, quick=quick)
    log = place.runs / LOGS / f"{stem}{'-quick' * quick}.log"
    outcome = _call(command, log, {RESULTS_VARIABLE: str(new)})
    if outcome.problem or quick:
        return outcome
    missing = [table for table in entry.tables if not (new / table).exists()]
    if missing:
        problem = f"the command has not written {', '.join(missing)}; see {log}"
        return Outcome(problem, outcome.seconds)
    for table in entry.tables:
        _install(new / table, place.results / table, digest)
    shutil.rmtree(new)
    return outcome


def _install(new: Path, target: Path, digest: str) -> None:
    """Replace a table; its digest is that of the sources when its command began."""
    text, ended_with = new.read_text(encoding="utf-8"), read_facts(new).get("sources")
    if ended_with is not None:
        text = text.replace(f"- sources: {ended_with}\n", f"- sources: {digest}\n", 1)
    with replaced_file(target) as path:
        path.write_text(text, encoding="utf-8")


def _call(command: list[str], log: Path, variables: Mapping[str, str]) -> Outcome:
    """Run a command in the checkout; its output is in the log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    with log.open("wb") as file:
        process = subprocess.Popen(  # nosec B603  # a list, no shell
            command,
            cwd=CHECKOUT,
            env=os.environ | environment() | dict(variables),
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            status = process.wait()
        finally:
            if process.poll() is None:
                _stop(process)
    seconds = time.monotonic() - start
    return Outcome(None if status == 0 else f"exit status {status}; see {log}", seconds)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Let a command end by itself, as Snakemake waits for its jobs; kill it if it does not."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
