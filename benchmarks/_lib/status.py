"""Whether the tables of `benchmarks/results` are those of the present sources and model."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path

from benchmarks._lib.catalog import Entry
from benchmarks._lib.needs import Tools, unmet
from benchmarks._lib.runs import MODEL, SharedRun, model_digest
from benchmarks._lib.sources import SourceTree

FACT = re.compile(r"^- (date|command|sources|model): (.*)$", re.MULTILINE)


class State(StrEnum):
    """Whether a table is up to date."""

    CURRENT = "current"
    STALE = "stale"
    MISSING = "missing"


@dataclass(frozen=True)
class Place:
    """Where tables, runs and tools are.

    Parameters
    ----------
    results
        Folder of the tables.
    runs
        Folder of the shared runs.
    tools
        Interpreters of other software.
    accept_model
        Whether runs of other sources count as they are.
    """

    results: Path
    runs: Path
    tools: Tools = field(default_factory=Tools)
    accept_model: bool = False


@dataclass(frozen=True)
class Status:
    """State of a table, why, when it was made, and why it cannot be made here.

    Parameters
    ----------
    table
        Name of its file.
    state
        Whether it is up to date.
    reason
        Why it is stale; empty if it is not.
    made
        Date in its header; None if there is none.
    models
        Digests of the models in its header.
    blocked
        What is missing to make it here, with the remedy.
    """

    table: str
    state: State
    reason: str
    made: date | None
    models: tuple[str, ...]
    blocked: tuple[str, ...]


def read_facts(path: Path) -> dict[str, str]:
    """Return date, command, digests of a table's header, as far as it has them."""
    return dict(FACT.findall(path.read_text(encoding="utf-8").partition("\n| ")[0]))


def status_of(entry: Entry, place: Place, tree: SourceTree) -> list[Status]:
    """Return the status of each table of an entry."""
    blocked = tuple(_blocked(entry, place, tree))
    return [_status(entry, table, place, tree, blocked) for table in entry.tables]


def _status(
    entry: Entry, table: str, place: Place, tree: SourceTree, blocked: tuple[str, ...]
) -> Status:
    path = place.results / table
    if not path.exists():
        return Status(table, State.MISSING, "", None, (), blocked)
    facts = read_facts(path)
    reason = _why_stale(entry, facts, place.runs, tree)
    state = State.STALE if reason else State.CURRENT
    models = tuple(filter(None, facts.get("model", "").split(", ")))
    return Status(table, state, reason or "", _date(facts), models, blocked)


def _why_stale(entry: Entry, facts: Mapping[str, str], runs: Path, tree: SourceTree) -> str | None:
    if "sources" not in facts:
        return "made before digests were recorded"
    if facts["sources"] != entry.digest(tree):
        return "sources changed since it was made"
    if not has_arguments(facts.get("command", ""), entry):
        return f"made with other arguments than {entry.arguments or 'none'}"
    present = [model_digest(runs / run) for run in entry.runs if (runs / run / MODEL).exists()]
    if len(present) == len(entry.runs) and ", ".join(present) != facts.get("model", ""):
        return "made from another model than that of the present run"
    return None


def has_arguments(command: str, entry: Entry) -> bool:
    """Return whether the command in a header has the arguments of an entry.

    Words with a name in braces stand for any text; `--out` does not count.
    """
    words = shlex.split(command.strip("`"))
    if words[:3] != ["python", "-m", entry.module]:
        return False
    given = words[3:]
    if "--out" in given:
        start = given.index("--out")
        del given[start : start + 2]
    wanted = shlex.split(entry.arguments)
    return len(given) == len(wanted) and all(
        "{" in word or word == other for word, other in zip(wanted, given, strict=True)
    )


def _blocked(entry: Entry, place: Place, tree: SourceTree) -> Iterator[str]:
    yield from unmet(entry.needs, place.tools)
    if not place.accept_model:
        problems = (SharedRun.of(place.runs, run).problem(tree) for run in entry.runs)
        yield from filter(None, problems)


def _date(facts: Mapping[str, str]) -> date | None:
    try:
        return date.fromisoformat(facts.get("date", ""))
    except ValueError:
        return None


def age(made: date | None) -> str:
    """Return date and age of a table."""
    if made is None:
        return "no date"
    days = (datetime.now(UTC).date() - made).days
    return f"{made}, {days} day{'' if days == 1 else 's'} old"
