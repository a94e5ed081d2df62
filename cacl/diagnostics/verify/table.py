"""The results of `cacl verify` as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from cacl.diagnostics.verify.run import KindResult


def as_table(results: Sequence[KindResult]) -> Table:
    """Return one row per kind: how many were checked, how many are bad."""
    table = Table(title="Products of the run")
    table.add_column("kind")
    table.add_column("checked", justify="right")
    table.add_column("bad", justify="right")
    for result in results:
        table.add_row(result.kind, str(result.checked), str(result.bad))
    return table
