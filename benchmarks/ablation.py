"""What each part of the method is worth: train without it, and compare on the same test antibodies.

Needs a finished run on the synthetic atlas with its unseen atlas (`make demo`, then
`snakemake -- results/benchmark/unseen/duodenum-a/tested.parquet`). Every variant is trained on the
run's own tiles, with its seed; a difference from its model is paired by antibody. `--of scout`
compares scouts that are delivered by themselves, which takes a minute each instead of ten.

Example: python benchmarks/ablation.py --run . --seed 0
and: python benchmarks/ablation.py --run . --of scout --trainings 2 --out scout.md
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import functools
import multiprocessing
import tempfile
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from fused import Fused
from numpy.typing import NDArray
from write_up import write_up

from cacl.benchmark.atlas import Core, read_atlas
from cacl.benchmark.cacl_methods import methods
from cacl.benchmark.harness import evaluate
from cacl.benchmark.method import Method
from cacl.benchmark.tally import MEASURES, SUMS, Tally, measures
from cacl.benchmark.unseen import STORE, TESTED, TRUTH
from cacl.errors import TrainingError
from cacl.intervals import BOOTSTRAP_DRAWS
from cacl.model import data
from cacl.model.checkpoint import Model, load_model
from cacl.model.data import RIM_PX, TileSet, calibration_tiles, read_rows, training_tiles
from cacl.model.judge import scores
from cacl.model.limits import thresholds
from cacl.model.mask import Thresholds
from cacl.model.preset import PRESETS, ROBUST, SCOUT, Preset
from cacl.model.train import train
from cacl.store import Store

SHOWN = {"dice": "Dice, paper's", "dice_positive": "Dice, positive tiles", "ccc": "CCC"}
FINAL = "final method"
WHOLE = "robust"
Change = Callable[[Preset], Preset]
Judge = Callable[["Plan", Model], Model]

SCOUTS, PUPILS = {"scout"}, {"robust", "first pupil"}
ALL = SCOUTS | PUPILS


def changed(names: Collection[str], **changes: object) -> Change:
    """Change the presets of these names, wherever they are in the line of teachers."""

    def change(preset: Preset) -> Preset:
        teacher = change(preset.teacher) if preset.teacher else None
        own = changes if preset.name in names else {}
        return dataclasses.replace(preset, **{"teacher": teacher, **own})  # type: ignore[arg-type]

    return change


def shape(names: Collection[str] = frozenset(PUPILS), **changes: object) -> Change:
    """Change the architecture of these presets, all alike."""
    known = (SCOUT if names == SCOUTS else ROBUST).architecture
    architecture = dataclasses.replace(known, **changes)  # type: ignore[arg-type]
    return changed(names, architecture=architecture)


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
    "pupils see colours alone": shape(view="colours"),
    "pupils without moving average": changed(PUPILS, average=0.0),
    "pupils' S follows the pattern too": changed(PUPILS, clear_shared=False),
    "pupils' codes of S may crowd C": changed(PUPILS, apart=0.0),
    "pupils without stain jitter": changed(PUPILS, jitter=0.0),
    "pupils without blur": changed(PUPILS, blur=0.0),
    "scouts without mosaics": changed(SCOUTS, mosaic=0.0),
    "no edge by half of the light": changed(ALL, contrast=False),
}
OF_A_SCOUT: dict[str, Change] = {
    "scout": lambda preset: preset,
    "sees colours alone": shape(SCOUTS, view="colours"),
    "embeddings of any length": shape(SCOUTS, unit_length=False),
    "random codes, not k-means": changed(SCOUTS, warmup=0),
    "no revival": changed(SCOUTS, revive=False),
    "codes of S may crowd C": changed(SCOUTS, apart=0.0),
    "a quarter of the batch, four times the steps": changed(SCOUTS, batch=4, steps=1600),
    "no clipping": changed(SCOUTS, clip=float("inf")),
    "no cosine": changed(SCOUTS, cosine=False),
    "does not judge its tiles again": changed(SCOUTS, rescore=()),
    "does not insist": weight(insist=0.0),
    "does not avoid the highest": weight(avoid_top=0.0),
    "no stain jitter": changed(SCOUTS, jitter=0.0),
    "no blur": changed(SCOUTS, blur=0.0),
    "no mosaics": changed(SCOUTS, mosaic=0.0),
}
OF = {WHOLE: (ROBUST, VARIANTS), "scout": (SCOUT, OF_A_SCOUT)}
RIMS = {"a rim like the rest": -1}
ALONE = 0.001


@dataclass(frozen=True)
class Plan:
    """What all variants share.

    Parameters
    ----------
    run
        Folder of a finished run.
    unseen
        Which of its unseen atlases.
    of
        `robust`, or `scout`.
    seed, steps, threads
        Of each training; the seed is the run's, and the first training's.
    trainings
        Of each variant, with seeds that follow.
    """

    run: Path
    unseen: str
    of: str
    seed: int
    steps: int | None
    threads: int
    trainings: int

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
        [final] = [one for one in methods(model, None, "none", 0) if one.name == FINAL]
        return self.sums_by(final)

    def sums_by(self, method: Method) -> NDArray[np.float64]:
        """Return the sums of each test antibody by a method's masks."""
        place = self.run / "results" / "benchmark" / "unseen" / self.unseen
        atlas = read_atlas(
            self.unseen, place / TESTED, place / STORE, place / TRUTH, seed=self.seed
        )
        [outcome] = evaluate(method, atlas, self.seed)
        return sums_of(outcome.tallies)


def found_by(plan: Plan, name: str) -> dict[str, NDArray[np.float64]]:
    """Train a variant, as often as planned; the whole is also judged in other ways.

    The whole is the run's own model. A training that is refused counts as masks that are empty.
    """
    if name == WHOLE and plan.steps is None:
        model = load_model(plan.run / "results/model")
        ways = {way: change(plan, model) for way, change in JUDGED.items()}
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


def no_mask(core: Core) -> NDArray[np.float32]:
    """Return a score of 0 everywhere."""
    grid = core.store.meta(core.image_id).grid
    return np.zeros((grid.height, grid.width), np.float32)


def trained(plan: Plan, name: str, seed: int) -> Model:
    """Train a variant on the run's tiles."""
    preset, variants = OF[plan.of]
    PRESETS[name] = dataclasses.replace(variants[name](preset), name=name)
    data.RIM_PX = RIMS.get(name, RIM_PX)
    with tempfile.TemporaryDirectory() as folder:
        given = plan.tiles, plan.store, Path(folder)
        seeds = PRESETS[name].members
        options = {"max_steps": plan.steps, "seed": seed, "threads": plan.threads}
        train(*given, preset=name, seeds=seeds, **options)  # type: ignore[arg-type]
        return load_model(Path(folder))


def negatives_of(plan: Plan) -> TileSet:
    """Return the held-out negative tiles that a run's thresholds come from."""
    return calibration_tiles(read_rows(plan.tiles), Store(plan.store), plan.seed)[0]


def anew(**changes: object) -> Judge:
    """Change the preset's way from scores to masks, and choose thresholds anew."""

    def judge(plan: Plan, model: Model) -> Model:
        preset = dataclasses.replace(model.preset, **changes)  # type: ignore[arg-type]
        learning = training_tiles(read_rows(plan.tiles), Store(plan.store), plan.seed)
        limits = thresholds(model.networks, learning, negatives_of(plan), preset)
        return dataclasses.replace(model, preset=preset, thresholds=limits)

    return judge


def one_threshold(_: Plan, model: Model) -> Model:
    """Let a mask hold sure pixels alone."""
    limits = tuple(dataclasses.replace(one, likely=one.sure) for one in model.thresholds)
    return dataclasses.replace(model, thresholds=limits)


def negatives_alone(plan: Plan, model: Model) -> Model:
    """Let a mask hold what all but 0.1 % of held-out negative pixels stay below."""
    negatives = negatives_of(plan)
    which = torch.nonzero(negatives.negative[:, 0]).flatten()
    found = scores(model.networks, negatives, which, 0, model.preset, model.preset.flips)
    level = float(np.quantile(found, 1.0 - ALONE))
    limits = Thresholds(likely=level, sure=level, rim=level, least=0.0)
    return dataclasses.replace(model, thresholds=(limits,))


def nearest_code(plan: Plan, model: Model) -> Model:
    """Let a mask hold the pixels whose nearest code is of C, as in the paper."""
    networks = [copy.copy(network) for network in model.networks]
    for network in networks:
        network.architecture = dataclasses.replace(network.architecture, temperature=0.0)
    chosen = dataclasses.replace(model, networks=tuple(networks))
    return anew(surest=0.0, flips=1)(plan, chosen)


def fused(plan: Plan, model: Model) -> Model:
    """Fuse scores with the DAB that reconstructions without C lack."""
    networks = tuple(Fused(network).eval() for network in model.networks)
    return anew()(plan, dataclasses.replace(model, networks=networks))  # type: ignore[arg-type]


JUDGED: dict[str, Judge] = {
    "one view": anew(flips=1),
    "one threshold": one_threshold,
    "one threshold, from negatives alone, no gate": negatives_alone,
    "one sure pixel is enough": anew(sure_part=0.0),
    "a quarter of each part is sure, however large": anew(sure_px=10**9),
    "no gate": anew(missed=0.0),
    "half of the soft share, no thresholds, no gate": anew(surest=0.0),
    "the nearest code, enlarged by nearest neighbour, no gate": nearest_code,
    "fused with the DAB that is missing without C": fused,
}


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
    plan = Plan(options.run, options.unseen, of, seed, steps, options.threads, options.trainings)
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
