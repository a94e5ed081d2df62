"""What each part of the method is worth: train without it, and compare on the same test antibodies.

Needs a finished run on the synthetic atlas with its unseen atlas (`make demo`, then
`snakemake -- results/benchmark/unseen/duodenum-a/tested.parquet`). Every variant is trained on the
run's own tiles, with its seed; a difference from its model is paired by antibody.

Example: python benchmarks/ablation.py --run . --seed 0
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import multiprocessing
import tempfile
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from write_up import write_up

from cacl.benchmark.atlas import read_atlas
from cacl.benchmark.cacl_methods import methods
from cacl.benchmark.harness import evaluate
from cacl.benchmark.method import Method
from cacl.benchmark.tally import MEASURES, SUMS, Tally, measures
from cacl.benchmark.unseen import STORE, TESTED, TRUTH
from cacl.intervals import BOOTSTRAP_DRAWS
from cacl.model import data
from cacl.model.checkpoint import Model, load_model
from cacl.model.data import RIM_PX, calibration_tiles, read_rows, training_tiles
from cacl.model.limits import thresholds
from cacl.model.preset import PRESETS, ROBUST, SCOUT, Preset
from cacl.model.train import train
from cacl.store import Store

SHOWN = {"dice": "Dice, paper's", "dice_positive": "Dice, positive tiles", "ccc": "CCC"}
FINAL = "final method"
WHOLE = "robust"
Change = Callable[[Preset], Preset]


SCOUTS, PUPILS = {"scout"}, {"robust", "first pupil"}
ALL = SCOUTS | PUPILS


def changed(names: Collection[str], **changes: object) -> Change:
    """Change the presets of these names, wherever they are in the line of teachers."""

    def change(preset: Preset) -> Preset:
        teacher = change(preset.teacher) if preset.teacher else None
        own = changes if preset.name in names else {}
        return dataclasses.replace(preset, **{"teacher": teacher, **own})  # type: ignore[arg-type]

    return change


def shape(**changes: object) -> Change:
    """Change the pupils' architecture."""
    architecture = dataclasses.replace(ROBUST.architecture, **changes)  # type: ignore[arg-type]
    return changed(PUPILS, architecture=architecture)


def weight(**changes: float) -> Change:
    """Change the weights of the scouts' losses."""
    return changed(SCOUTS, weights=dataclasses.replace(SCOUT.weights, **changes))


def second_pupil(preset: Preset) -> Preset:
    """Let the whole teach one more network like itself."""
    first = dataclasses.replace(preset, name="first pupil")
    return dataclasses.replace(preset, teacher=first, teachers=1, heard=1)


VARIANTS: dict[str, Change] = {
    WHOLE: lambda preset: preset,
    "the scout alone": lambda preset: SCOUT,
    "a second pupil": second_pupil,
    "one scout": changed({"robust"}, teachers=1),
    "every scout is heard": changed({"robust"}, heard=ROBUST.teachers),
    "pupils of 300 steps": changed(PUPILS, steps=300),
    "a rim like the rest": lambda preset: preset,
    "two seeds": changed({"robust"}, members=2),
    "pupils see no eighth of the resolution": shape(far_context=()),
    "pupils see stains, not relief": shape(view="stains"),
    "pupils without moving average": changed(PUPILS, average=0.0),
    "pupils' S follows the pattern too": changed(PUPILS, clear_shared=False),
    "codes of S may crowd C": changed(ALL, apart=0.0),
    "scouts without mosaics": changed(SCOUTS, mosaic=0.0),
    "scouts do not judge their tiles again": changed(SCOUTS, rescore=()),
    "scouts do not insist": weight(insist=0.0),
    "scouts do not avoid the highest": weight(avoid_top=0.0),
    "no stain jitter": changed(ALL, jitter=0.0),
    "no blur": changed(ALL, blur=0.0),
    "no edge by half of the light": changed(ALL, contrast=False),
}
RIMS = {"a rim like the rest": -1}
ONE_THRESHOLD = "one threshold"
JUDGED: dict[str, Change] = {
    "one view": changed({WHOLE}, flips=1),
    ONE_THRESHOLD: changed({WHOLE}),
    "one sure pixel is enough": changed({WHOLE}, sure_part=0.0),
    "a quarter of each part is sure, however large": changed({WHOLE}, sure_px=10**9),
    "no gate": changed({WHOLE}, missed=0.0),
    "the nearest code's choice, no threshold": changed({WHOLE}, surest=0.0),
}


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
        Of each training; the seed is the run's.
    """

    run: Path
    unseen: str
    seed: int
    steps: int | None
    threads: int

    @property
    def tiles(self) -> Path:
        """The table of the tiles to learn from."""
        return self.run / "results/training/tiles.parquet"

    @property
    def store(self) -> Path:
        """The store of the run."""
        return self.run / "results/atlas.zarr"

    def tallies(self, model: Model) -> list[Tally]:
        """Return the sums of each test antibody by a model's masks."""
        [final] = [one for one in methods(model, None, "none", 0) if one.name == FINAL]
        return self.tallies_of(final)

    def tallies_of(self, method: Method) -> list[Tally]:
        """Return the sums of each test antibody by a method's."""
        place = self.run / "results" / "benchmark" / "unseen" / self.unseen
        atlas = read_atlas(
            self.unseen, place / TESTED, place / STORE, place / TRUTH, seed=self.seed
        )
        [outcome] = evaluate(method, atlas, self.seed)
        return list(outcome.tallies)


def trained(plan: Plan, name: str) -> dict[str, list[Tally]]:
    """Train a variant; the whole is the run's own model, and is also judged in other ways."""
    own = name == WHOLE and plan.steps is None
    model = load_model(plan.run / "results/model") if own else fresh(plan, name)
    ways = JUDGED if name == WHOLE else {}
    models = {name: model} | {way: judged(plan, model, change) for way, change in ways.items()}
    if ONE_THRESHOLD in models:
        limits = tuple(dataclasses.replace(one, likely=one.sure) for one in model.thresholds)
        models[ONE_THRESHOLD] = dataclasses.replace(model, thresholds=limits)
    return {way: plan.tallies(one) for way, one in models.items()}


def fresh(plan: Plan, name: str) -> Model:
    """Train a variant on the run's tiles."""
    PRESETS[name] = dataclasses.replace(VARIANTS[name](ROBUST), name=name)
    data.RIM_PX = RIMS.get(name, RIM_PX)
    with tempfile.TemporaryDirectory() as folder:
        given = plan.tiles, plan.store, Path(folder)
        seeds = PRESETS[name].members
        options = {"max_steps": plan.steps, "seed": plan.seed, "threads": plan.threads}
        train(*given, preset=name, seeds=seeds, **options)  # type: ignore[arg-type]
        return load_model(Path(folder))


def judged(plan: Plan, model: Model, change: Change) -> Model:
    """Return a model whose scores become masks in another way."""
    preset = change(model.preset)
    rows, store = read_rows(plan.tiles), Store(plan.store)
    learning = training_tiles(rows, store, plan.seed)
    negatives, _ = calibration_tiles(rows, store, plan.seed)
    limits = thresholds(model.networks, learning, negatives, preset)
    return dataclasses.replace(model, preset=preset, thresholds=limits)


def sums_of(found: Sequence[Tally]) -> NDArray[np.float64]:
    """Return (antibodies, k) sums in the order of `SUMS`."""
    return np.array([[getattr(one, name) for name in SUMS] for one in found], np.float64)


def differences(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (3, measures): how much `other` differs, and the ends of its 95 % interval.

    Equal antibodies are drawn for both; those with the pattern and without it apart.
    """
    rng = np.random.default_rng(0)
    times = np.zeros((BOOTSTRAP_DRAWS, len(one)))
    with_pattern = one[:, SUMS.index("wanted")] > 0
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
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), help="these variants")
    parser.add_argument("--steps", type=int, help="of all networks together; none for the preset's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time")
    parser.add_argument("--threads", type=int, default=1, help="of each")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/ablation.md"))
    options = parser.parse_args(arguments)
    plan = Plan(options.run, options.unseen, options.seed, options.steps, options.threads)
    names = [WHOLE, *(name for name in options.only if name != WHOLE)]
    found: dict[str, NDArray[np.float64]] = {}
    steps = "the preset's steps" if options.steps is None else f"{options.steps} steps in all"
    notes = [
        f"trained on a run's own tiles, tested on the antibodies of an unseen {options.unseen}; "
        f"seed {options.seed}; {steps}",
        f"in brackets: 95 % interval of the difference from `{WHOLE}`, paired by antibody",
    ]
    header = ["variant", *SHOWN.values(), "negatives stained, %"]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, spawn) as pool:
        for done in pool.map(functools.partial(trained, plan), names):
            found |= {name: sums_of(of_each) for name, of_each in done.items()}
            rows = [row(name, found) for name in found]
            write_up(options.out, "What each part is worth", notes, header, rows)


def row(name: str, found: dict[str, NDArray[np.float64]]) -> list[str]:
    """Return a variant's row of the table."""
    values, change = measures(found[name].sum(0)), differences(found[WHOLE], found[name])
    cells = [name]
    for measure in SHOWN:
        number = MEASURES.index(measure)
        low, high = change[1:, number]
        cells.append(f"{values[number]:.3f} ({low:+.3f} to {high:+.3f})")
    return [*cells, f"{values[MEASURES.index('negative_percent')]:.2f}"]


if __name__ == "__main__":
    main()
