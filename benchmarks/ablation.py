"""What each part of the method is worth: train without it, and compare on the same test antibodies.

Needs a finished run on the synthetic atlas with its unseen atlas (`make demo`, then
`snakemake -- results/benchmark/unseen/duodenum-a/tested.parquet`). Every variant is trained on the
run's own tiles; a difference is paired by antibody.

Example: python benchmarks/ablation.py --run . --seed 0
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from write_up import write_up

from cacl.benchmark.atlas import Atlas, read_atlas
from cacl.benchmark.cacl_methods import methods
from cacl.benchmark.harness import evaluate
from cacl.benchmark.tally import MEASURES, SUMS, Tally, measures
from cacl.benchmark.unseen import STORE, TESTED, TRUTH
from cacl.intervals import BOOTSTRAP_DRAWS
from cacl.model.checkpoint import load_model
from cacl.model.preset import PRESETS, ROBUST, SCOUT, Preset, Weights
from cacl.model.train import train

SHOWN = {"dice": "Dice, paper's", "dice_positive": "Dice, positive tiles", "ccc": "CCC"}
FINAL = "final method"
Change = Callable[[Preset], Preset]


def both(**changes: object) -> Change:
    """Change the scout and its pupil."""

    def change(preset: Preset) -> Preset:
        scout = dataclasses.replace(SCOUT, **changes)  # type: ignore[arg-type]
        return dataclasses.replace(preset, scout=scout, **changes)  # type: ignore[arg-type]

    return change


def scout(**changes: object) -> Change:
    """Change the scout."""
    changed = dataclasses.replace(SCOUT, **changes)  # type: ignore[arg-type]
    return lambda preset: dataclasses.replace(preset, scout=changed)


def pupil(**changes: object) -> Change:
    """Change the pupil."""
    return lambda preset: dataclasses.replace(preset, **changes)  # type: ignore[arg-type]


def shape(**changes: object) -> Change:
    """Change the pupil's architecture."""
    changed = dataclasses.replace(ROBUST.architecture, **changes)  # type: ignore[arg-type]
    return pupil(architecture=changed)


def weight(**changes: float) -> Change:
    """Change the weights of the scout's losses."""
    changed: Weights = dataclasses.replace(SCOUT.weights, **changes)
    return scout(weights=changed)


VARIANTS: dict[str, Change] = {
    "robust": lambda preset: preset,
    "the scout alone": lambda preset: SCOUT,
    "two pupils, one after the other": pupil(members=2),
    "pupil sees no eighth of the resolution": shape(far_context=()),
    "pupil sees stains, not relief": shape(view="stains"),
    "pupil without moving average": pupil(average=0.0),
    "pupil's S follows the pattern too": pupil(clear_shared=False),
    "scout without mosaics": scout(mosaic=0.0),
    "scout does not judge its tiles again": scout(rescore=()),
    "scout does not insist": weight(insist=0.0),
    "scout does not avoid the highest": weight(avoid_top=0.0),
    "no stain jitter": both(jitter=0.0),
    "no edge by half of the light": both(contrast=False),
    "one view": pupil(flips=1),
    "one threshold": pupil(likely_area=ROBUST.sure_area),
}


def tallies(name: str, run: Path, atlas: Atlas, seed: int, steps: int | None) -> list[Tally]:
    """Train a variant and return the sums of each test antibody."""
    changed = dataclasses.replace(VARIANTS[name](ROBUST), name=name)
    PRESETS[name] = changed
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        given = run / "results/training/tiles.parquet", run / "results/atlas.zarr", model
        train(*given, preset=name, max_steps=steps, seed=seed)
        [final] = [one for one in methods(load_model(model), None, "none", 0) if one.name == FINAL]
        [outcome] = evaluate(final, atlas, seed)
    return list(outcome.tallies)


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
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/ablation.md"))
    options = parser.parse_args(arguments)
    place = options.run / "results" / "benchmark" / "unseen" / options.unseen
    atlas = read_atlas(
        options.unseen, place / TESTED, place / STORE, place / TRUTH, seed=options.seed
    )
    names = ["robust", *(name for name in options.only if name != "robust")]
    found = {}
    rows = []
    for name in names:
        found[name] = sums_of(tallies(name, options.run, atlas, options.seed, options.steps))
        values = measures(found[name].sum(0))
        change = differences(found["robust"], found[name])
        cells = [name]
        for measure in SHOWN:
            number = MEASURES.index(measure)
            low, high = change[1:, number]
            cells.append(f"{values[number]:.3f} ({low:+.3f} to {high:+.3f})")
        rows.append([*cells, f"{values[MEASURES.index('negative_percent')]:.2f}"])
        print(" | ".join(rows[-1]), flush=True)
    steps = "the preset's steps" if options.steps is None else f"{options.steps} steps in all"
    notes = [
        f"trained on a run's own tiles, tested on the {len(found['robust'])} antibodies of an "
        f"unseen {options.unseen}; seed {options.seed}; {steps}",
        "in brackets: 95 % interval of the difference from `robust`, paired by antibody",
    ]
    header = ["variant", *SHOWN.values(), "negatives stained, %"]
    write_up(options.out, "What each part is worth", notes, header, rows)


if __name__ == "__main__":
    main()
