"""Compare presets on the evaluation sets of a run: quality, training tiles, minutes.

Needs a run on the synthetic atlas with its external sets (`snakemake --
results/benchmark/external/duodenum-{a,b,c,d,e}/tiles.parquet`). Each preset is trained on the run's
tiles; its difference from the first row is paired by antibody. With `--former` the first row is a
model that another version has trained on these tiles. Models stay in the work folder, so that an
interrupted call continues.

Example: python -m benchmarks.quality.presets --run . --work scratch/presets
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks._lib.external_sets import evaluation_sets, final_method, sums_by
from benchmarks._lib.report import RESULTS, load_note, write_table
from benchmarks._lib.runs import MODEL_DIGITS
from benchmarks.ablation.ablation import SHOWN, differences
from cacl.benchmark.metric_sums import MEASURES, measures
from cacl.model.checkpoint import Model, load_model
from cacl.model.presets import get_preset
from cacl.model.training.plan import stages
from cacl.model.training.train import TrainingFiles, train
from cacl.runtime.compute import Compute
from cacl.runtime.openmp import limit_active_waiting

FORMER = "former version"
HEADER = ("set", "preset", *SHOWN.values(), "negatives stained, %")


def trained(run: Path, folder: Path, preset: str, seed: int, threads: int) -> tuple[Model, float]:
    """Return the model of a preset, and the minutes of its training; train it if it is missing."""
    record = folder / "minutes.json"
    if not record.exists():
        start = time.monotonic()
        train(
            TrainingFiles(run / "results/training/tiles.parquet", run / "results/atlas.zarr"),
            folder,
            preset=get_preset(preset),
            seed=seed,
            compute=Compute(threads=threads),
        )
        record.write_text(json.dumps((time.monotonic() - start) / 60.0))
    return load_model(folder), float(json.loads(record.read_text()))


def describe(preset: str, model: Model, minutes: float) -> str:
    """Return the digest of a model and what the training of its preset takes."""
    plan = stages(get_preset(preset), None)
    tiles = sum(network.steps * network.preset.optim.batch_size for network in plan)
    networks = ", ".join(f"{network.steps}" for network in plan)
    return (
        f"`{preset}`: model {model.digest[:MODEL_DIGITS]}; {tiles:,} tiles, {minutes:.1f} min "
        f"(steps of its networks: {networks})"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, train the presets, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path(), help="folder of the run")
    parser.add_argument("--work", type=Path, required=True, help="folder for the models")
    parser.add_argument("--presets", nargs="+", default=["robust", "quick"])
    parser.add_argument("--former", type=Path, help="folder of a model of another version")
    parser.add_argument("--seed", type=int, default=0, help="of the run and of the trainings")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS / "presets.md")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    limit_active_waiting()
    load, seed = os.getloadavg()[0], options.seed
    models: dict[str, Model] = {}
    notes = []
    if options.former:
        former = models[FORMER] = load_model(options.former)
        digest = former.digest[:MODEL_DIGITS]
        notes.append(f"`{FORMER}`: model {digest} of the preset `{former.preset.name}`")
    for preset in options.presets:
        folder = options.work / f"{preset}-{seed}"
        models[preset], minutes = trained(options.run, folder, preset, seed, options.threads)
        notes.append(describe(preset, models[preset], minutes))
    rows, first = [], next(iter(models))
    for evaluation_set in evaluation_sets(options.run, seed):
        sums = {
            preset: sums_by(final_method(model), evaluation_set, seed)
            for preset, model in models.items()
        }
        base = sums[first]
        for preset, of_preset in sums.items():
            values, change = measures(of_preset.sum(0)), differences(base, of_preset)
            columns = [MEASURES.index(measure) for measure in SHOWN]
            cells = [
                f"{values[index]:.3f} ({change[1, index]:+.3f} to {change[2, index]:+.3f})"
                for index in columns
            ]
            negative = values[MEASURES.index("negative_percent")]
            rows.append([evaluation_set.name, preset, *cells, f"{np.round(negative, 3)}"])
    notes += [
        f"seed {seed} of the atlas, the training and the sets; {options.threads} threads",
        f"in brackets: 95 % interval of the difference from `{first}`, paired by antibody",
        load_note(load),
    ]
    write_table(options.out, "Presets", notes, HEADER, rows, runs=[options.run])


if __name__ == "__main__":
    main()
