"""Make all tables of `benchmarks/results` anew, then the tables of the pages that show them.

Usage: python benchmarks/run_all.py [TABLE ...] [--list | --dry-run | --pages] [--run FOLDER]

A table is made if it is missing, or if its sources, its arguments or the model of its runs have
changed since it was made: an interrupted call goes on with the tables that are left. Runs on
synthetic atlases that several tables share are made once, below FOLDER. A table is replaced when
its command has succeeded; the others are made even if it has not, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from benchmarks._lib.catalog import ENTRIES, RUN_MINUTES, TABLES, Entry
from benchmarks._lib.make_table import Outcome, command_of, make_run, make_tables, shown
from benchmarks._lib.needs import Tools
from benchmarks._lib.page_tables import write_pages
from benchmarks._lib.report import RESULTS
from benchmarks._lib.runs import RUNS, SharedRun
from benchmarks._lib.sources import CHECKOUT, SourceTree
from benchmarks._lib.status import Place, State, Status, age, status_of
from cacl.errors import TableError

LOCK = "run_all.lock"


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line; say what is stale; make it."""
    options = parser().parse_args(arguments)
    names = [name if name.endswith(".md") else f"{name}.md" for name in options.tables]
    unknown = [name for name in names if name not in TABLES]
    if unknown:
        print(f"No such table: {', '.join(unknown)}; --list names all", file=sys.stderr)
        return 2
    tools = Tools(options.tiatoolbox and options.tiatoolbox.absolute())
    place = Place(RESULTS, _in_checkout(options.run), tools, options.accept_model)
    entries = [entry for entry in ENTRIES if not names or set(names) & set(entry.tables)]
    if options.pages:
        return write_all_pages(place)
    with contextlib.chdir(CHECKOUT):
        if options.list or options.dry_run:
            todo = choose(entries, place, remake=options.all or options.quick)
            if options.dry_run:
                show_commands(todo, place, quick=options.quick)
            return 0
        return _make_locked(entries, place, remake=options.all, quick=options.quick)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", nargs="*", metavar="TABLE", help="such as quality; all if none")
    parser.add_argument("--list", action="store_true", help="say what is stale; make nothing")
    parser.add_argument("--dry-run", action="store_true", help="and show the commands in order")
    parser.add_argument("--pages", action="store_true", help="only write the tables of the pages")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--only-stale", action="store_true", help="leave current tables (default)")
    which.add_argument("--all", action="store_true", help="make current tables again, too")
    which.add_argument(
        "--quick", action="store_true", help="show with short commands that they work; no tables"
    )
    parser.add_argument("--run", type=Path, default=RUNS, help="folder of the shared runs")
    parser.add_argument(
        "--accept-model", action="store_true", help="use shared runs of other sources as they are"
    )
    parser.add_argument("--tiatoolbox", type=Path, help="Python of an environment that has it")
    return parser


def choose(entries: Sequence[Entry], place: Place, *, remake: bool) -> list[Entry]:
    """Print the state of all tables; return the entries to make."""
    tree = SourceTree()
    todo, listed = list[Entry](), list[Status]()
    width = max(len(table) for entry in entries for table in entry.tables)
    for entry in entries:
        states = status_of(entry, place, tree)
        listed += states
        for status in states:
            print(f"{status.table:{width}}  {describe(status, entry)}", flush=True)
        is_due = any(status.state is not State.CURRENT for status in states)
        if (is_due or remake) and not states[0].blocked:
            todo.append(entry)
    print(f"\n{summary(listed, todo, place)}", flush=True)
    return todo


def describe(status: Status, entry: Entry) -> str:
    """Return the state of a table as a line."""
    parts = [f"{status.state} ({status.reason})" if status.reason else str(status.state)]
    if status.state is not State.MISSING:
        parts.append(age(status.made))
    parts.append(f"about {entry.minutes:g} min")
    parts += [f"cannot be made here: {reason}" for reason in status.blocked]
    return "; ".join(parts)


def summary(listed: Sequence[Status], todo: Sequence[Entry], place: Place) -> str:
    """Return the number of tables by state, the time to make the rest, and their models."""
    counts = (f"{sum(each.state is state for each in listed)} {state}" for state in State)
    runs = missing_runs(todo, place)
    minutes = sum(entry.minutes for entry in todo) + RUN_MINUTES * len(runs)
    lines = [
        f"{len(listed)} tables: {', '.join(counts)}; {len(todo)} commands to run after "
        f"{len(runs)} shared runs: about {minutes / 60:.1f} h"
    ]
    tables: dict[str, list[str]] = {}
    for status in listed:
        for model in status.models[:1]:
            tables.setdefault(model, []).append(status.table)
    if len(tables) > 1:
        lines.append("tables of different models of the first run:")
        lines += [f"  {model}: {', '.join(names)}" for model, names in tables.items()]
    return "\n".join(lines)


def missing_runs(entries: Sequence[Entry], place: Place) -> list[SharedRun]:
    """Return the shared runs that the entries need and that are not finished."""
    names = dict.fromkeys(name for entry in entries for name in entry.runs)
    runs = [SharedRun.of(place.runs, name) for name in names]
    return [run for run in runs if not run.is_finished]


def show_commands(todo: Sequence[Entry], place: Place, *, quick: bool) -> None:
    """Print the commands in the order in which they run."""
    tree = SourceTree()
    for run in missing_runs(todo, place):
        print(shown(run.command()))
    for entry in todo:
        if not quick or entry.quick is not None:
            print(shown(command_of(entry, place, entry.digest(tree), quick=quick)))


def make(entries: Sequence[Entry], place: Place, *, remake: bool, quick: bool) -> int:
    """Make the runs and tables that are due; return the exit status."""
    todo = choose(entries, place, remake=remake or quick)
    if quick:
        todo = [entry for entry in todo if entry.quick is not None]
    problems: dict[str, str] = {}
    broken = set[str]()
    for run in missing_runs(todo, place):
        name = f"{run.setting}/{run.seed}"
        print(f"shared run {name}: {shown(run.command())}", flush=True)
        if problem := _end(f"shared run {name}", make_run(run, place, SourceTree())):
            problems[f"shared run {name}"] = problem
            broken.add(name)
    for number, entry in enumerate(todo, start=1):
        name = ", ".join(entry.tables)
        if lacking := broken & set(entry.runs):
            problems[name] = f"not made: no shared run {', '.join(sorted(lacking))}"
            continue
        print(f"[{number}/{len(todo)}] {name}, about {entry.minutes:g} min", flush=True)
        if problem := _end(name, make_tables(entry, place, quick=quick)):
            problems[name] = problem
    print(f"\n{len(todo)} commands, {len(problems)} problems")
    for name, problem in problems.items():
        print(f"  {name}: {problem}")
    return int(bool(problems))


def _make_locked(entries: Sequence[Entry], place: Place, *, remake: bool, quick: bool) -> int:
    """Make tables, then pages, unless another process does so in the same folder."""
    place.runs.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(place.runs / LOCK, blocking=False):
            status = make(entries, place, remake=remake, quick=quick)
            return status if quick else max(status, write_all_pages(place))
    except Timeout:
        print(f"Another process makes tables in {place.runs}: wait for it", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; the same command goes on with the tables that are left", file=sys.stderr)
        return 130


def write_all_pages(place: Place) -> int:
    """Write the tables of the pages; return the exit status."""
    try:
        for page in write_pages(CHECKOUT, place.results):
            print(f"written: {page}")
    except TableError as error:
        print(f"The pages are not written: {error}", file=sys.stderr)
        return 1
    return 0


def _end(name: str, outcome: Outcome) -> str | None:
    """Print how a command ended; return its problem."""
    end = f"FAILED, {outcome.problem}" if outcome.problem else "done"
    print(f"  {name}: {end} after {outcome.seconds / 60:.1f} min", flush=True)
    return outcome.problem


def _in_checkout(path: Path) -> Path:
    """Return a path relative to the checkout if it lies in it; the default lies there."""
    absolute = CHECKOUT / path if path == RUNS else path.absolute()
    return absolute.relative_to(CHECKOUT) if absolute.is_relative_to(CHECKOUT) else absolute


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
