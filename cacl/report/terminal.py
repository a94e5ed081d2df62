"""Summary for a terminal: the antibodies with the highest ratios."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape
from rich.table import Table

from cacl import tables
from cacl.runtime.printable import printable
from cacl.tables.schemas import AntibodyRow


def top_antibodies(report: Path, count: int) -> Table:
    """Return the first rows of `antibodies` as a table for the terminal.

    Parameters
    ----------
    report
        Folder of `cacl report`.
    count
        Number of rows.

    Raises
    ------
    TableError
        The folder holds no report of this version.
    """
    rows: list[AntibodyRow] = tables.read_parquet(report / "antibodies.parquet", AntibodyRow)
    table = Table(title="Stained area / cell area, highest first")
    for name in ("rank", "antibody", "gene", "ratio", "95 % interval", "HPA label", "HPA staining"):
        table.add_column(name)
    for row in rows[:count]:
        table.add_row(
            str(row.rank),
            row.antibody_id,
            _cell(row.gene),
            _percent(row.stained_to_cell_ratio),
            f"{_percent(row.ratio_low)} - {_percent(row.ratio_high)}",
            _cell(row.label),
            _cell(row.hpa_staining),
        )
    return table


def _cell(text: str) -> str:
    """Return a text from outside without escape sequences and without Rich's markup."""
    return escape(printable(text)) or "-"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"
