"""The training curve: what is written, and what is said while it goes on."""

from __future__ import annotations

import csv
import io
import logging
import math
import time
from pathlib import Path

from cacl.errors import TrainingError
from cacl.model.codebook import SHARED, ClassAwareCodebook, perplexity
from cacl.model.objective import Breakdown
from cacl.model.state import State
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
)
COLUMNS = (
    "step",
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
    batch
        Tiles a step.
    steps
        Steps in all, for the progress line.
    """

    def __init__(self, history: list[dict[str, float]], batch: int, steps: int) -> None:
        self.history = history
        self.batch, self.steps = batch, steps
        self.recent: list[dict[str, float]] = []
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
        shared = codebook.book == SHARED
        row: dict[str, float] = {"step": state.step}
        for name in LOSSES:
            values = [values[name] for values in self.recent if name in values]
            if values:
                row[name] = sum(values) / len(values)
        row["perplexity_s"] = float(perplexity(codebook.counts[shared]))
        row["perplexity_c"] = float(perplexity(codebook.counts[~shared]))
        row["dead_codes"] = int(codebook.dead().sum())
        row["c_share"] = float(codebook.counts[~shared].sum() / codebook.counts.sum())
        row["positive_tiles"] = len(state.positive)
        self.history.append(row)
        now = time.monotonic()
        rate = len(self.recent) * self.batch / max(now - self.row_start, 1e-9)
        self.speed.append((state.step, rate))
        self.recent, self.row_start = [], now
        if now - self.said >= SECONDS_BETWEEN_LINES or state.step == self.steps:
            self.said = now
            parts = [f"{name} {row[name]:.4g}" for name in COLUMNS[1:] if name in row]
            log.info(
                "train: step %d of %d, %.1f tiles/s, %s",
                state.step,
                self.steps,
                rate,
                ", ".join(parts),
            )

    def write(self, folder: Path) -> None:
        """Write `training.csv` and `speed.csv`."""
        write_text(folder / CURVE, _csv(COLUMNS, [_formatted(row) for row in self.history]))
        speed = [[str(step), f"{rate:.1f}"] for step, rate in self.speed]
        write_text(folder / SPEED, _csv(("step", "tiles_per_second"), speed))


def _formatted(row: dict[str, float]) -> list[str]:
    return [f"{row[name]:.6g}" if name in row else "" for name in COLUMNS]


def _csv(header: tuple[str, ...], rows: list[list[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
