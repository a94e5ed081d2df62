"""One thing to check, what was found of a kind, and the table for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
    """

    kind: str
    name: str
    check: Callable[[], object]


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
    """

    kind: str
    checked: int
    bad: int
    first: str


def as_table(results: Sequence[KindResult]) -> Table:
    """Return one row per kind: how many were checked, how many are bad."""
    table = Table(title="Products of the run")
    table.add_column("kind")
    table.add_column("checked", justify="right")
    table.add_column("bad", justify="right")
    for result in results:
        table.add_row(result.kind, str(result.checked), str(result.bad))
    return table
