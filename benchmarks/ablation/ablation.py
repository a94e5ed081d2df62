"""What each part of the method is worth: train without it, and compare on the same test antibodies.

Needs a finished run on the synthetic atlas with its unseen atlas (`make demo`, then
`snakemake -- results/benchmark/external/duodenum-a/tiles.parquet`). Every variant is trained on the
run's own tiles, with its seed; a difference from its model is paired by antibody. `--of teacher`
compares teachers that are delivered by themselves, which takes a minute each instead of ten.

Example: python benchmarks/ablation.py --run . --seed 0
and: python benchmarks/ablation.py --run . --of teacher --trainings 2 --out teacher.md
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

from benchmarks._lib.external_sets import final_method, sums_by
from benchmarks._lib.postprocessing import JUDGED
from benchmarks._lib.report import write_up
from benchmarks._lib.variants import EDGE_WIDTHS_PX, OF, WHOLE
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
from cacl.model.training.train import TrainingLimits, train
from cacl.runtime.compute import Compute
from cacl.stats.intervals import BOOTSTRAP_DRAWS
from cacl.store import Store

SHOWN = {"dice": "Dice, paper's", "dice_positive": "Dice, positive tiles", "ccc": "CCC"}


@dataclass(frozen=True)
class Plan:
    """What all variants share.

    Parameters
    ----------
    run
        Folder of a finished run.
    unseen
        Which of its unseen atlases.
    seed, steps, threads
        Of each training; the seed is the run's, and the first training's.
    of
        `robust`, or `teacher`.
    trainings
        Of each variant, with seeds that follow.
    """

    run: Path
    unseen: str
    seed: int
    steps: int | None
    threads: int
    of: str = WHOLE
    trainings: int = 1

    @property
    def tiles(self) -> Path:
        """The table of the tiles to learn from."""
        return self.run / "results/training/tiles.parquet"

    @property
    def store(self) -> Path:
        """The store of the run."""
        return self.run / "results/atlas.zarr"

    def sums(self, model: Model) -> NDArray[np.float64]:
        """Return the sums of each test antibody by a model's masks."""
        return self.sums_by(final_method(model))

    def sums_by(self, method: Method) -> NDArray[np.float64]:
        """Return the sums of each test antibody by a method's masks."""
        place = self.run / "results" / "benchmark" / "external" / self.unseen
        atlas = read_evaluation_set(EvaluationSource.external(place), seed=self.seed)
        return sums_by(method, atlas, self.seed)


def found_by(plan: Plan, name: str) -> dict[str, NDArray[np.float64]]:
    """Train a variant, as often as planned; the whole is also judged in other ways.

    The whole is the run's own model. A training that is refused counts as masks that are empty.
    """
    if name == WHOLE and plan.steps is None:
        model = load_model(plan.run / "results/model")
        rows, store = read_rows(plan.tiles), Store(plan.store)
        learning = training_tiles(rows, store, plan.seed)
        negatives, _ = calibration_tiles(rows, store, plan.seed)
        ways = {way: change(learning, negatives, model) for way, change in JUDGED.items()}
        return {way: plan.sums(one) for way, one in ({name: model} | ways).items()}
    found, refused = [], 0
    for seed in range(plan.seed, plan.seed + plan.trainings):
        try:
            found.append(plan.sums(trained(plan, name, seed)))
        except TrainingError as error:
            print(f"{name}, seed {seed}: {error}")
            refused += 1
            found.append(plan.sums_by(Method("nothing", no_mask, 0.5)))
    told = f"{name} ({refused} of {plan.trainings} refused)" if refused else name
    return {told: np.sum(found, axis=0)}


def no_mask(core: EvaluationImage) -> NDArray[np.float32]:
    """Return a score of 0 everywhere."""
    grid = core.store.meta(core.image_id).grid
    return np.zeros((grid.height, grid.width), np.float32)


def trained(plan: Plan, name: str, seed: int) -> Model:
    """Train a variant on the run's tiles."""
    preset, variants = OF[plan.of]
    variant = dataclasses.replace(variants[name](preset), name=name)
    pixel_flags.EDGE_PX = EDGE_WIDTHS_PX.get(name, EDGE_PX)
    with tempfile.TemporaryDirectory() as folder:
        given = plan.tiles, plan.store, Path(folder)
        limits, compute = TrainingLimits(plan.steps), Compute(threads=plan.threads)
        train(*given, preset=variant, limits=limits, seed=seed, compute=compute)
        return load_model(Path(folder), variant)


def differences(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (3, measures): how much `other` differs, and the ends of its 95 % interval.

    Equal antibodies are drawn for both; those with the pattern and without it apart.
    """
    rng = np.random.default_rng(0)
    times = np.zeros((BOOTSTRAP_DRAWS, len(one)))
    with_pattern = one[:, SUMS.index("true_sum")] > 0
    for members in (np.flatnonzero(with_pattern), np.flatnonzero(~with_pattern)):
        even = np.full(len(members), 1.0 / max(1, len(members)))
        times[:, members] = rng.multinomial(len(members), even, BOOTSTRAP_DRAWS)
    drawn = measures(times @ other) - measures(times @ one)
    value = measures(other.sum(0)) - measures(one.sum(0))
    return np.stack([value, *np.nanquantile(drawn, [0.025, 0.975], axis=0)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, train every variant, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path(), help="folder of a finished run")
    parser.add_argument("--unseen", default="duodenum-a", help="which unseen atlas")
    parser.add_argument("--of", choices=list(OF), default=WHOLE, help="what is compared")
    parser.add_argument("--only", nargs="*", help="these variants")
    parser.add_argument("--steps", type=int, help="of all networks together; none for the preset's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trainings", type=int, default=1, help="of each variant")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time")
    parser.add_argument("--threads", type=int, default=1, help="of each")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/ablation.md"))
    options = parser.parse_args(arguments)
    of, seed, steps = options.of, options.seed, options.steps
    plan = Plan(options.run, options.unseen, seed, steps, options.threads, of, options.trainings)
    variants = OF[of][1]
    names = [of, *(name for name in options.only or variants if name != of)]
    found: dict[str, NDArray[np.float64]] = {}
    long = "the preset's steps" if steps is None else f"{steps} steps in all"
    seeds = ", ".join(str(seed + number) for number in range(options.trainings))
    notes = [
        f"trained on a run's own tiles, tested on the antibodies of an unseen {options.unseen}; "
        f"the run of seed {seed}; {long}",
        f"in brackets: 95 % interval of the difference from `{of}`, paired by antibody",
        f"trainings of each variant, added up: {options.trainings} (seeds {seeds})",
    ]
    header = ["variant", *SHOWN.values(), "negatives stained, %"]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, spawn) as pool:
        for done in pool.map(functools.partial(found_by, plan), names):
            found |= done
            rows = [row(name, found) for name in found]
            write_up(options.out, "What each part is worth", notes, header, rows)


def row(name: str, found: dict[str, NDArray[np.float64]]) -> list[str]:
    """Return a variant's row of the table; the first of all is what it is compared with."""
    whole = next(iter(found.values()))
    values, change = measures(found[name].sum(0)), differences(whole, found[name])
    cells = [name]
    for measure in SHOWN:
        number = MEASURES.index(measure)
        low, high = change[1:, number]
        cells.append(f"{values[number]:.3f} ({low:+.3f} to {high:+.3f})")
    return [*cells, f"{values[MEASURES.index('negative_percent')]:.2f}"]


if __name__ == "__main__":
    main()
