"""The training curve: what is written, and what is said while it goes on."""

from __future__ import annotations

import csv
import io
import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path

from cacl.errors import TrainingError
from cacl.model.networks.codebook import SHARED, ClassAwareCodebook, perplexity
from cacl.model.training.objective import Breakdown
from cacl.model.training.state import State
from cacl.tables import write_text

log = logging.getLogger(__name__)
CURVE, SPEED = "training.csv", "speed.csv"
STEPS_A_ROW = 10
SECONDS_BETWEEN_LINES = 10.0
LOSSES = (
    "total",
    "reconstruction",
    "commitment",
    "discriminative",
    "mapping",
    "classifier",
    "avoid_mean",
    "avoid_top",
    "elsewhere",
    "claim",
    "insist",
    "told",
)
COLUMNS = (
    "step",
    "network",
    *LOSSES,
    "perplexity_s",
    "perplexity_c",
    "dead_codes",
    "c_share",
    "positive_tiles",
)


class Curve:
    """Rows of `training.csv`, each the mean over ten steps.

    Equal runs give equal bytes, so the speed is in a file of its own, `speed.csv`
    (`step, tiles_per_second`).

    Parameters
    ----------
    history
        Rows so far; more are added to it.
    recent
        Losses of the steps since the last row; more are added to it.
    name
        Of the network that is trained.
    classes
        Places of its classes among all of the training.
    batch
        Tiles a step.
    steps
        Steps of this model, for the progress line.
    """

    def __init__(
        self,
        history: list[dict[str, float]],
        recent: list[dict[str, float]],
        name: str,
        classes: tuple[int, ...],
        batch: int,
        steps: int,
    ) -> None:
        self.history, self.recent = history, recent
        self.name, self.classes, self.batch, self.steps = name, classes, batch, steps
        self.speed: list[tuple[int, float]] = []
        self.start = self.said = self.row_start = time.monotonic()

    def add(self, state: State, found: Breakdown, codebook: ClassAwareCodebook) -> None:
        """Take in one step's losses.

        Raises
        ------
        TrainingError
            A loss is not a number.
        """
        values = {name: float(loss.detach()) for name, loss in found.losses.items()}
        values["total"] = sum(value for name, value in values.items() if name != "classifier")
        broken = [name for name, value in values.items() if not math.isfinite(value)]
        if broken:
            raise TrainingError(
                f"The loss {broken[0]} is not a finite number at step {state.step}, so training "
                "has diverged; try another seed, and look for damaged tiles"
            )
        self.recent.append(values)
        if len(self.recent) == STEPS_A_ROW or state.step == self.steps:
            self._row(state, codebook)

    def _row(self, state: State, codebook: ClassAwareCodebook) -> None:
        shared = codebook.codebook_id == SHARED
        row: dict[str, float] = {"step": state.step}
        for name in LOSSES:
            values = [values[name] for values in self.recent if name in values]
            if values:
                row[name] = sum(values) / len(values)
        row["perplexity_s"] = float(perplexity(codebook.cluster_size[shared]))
        row["dead_codes"] = int(codebook.dead().sum())
        labels = zip(self.classes, state.positive.unbind(1), strict=True)
        for number, (place, positive) in enumerate(labels, start=1):
            counts, which = codebook.cluster_size[codebook.codebook_id == number], _further(place)
            row[f"perplexity_c{which}"] = float(perplexity(counts))
            row[f"c_share{which}"] = float(counts.sum() / codebook.cluster_size.sum())
            row[f"positive_tiles{which}"] = int(positive.sum())
        self.history.append(row)
        now = time.monotonic()
        rate = len(self.recent) * self.batch / max(now - self.row_start, 1e-9)
        self.speed.append((state.step, rate))
        self.recent.clear()
        self.row_start = now
        if now - self.said >= SECONDS_BETWEEN_LINES or state.step == self.steps:
            self.said = now
            parts = [f"{name} {row[name]:.4g}" for name in _columns([row])[1:] if name in row]
            log.info(
                "train: %s: step %d of %d, %.1f tiles/s, %s",
                self.name,
                state.step,
                self.steps,
                rate,
                ", ".join(parts),
            )


def write_curves(folder: Path, curves: Sequence[Curve]) -> None:
    """Write `training.csv` and `speed.csv` of networks that were trained one after the other.

    Steps count on from network to network; the column `network` numbers these from 1.
    """
    rows, speed, before = [], [], 0.0
    for number, curve in enumerate(curves, start=1):
        rows += [row | {"step": before + row["step"], "network": number} for row in curve.history]
        speed += [[f"{before + step:.6g}", f"{rate:.1f}"] for step, rate in curve.speed]
        before = rows[-1]["step"] if rows else before
    columns = _columns(rows)
    write_text(folder / CURVE, _csv(columns, [_formatted(row, columns) for row in rows]))
    write_text(folder / SPEED, _csv(("step", "tiles_per_second"), speed))


def _further(place: int) -> str:
    """Return what the columns of the class at that place end in: nothing for the first."""
    return f"_{place + 1}" if place else ""


def _columns(rows: list[dict[str, float]]) -> tuple[str, ...]:
    """Return all columns: first those of every model, then those of further classes."""
    further = dict.fromkeys(name for row in rows for name in row if name not in COLUMNS)
    return (*COLUMNS, *further)


def _formatted(row: dict[str, float], columns: tuple[str, ...]) -> list[str]:
    return [f"{row[name]:.6g}" if name in row else "" for name in columns]


def _csv(header: tuple[str, ...], rows: list[list[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
