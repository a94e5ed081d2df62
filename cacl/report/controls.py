"""The spike-in controls of a report: tables, pictures, and what they say in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cacl import tables
from cacl.report.text import NO_BREAK, percent
from cacl.tables.control_schemas import MODEL, ControlCoreRow, ControlRow, LimitRow

FEW_ANTIBODIES = 3


@dataclass(frozen=True)
class Controls:
    """The spike-in controls of a run; all empty if there are none.

    Parameters
    ----------
    rows, limits
        Measures by dose, and detection limits.
    cores
        The cores that were examined.
    pictures
        Paths of the pictures, relative to the report.
    """

    rows: Sequence[ControlRow] = ()
    limits: Sequence[LimitRow] = ()
    cores: Sequence[ControlCoreRow] = ()
    pictures: Sequence[str] = ()

    @property
    def doses(self) -> list[float]:
        """The doses that were painted, without 0, of the first width."""
        return [row.dose_od for row in self._of_model() if row.dose_od]

    @property
    def sentence(self) -> str:
        """What the model finds, in one or two sentences; empty without controls."""
        rows = self._of_model()
        if not rows:
            return ""
        limit = next(limit for limit in self.limits if limit.method == MODEL)
        first, last = rows[0], rows[-1]
        antibodies = f"{first.antibodies} antibod{'y' if first.antibodies == 1 else 'ies'}"
        if limit.limit_od is None:
            found = (
                f"less than half of a painted border is found at every density up to "
                f"{_density(limit.highest_dose_od)}"
            )
        else:
            interval = _limit_interval(limit)
            found = (
                f"borders of at least {_density(limit.limit_od)} of DAB are found{interval}, and "
                f"{percent(last.recall)} of the painted area at {_density(last.dose_od)}"
            )
        few = (
            f" With {antibodies}, the interval over antibodies says little."
            if first.antibodies < FEW_ANTIBODIES
            else ""
        )
        return (
            f"In spike-in controls on {first.cores} negative cores of {antibodies} that training "
            f"did not see, {found}; {percent(first.found_percent / 100.0)} of the cell area of the "
            f"same cores is stained without paint.{few}"
        )

    @property
    def why_none(self) -> str:
        """Why nothing was painted; empty if something was."""
        if self.rows:
            return ""
        if not self.cores:
            return (
                "There are no spike-in controls: no negative core belongs to an antibody that the "
                "training did not see, or the first class is no thin border, or controls.cores is "
                "0. A training leaves out one of at least three negative antibodies."
            )
        return (
            f"There are no spike-in controls: none of the {len(self.cores)} negative cores of "
            f"antibodies that the training did not see can be painted ({self.cores[0].note})."
        )

    def _of_model(self) -> list[ControlRow]:
        """Return the rows of the model at the first width, by dose."""
        rows = [row for row in self.rows if row.method == MODEL]
        return [row for row in rows if row.width_um == rows[0].width_um]


def read_controls(folder: Path | None, out: Path) -> Controls:
    """Read the tables of `cacl controls` and copy its pictures into the report.

    Parameters
    ----------
    folder
        Folder of `cacl controls`; None or a missing one for no controls.
    out
        Folder of the report.

    Raises
    ------
    TableError
        A table is missing or damaged, or a picture has changed.
    """
    if folder is None or not folder.is_dir():
        return Controls()
    pictures = []
    for path in sorted(folder.glob("picture-*.jpg")):
        pictures.append(f"images/controls-{path.stem.removeprefix('picture-')}.jpg")
        tables.check_file(path)
        tables.write_bytes(out / pictures[-1], path.read_bytes())
    return Controls(
        rows=tables.read_parquet(folder / "controls.parquet", ControlRow),
        limits=tables.read_parquet(folder / "limits.parquet", LimitRow),
        cores=tables.read_parquet(folder / "cores.parquet", ControlCoreRow),
        pictures=pictures,
    )


def _density(value: float) -> str:
    return f"{value:.2g}{NO_BREAK}OD"


def _limit_interval(limit: LimitRow) -> str:
    if limit.limit_low is None:
        return ""
    if limit.limit_high is None:
        return f" (95{NO_BREAK}% interval from {limit.limit_low:.2g} to above the highest dose)"
    return f" (95{NO_BREAK}% interval {limit.limit_low:.2g} to {limit.limit_high:.2g})"
