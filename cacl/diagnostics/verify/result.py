"""One thing to check, what was found of a kind, and the table for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table


@dataclass(frozen=True)
class Item:
    """One thing to check.

    Parameters
    ----------
    kind
        What it is, such as `table`; results are counted by kind.
    name
        Its path or identifier.
    check
        Raises an error of `cacl.errors` that says what is wrong, and the remedy.
    product
        The file or folder of which a job of the workflow writes all or nothing; None if there is
        no such.
    """

    kind: str
    name: str
    check: Callable[[], object]
    product: Path | None = None


@dataclass(frozen=True)
class KindResult:
    """What was found of one kind.

    Parameters
    ----------
    kind
        What was checked, such as `table`.
    checked, bad
        How many things were checked, and how many of them are bad.
    first
        What is wrong with the first bad one, and the remedy; empty if all are good.
    unfinished
        How many could not be checked, because a job of the workflow writes them, or was killed.
    """

    kind: str
    checked: int
    bad: int
    first: str
    unfinished: int = 0


def as_table(results: Sequence[KindResult]) -> Table:
    """Return one row per kind: how many were checked, are bad, are unfinished."""
    table = Table(title="Products of the run")
    table.add_column("kind")
    table.add_column("checked", justify="right")
    table.add_column("bad", justify="right")
    table.add_column("unfinished", justify="right")
    for result in results:
        numbers = (result.checked, result.bad, result.unfinished)
        table.add_row(result.kind, *map(str, numbers))
    return table
