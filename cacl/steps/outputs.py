"""Write the outputs of a step: the table of its results and the table of its failures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cacl import tables
from cacl.errors import StrictError
from cacl.runtime.images import ImageFailure, Outcome
from cacl.tables.schemas import FailureRow


def write_outputs(
    outcome: Outcome[Any],
    record: type,
    out: Path,
    failures: Path,
    *,
    strict: bool,
    made_with: Mapping[str, Any] | None = None,
) -> None:
    """Write the results of a step as Parquet and its failures as CSV.

    Parameters
    ----------
    outcome
        Results, each an instance of `record`, and failures.
    record
        Schema of the table.
    out
        Parquet file of the results.
    failures
        CSV file of the failures.
    strict
        Raise if there are failures.
    made_with
        What the results depend on besides the inputs; see `cacl.tables.made_with`.

    Raises
    ------
    StrictError
        There are failures and `strict` is set; both tables are written all the same.
    """
    tables.write_parquet(out, outcome.results, record, made_with)
    write_failures(failures, outcome.failures, strict=strict)


def write_failures(path: Path, failures: Sequence[ImageFailure], *, strict: bool) -> None:
    """Write the failures of a step as CSV, with its digest beside it.

    Raises
    ------
    StrictError
        There are failures and `strict` is set; the table is written all the same.
    """
    rows = [FailureRow(**asdict(failure) | {"reason": str(failure.reason)}) for failure in failures]
    tables.write_checked_text(path, tables.table_csv(rows, FailureRow))
    if strict and failures:
        raise StrictError(
            f"{len(failures)} image(s) failed and --strict is set; the reasons are in {path}"
        )
