"""Compare what spike-in controls say of models with what true masks say.

Trains the preset `quick` for several numbers of steps, so that the models differ in quality, and
gives each the controls of the run and the true masks of its test split. Needs a run on the
synthetic atlas up to `results/training/tiles.parquet`. Models stay in the work folder, so that an
interrupted call continues.

Example: python -m benchmarks.quality.controls_agreement --run . --work scratch/agreement
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks._lib.external_sets import evaluation_sets, final_method, sums_by
from benchmarks._lib.report import RESULTS, load_note, write_table
from cacl import tables
from cacl.benchmark.evaluation_set import OWN_SET, EvaluationSet
from cacl.benchmark.metric_sums import MEASURES, measures
from cacl.config import ControlsConfig, SegmentConfig
from cacl.errors import TrainingError
from cacl.model.checkpoint import load_model
from cacl.model.presets import get_preset
from cacl.model.training.train import TrainingFiles, TrainingLimits, train
from cacl.runtime.compute import Compute
from cacl.runtime.openmp import limit_active_waiting
from cacl.steps.controls import controls
from cacl.steps.parameters import ControlFiles
from cacl.tables.control_schemas import MODEL, ControlRow, LimitRow

log = logging.getLogger(__name__)
TILES, STORE = Path("results/training/tiles.parquet"), Path("results/atlas.zarr")
STEPS = (150, 250, 400, 700, 1275)
MIN_DOSE_OD = 0.2
JUDGES = ("control", "true")
HEADER = (
    "model",
    "controls: Dice",
    "true masks: Dice, positive tiles",
    "difference",
    "controls: stained without paint, %",
    "true masks: negatives stained, %",
    "detection limit, OD",
)


@dataclass(frozen=True)
class Judgement:
    """What controls and true masks say of one model; fractions 0 to 1, percentages of cell area."""

    model: str
    control_dice: float
    true_dice: float
    control_percent: float
    true_percent: float
    limit_od: float | None

    def cells(self) -> list[str]:
        """Return the row of the table."""
        return [
            self.model,
            f"{self.control_dice:.3f}",
            f"{self.true_dice:.3f}",
            f"{self.control_dice - self.true_dice:+.3f}",
            f"{self.control_percent:.3f}",
            f"{self.true_percent:.3f}",
            "above the highest dose" if self.limit_od is None else f"{self.limit_od:.2f}",
        ]


def train_models(
    run: Path, work: Path, steps: Sequence[int], seed: int, threads: int
) -> list[Path]:
    """Return the folders of the models; a training without a usable model is left out."""
    folders = []
    for number in steps:
        folder = work / f"steps-{number}"
        if not (folder / "model.json").exists():
            try:
                train(
                    TrainingFiles(run / TILES, run / STORE),
                    folder,
                    preset=get_preset("quick"),
                    limits=TrainingLimits(max_steps=number),
                    seed=seed,
                    compute=Compute(threads=threads),
                )
            except TrainingError as error:
                log.warning("%d steps give no model: %s", number, error)
                continue
        folders.append(folder)
    return folders


def judge(
    folder: Path, run: Path, work: Path, evaluation_set: EvaluationSet, seed: int, threads: int
) -> Judgement:
    """Return what the controls of a run and its true masks say of the model in a folder."""
    out = work / "controls" / folder.name
    controls(
        ControlFiles(tiles=run / TILES, store=run / STORE, model=folder),
        out,
        out / "failures.csv",
        ControlsConfig(),
        SegmentConfig(),
        seed=seed,
        threads=threads,
    )
    rows = tables.read_frame([out / "controls.parquet"], ControlRow)
    rows = rows[rows["method"] == MODEL]
    painted, unpainted = rows[rows["dose_od"] >= MIN_DOSE_OD], rows[rows["dose_od"] == 0.0]
    limits = tables.read_frame([out / "limits.parquet"], LimitRow)
    [limit] = limits.loc[limits["method"] == MODEL, "limit_od"]
    sums = sums_by(final_method(load_model(folder)), evaluation_set, seed)
    truth = dict(zip(MEASURES, measures(sums.sum(0)).tolist(), strict=True))
    return Judgement(
        model=folder.name.replace("-", " "),
        control_dice=float(painted["dice"].mean()),
        true_dice=truth["dice_positive"],
        control_percent=float(unpainted["found_percent"].mean()),
        true_percent=truth["negative_percent"],
        limit_od=None if np.isnan(limit) else float(limit),
    )


def agreement(name: str, control: NDArray[np.float64], true: NDArray[np.float64]) -> str:
    """Return a note: rank correlation over the models, and the mean difference."""
    return (
        f"{name}: Spearman's rank correlation of controls and true masks over {len(true)} models "
        f"{stats.spearmanr(control, true).statistic:.2f}, Kendall's tau "
        f"{stats.kendalltau(control, true).statistic:.2f}; mean difference "
        f"{np.mean(control - true):+.3f}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, train the models, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path(), help="folder of the run")
    parser.add_argument("--work", type=Path, required=True, help="folder for models and controls")
    parser.add_argument("--steps", type=int, nargs="+", default=list(STEPS))
    parser.add_argument("--seed", type=int, default=0, help="of the run and of the trainings")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS / "controls_agreement.md")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    limit_active_waiting()
    load, seed, threads = os.getloadavg()[0], options.seed, options.threads
    folders = train_models(options.run, options.work, options.steps, seed, threads)
    [own] = [each for each in evaluation_sets(options.run, seed) if each.name == OWN_SET]
    judged = [judge(folder, options.run, options.work, own, seed, threads) for folder in folders]
    dice, stained = (
        [np.array([getattr(one, f"{kind}_{name}") for one in judged]) for kind in JUDGES]
        for name in ("dice", "percent")
    )
    notes = [
        f"preset quick, trained for as many steps of all networks as the name says; seed {seed}",
        f"controls: doses of at least {MIN_DOSE_OD:g} OD, on negative cores of antibodies that the "
        "training did not see; true masks: test split of the synthetic atlas",
        agreement("Dice", *dice),
        agreement("stained area of negatives, %", *stained),
        load_note(load),
    ]
    write_table(
        options.out,
        "Spike-in controls against true masks",
        notes,
        HEADER,
        [one.cells() for one in judged],
    )


if __name__ == "__main__":
    main()
