"""How far models differ that are trained on the same tiles with other seeds.

quality.md's seeds draw another atlas, other training and other test antibodies each; here only
what is random in training differs. Needs a finished run on the synthetic atlas with its unseen
atlases (`make demo`, then `make benchmark`); the run's own model is that of the run's seed.

Example: python benchmarks/spread.py --run . --seeds 3
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks._lib.external_sets import atlases, final_method, sums_by
from benchmarks._lib.report import write_up
from benchmarks.quality.quality import SHOWN
from cacl.benchmark.evaluation_set import EvaluationSet
from cacl.benchmark.metric_sums import MEASURES, measures
from cacl.model.checkpoint import Model, load_model
from cacl.model.training.train import train
from cacl.runtime.compute import Compute


def trained(run: Path, seed: int, own: int, threads: int) -> Model:
    """Return the run's own model, or one trained on the same tiles with another seed."""
    if seed == own:
        return load_model(run / "results/model")
    tiles, store = run / "results/training/tiles.parquet", run / "results/atlas.zarr"
    with tempfile.TemporaryDirectory() as folder:
        train(tiles, store, Path(folder), seed=seed, compute=Compute(threads=threads))
        return load_model(Path(folder))


def judged(model: Model, atlas: EvaluationSet, seed: int) -> list[float]:
    """Return a model's measures on an atlas, in the order of `SHOWN`."""
    values = measures(sums_by(final_method(model), atlas, seed).sum(0))
    return [float(values[MEASURES.index(name)]) for name in SHOWN]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, train, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path(), help="folder of a finished run")
    parser.add_argument("--own", type=int, default=0, help="the run's seed")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/spread.md"))
    options = parser.parse_args(arguments)
    found: dict[str, list[list[float]]] = {}
    for seed in range(options.seeds):
        model = trained(options.run, seed, options.own, options.threads)
        for atlas in atlases(options.run, options.own):
            found.setdefault(atlas.name, []).append(judged(model, atlas, options.own))
        write(options.out, options.own, found)


def write(out: Path, own: int, found: dict[str, list[list[float]]]) -> None:
    """Write what is known so far."""
    count = len(next(iter(found.values())))
    rows = []
    for name, of_seeds in found.items():
        values = np.array(of_seeds)
        for number, measure in enumerate(SHOWN.values()):
            each = [f"{value:.3f}" for value in values[:, number]]
            spread = f"{values[:, number].std(ddof=1):.3f}" if count > 1 else ""
            rows.append([name, measure, *each, f"{values[:, number].mean():.3f}", spread])
    notes = [
        f"{count} trainings on the tiles of the run of seed {own}, judged on the same antibodies",
        "target: s.d. of Dice at most 0.01",
    ]
    header = ["atlas", "measure", *(f"seed {seed}" for seed in range(count)), "mean", "s.d."]
    write_up(out, "Equal tiles, other seeds", notes, header, rows)


if __name__ == "__main__":
    main()
