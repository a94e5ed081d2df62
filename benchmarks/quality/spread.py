"""Standard deviation of the results between training seeds on the same tiles.

The seeds of quality.md vary the atlas, the training and the test antibodies; here only the random
numbers of the training vary. Needs a finished run on the synthetic atlas with its external sets
(`make demo`, then `make benchmark`); the run's own model is used for the run's seed.

Example: python -m benchmarks.quality.spread --run . --seeds 3
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks._lib.external_sets import evaluation_sets, final_method, sums_by
from benchmarks._lib.report import RESULTS, write_table
from benchmarks.quality.quality import SHOWN
from cacl.benchmark.evaluation_set import EvaluationSet
from cacl.benchmark.metric_sums import MEASURES, measures
from cacl.model.checkpoint import Model, load_model
from cacl.model.training.train import TrainingFiles, train
from cacl.runtime.compute import Compute


def trained(run: Path, seed: int, run_seed: int, threads: int) -> Model:
    """Return the run's own model, or one trained on the same tiles with another seed."""
    if seed == run_seed:
        return load_model(run / "results/model")
    files = TrainingFiles(run / "results/training/tiles.parquet", run / "results/atlas.zarr")
    with tempfile.TemporaryDirectory() as folder:
        train(files, Path(folder), seed=seed, compute=Compute(threads=threads))
        return load_model(Path(folder))


def measured(model: Model, evaluation_set: EvaluationSet, seed: int) -> list[float]:
    """Return the measures of a model on a set, in the order of `SHOWN`."""
    values = measures(sums_by(final_method(model), evaluation_set, seed).sum(0))
    return [float(values[MEASURES.index(name)]) for name in SHOWN]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, train, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path(), help="folder of a finished run")
    parser.add_argument("--run-seed", type=int, default=0, help="seed of the run")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds, from 0")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS / "spread.md")
    options = parser.parse_args(arguments)
    values: dict[str, list[list[float]]] = {}
    for seed in range(options.seeds):
        model = trained(options.run, seed, options.run_seed, options.threads)
        for evaluation_set in evaluation_sets(options.run, options.run_seed):
            of_seed = measured(model, evaluation_set, options.run_seed)
            values.setdefault(evaluation_set.name, []).append(of_seed)
        write(options.out, options.run, options.run_seed, values)


def write(out: Path, run: Path, run_seed: int, values: dict[str, list[list[float]]]) -> None:
    """Write the table of the seeds so far; `values` has a list per seed for each set."""
    count = len(next(iter(values.values())))
    rows = []
    for name, of_seeds in values.items():
        for measure, column in zip(SHOWN.values(), np.array(of_seeds).T, strict=True):
            cells = [f"{value:.3f}" for value in column]
            sd = f"{column.std(ddof=1):.3f}" if count > 1 else ""
            rows.append([name, measure, *cells, f"{column.mean():.3f}", sd])
    notes = [
        f"{count} trainings on the tiles of the run of seed {run_seed}, tested on the same "
        "antibodies",
        "target: s.d. of Dice at most 0.01",
    ]
    header = ["set", "measure", *(f"seed {seed}" for seed in range(count)), "mean", "s.d."]
    write_table(out, "Same tiles, other training seeds", notes, header, rows, runs=[run])


if __name__ == "__main__":
    main()
