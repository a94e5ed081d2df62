"""Ablation study: train without one part of the method, compare on the same test antibodies.

Needs a finished run on the synthetic atlas with its external sets (`make demo`, then `snakemake --
results/benchmark/external/duodenum-a/tiles.parquet`). Every variant is trained on the run's own
tiles, with its seed; the difference from the default is paired by antibody. `--of teacher` compares
teachers that are used as the final model; one training takes a minute instead of ten.

Example: python -m benchmarks.ablation.ablation --run . --seed 0
and: python -m benchmarks.ablation.ablation --of teacher --trainings 2
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import multiprocessing
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks._lib.external_sets import EXTERNAL_SETS, final_method, sums_by
from benchmarks._lib.postprocessing import POSTPROCESSING
from benchmarks._lib.report import RESULTS, write_table
from benchmarks._lib.variants import ABLATIONS, DEFAULT, EDGE_WIDTHS_PX
from cacl.benchmark.evaluation_set import (
    EvaluationImage,
    EvaluationSource,
    read_evaluation_set,
)
from cacl.benchmark.method import Method
from cacl.benchmark.metric_sums import MEASURES, SUMS, measures
from cacl.errors import TrainingError
from cacl.image import pixel_flags
from cacl.image.pixel_flags import EDGE_PX
from cacl.model.checkpoint import Model, load_model
from cacl.model.data.dataset import calibration_tiles, read_rows, training_tiles
from cacl.model.training.train import TrainingFiles, TrainingLimits, train
from cacl.runtime.compute import Compute
from cacl.stats.intervals import BOOTSTRAP_DRAWS
from cacl.store import Store

EXTERNAL_SET = "duodenum-a"
SHOWN = {"dice": "Dice, paper's", "dice_positive": "Dice, positive tiles", "ccc": "CCC"}


@dataclass(frozen=True)
class Plan:
    """Settings that are equal for all variants.

    Parameters
    ----------
    run
        Folder of a finished run.
    external_set
        Name of the external set to test on.
    seed
        Seed of the run and of the first training.
    steps, threads
        Settings of each training; `steps` is None for the preset's.
    of
        Key of `ABLATIONS`: `robust` or `teacher`.
    trainings
        Number of trainings of each variant, with consecutive seeds.
    """

    run: Path
    external_set: str
    seed: int
    steps: int | None
    threads: int
    of: str = DEFAULT
    trainings: int = 1

    @property
    def tiles(self) -> Path:
        """Table of the training tiles."""
        return self.run / "results/training/tiles.parquet"

    @property
    def store(self) -> Path:
        """Store of the run."""
        return self.run / "results/atlas.zarr"

    def sums(self, model: Model) -> NDArray[np.float64]:
        """Return the metric sums of each test antibody for the masks of a model."""
        return self.sums_by(final_method(model))

    def sums_by(self, method: Method) -> NDArray[np.float64]:
        """Return the metric sums of each test antibody for the masks of a method."""
        source = EvaluationSource.external(self.run / EXTERNAL_SETS / self.external_set)
        return sums_by(method, read_evaluation_set(source, seed=self.seed), self.seed)


def sums_of_variant(plan: Plan, name: str) -> dict[str, NDArray[np.float64]]:
    """Train a variant; return the metric sums by row name.

    The default is the run's own model, and is also evaluated with other post-processing. A training
    that fails counts as empty masks.
    """
    if name == DEFAULT and plan.steps is None:
        model = load_model(plan.run / "results/model")
        rows, store = read_rows(plan.tiles), Store(plan.store)
        training = training_tiles(rows, store, plan.seed)
        negatives, _ = calibration_tiles(rows, store, plan.seed)
        changed = {
            row_name: change(training, negatives, model)
            for row_name, change in POSTPROCESSING.items()
        }
        return {
            row_name: plan.sums(of_row) for row_name, of_row in ({name: model} | changed).items()
        }
    sums, failed = [], 0
    for seed in range(plan.seed, plan.seed + plan.trainings):
        try:
            sums.append(plan.sums(trained(plan, name, seed)))
        except TrainingError as error:
            print(f"{name}, seed {seed}: {error}")
            failed += 1
            sums.append(plan.sums_by(Method("empty mask", no_mask, 0.5)))
    row_name = f"{name} ({failed} of {plan.trainings} failed)" if failed else name
    return {row_name: np.sum(sums, axis=0)}


def no_mask(core: EvaluationImage) -> NDArray[np.float32]:
    """Return a score of 0 everywhere."""
    grid = core.store.meta(core.image_id).grid
    return np.zeros((grid.height, grid.width), np.float32)


def trained(plan: Plan, name: str, seed: int) -> Model:
    """Train a variant on the run's tiles."""
    preset, variants = ABLATIONS[plan.of]
    variant = dataclasses.replace(variants[name](preset), name=name)
    pixel_flags.EDGE_PX = EDGE_WIDTHS_PX.get(name, EDGE_PX)
    with tempfile.TemporaryDirectory() as folder:
        train(
            TrainingFiles(plan.tiles, plan.store),
            Path(folder),
            preset=variant,
            limits=TrainingLimits(plan.steps),
            seed=seed,
            compute=Compute(threads=plan.threads),
        )
        return load_model(Path(folder), variant)


def differences(default: NDArray[np.float64], variant: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the paired difference of two methods from their sums (antibodies, k).

    The bootstrap draws the same antibodies for both, separately from those with the target class
    and those without it.

    Returns
    -------
    (3, measures): variant - default, and the ends of the 95 % interval.
    """
    rng = np.random.default_rng(0)
    weights = np.zeros((BOOTSTRAP_DRAWS, len(default)))
    positive = default[:, SUMS.index("true_sum")] > 0
    for indices in (np.flatnonzero(positive), np.flatnonzero(~positive)):
        uniform = np.full(len(indices), 1.0 / max(1, len(indices)))
        weights[:, indices] = rng.multinomial(len(indices), uniform, BOOTSTRAP_DRAWS)
    draws = measures(weights @ variant) - measures(weights @ default)
    value = measures(variant.sum(0)) - measures(default.sum(0))
    return np.stack([value, *np.nanquantile(draws, [0.025, 0.975], axis=0)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, train every variant, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path(), help="folder of a finished run")
    parser.add_argument("--external-set", default=EXTERNAL_SET, help="set to test on")
    parser.add_argument("--of", choices=list(ABLATIONS), default=DEFAULT, help="base preset")
    parser.add_argument("--only", nargs="*", help="variants to train; all by default")
    parser.add_argument("--steps", type=int, help="total of all networks; the preset's by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trainings", type=int, default=1, help="per variant")
    parser.add_argument("--jobs", type=int, default=2, help="parallel trainings")
    parser.add_argument("--threads", type=int, default=1, help="per training")
    parser.add_argument("--out", type=Path, help="named after base preset and set by default")
    options = parser.parse_args(arguments)
    of, seed, steps = options.of, options.seed, options.steps
    out = options.out or RESULTS / default_name(of, options.external_set)
    plan = Plan(
        options.run, options.external_set, seed, steps, options.threads, of, options.trainings
    )
    variants = ABLATIONS[of][1]
    names = [of, *(name for name in options.only or variants if name != of)]
    sums: dict[str, NDArray[np.float64]] = {}
    length = "the preset's steps" if steps is None else f"{steps} steps in total"
    seeds = ", ".join(str(seed + number) for number in range(options.trainings))
    notes = [
        f"trained on a run's own tiles, tested on the antibodies of the external set "
        f"{options.external_set}; the run of seed {seed}; {length}",
        f"in brackets: 95 % interval of the difference from `{of}`, paired by antibody",
        f"trainings of each variant, summed: {options.trainings} (seeds {seeds})",
    ]
    header = ["variant", *SHOWN.values(), "negatives stained, %"]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, spawn) as pool:
        for of_variant in pool.map(functools.partial(sums_of_variant, plan), names):
            sums |= of_variant
            rows = [row(name, sums) for name in sums]
            write_table(out, "Ablation study", notes, header, rows, runs=[options.run])


def default_name(of: str, external_set: str) -> str:
    """Return the name of the table of a base preset on a set."""
    parts = ["ablation", *[of] * (of != DEFAULT), *[external_set] * (external_set != EXTERNAL_SET)]
    return f"{'_'.join(parts)}.md"


def row(name: str, sums: dict[str, NDArray[np.float64]]) -> list[str]:
    """Return a variant's row of the table; it is compared with the first entry of `sums`."""
    default = next(iter(sums.values()))
    values, change = measures(sums[name].sum(0)), differences(default, sums[name])
    cells = [name]
    for measure in SHOWN:
        index = MEASURES.index(measure)
        low, high = change[1:, index]
        cells.append(f"{values[index]:.3f} ({low:+.3f} to {high:+.3f})")
    return [*cells, f"{values[MEASURES.index('negative_percent')]:.2f}"]


if __name__ == "__main__":
    main()
