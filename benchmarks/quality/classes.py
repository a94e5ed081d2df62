"""Train one model of three classes on a synthetic atlas that stains each independently; test it.

Brush border, cytoplasm and nuclei: one codebook and one mask each, learned from the annotation of
whole cores. Beside it stand colour deconvolution at its best threshold, for each class, and with
`--alone` a model of the first class alone on the same cores. All numbers are of antibodies that
were not trained on.

Example: python benchmarks/classes.py --work scratch/classes --alone
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks._lib.report import write_up
from cacl import tables
from cacl.benchmark.deconvolution import deconvolution_methods
from cacl.benchmark.evaluate import evaluate
from cacl.benchmark.evaluation_set import (
    EvaluationImage,
    EvaluationSet,
    EvaluationSource,
    read_evaluation_set,
)
from cacl.benchmark.method import Method
from cacl.benchmark.metric_sums import MetricSums, measures_with_intervals
from cacl.config import (
    LabelsConfig,
    SegmentConfig,
    SourceConfig,
    TargetClass,
    TargetClassConfig,
    TilesConfig,
)
from cacl.hpa.target_class import label_name
from cacl.model.training.train import TrainingLimits, train
from cacl.phantom import write_phantom
from cacl.phantom.imaging import MASK_VALUES
from cacl.runtime.compute import Compute
from cacl.steps.acquire import acquire
from cacl.steps.catalog import catalog
from cacl.steps.parameters import AcquireOptions, ImageJobs
from cacl.steps.segment import segment
from cacl.steps.select import select
from cacl.steps.tile import tile
from cacl.tables.schemas import TileRow, TileStatRow
from cacl.tables.selection import Split

CLASSES = (
    TargetClass(name="microvilli", cell_type="enterocytes - microvilli"),
    TargetClass(name="cytoplasm", cell_type="enterocytes", location="cytoplasmic", shape="area"),
    TargetClass(name="nucleus", cell_type="enterocytes", location="nuclear", shape="area"),
)
SHOWN = {
    "dice": "Dice, paper's",
    "dice_positive": "Dice, positive tiles",
    "precision": "precision, paper's",
    "recall": "recall, paper's",
    "negative_percent": "negatives stained, %",
    "ccc": "CCC",
}
TISSUE = 0.2


@dataclasses.dataclass(frozen=True)
class Run:
    """The files of one run below a folder."""

    root: Path

    def path(self, name: str) -> Path:
        """Return a file or folder of the run."""
        return self.root / name

    def prepare(self, options: argparse.Namespace) -> None:
        """Draw and tile the atlas, and choose tiles."""
        write_phantom(
            self.path("host"),
            self.path("truth"),
            antibodies=options.antibodies,
            patients=options.patients,
            seed=options.seed,
            jobs=options.threads,
            setting="patterns-a",
        )
        source = SourceConfig(kind="mirror", mirror=self.path("host"))
        failures = self.path("failures.csv")
        entries = {each.name: each.model_dump(exclude={"name"}) for each in CLASSES}
        labels = LabelsConfig(
            classes={name: TargetClassConfig(**entry) for name, entry in entries.items()}
        )
        print(catalog(self.path("catalog"), failures, source, labels, shards=1))
        shard, acquired = self.path("catalog") / "shards/0.parquet", self.path("acquired.parquet")
        how = AcquireOptions(strict=True)
        acquire(shard, self.path("images"), acquired, failures, source, how)
        tile(
            acquired,
            self.path("atlas.zarr"),
            self.path("tiles.parquet"),
            failures,
            TilesConfig(min_tissue_fraction=TISSUE),
            ImageJobs(jobs=options.threads, strict=True),
        )
        select(
            shard,
            [self.path("tiles.parquet")],
            self.path("chosen.parquet"),
            min_tissue_fraction=TISSUE,
            seed=options.seed,
        )

    def train(
        self, name: str, classes: Sequence[TargetClass], options: argparse.Namespace
    ) -> float:
        """Train a model, unless it is there; return the minutes it took."""
        if (self.path(name) / "model.json").exists():
            return 0.0
        start = time.monotonic()
        train(
            self.path("chosen.parquet"),
            self.path("atlas.zarr"),
            self.path(name),
            classes=classes,
            limits=TrainingLimits(options.steps),
            seed=options.seed,
            compute=Compute(threads=options.threads),
        )
        return (time.monotonic() - start) / 60.0

    def segment(self, name: str, threads: int) -> None:
        """Write the masks of the test antibodies."""
        rows = tables.read_frame([self.path("chosen.parquet")], TileRow)
        tested = set(rows.loc[rows["split"] == Split.TEST, "image_id"])
        stats = tables.read_frame([self.path("tiles.parquet")], TileStatRow)
        some = self.path("tested.parquet")
        tables.write_parquet(some, stats[stats["image_id"].isin(tested)], TileStatRow)
        segment(
            some,
            self.path("atlas.zarr"),
            self.path(name),
            self.path("segmented.parquet"),
            self.path("failures.csv"),
            SegmentConfig(morphology="none"),
            threads=threads,
            strict=True,
        )

    def atlas(self, target_class: str, seed: int) -> EvaluationSet:
        """Return the test cores with the truth of one pattern."""
        places = (self.path(name) for name in ("chosen.parquet", "atlas.zarr", "truth"))
        source = EvaluationSource(target_class, *places)
        return read_evaluation_set(source, seed=seed, value=MASK_VALUES[target_class])


def stored(name: str, core: EvaluationImage) -> NDArray[np.float32]:
    """Return a core's mask in the store as a score."""
    return np.asarray(core.store.label(core.image_id, name)[:], dtype=np.float32)


def tallies(atlas: EvaluationSet, methods: Sequence[Method], seed: int) -> list[MetricSums]:
    """Return the sums of every method on one pattern's truth."""
    return [
        tally
        for method in methods
        for outcome in evaluate(method, atlas, seed)
        for tally in outcome.sums
    ]


def lines(found: Sequence[MetricSums], seed: int) -> list[list[str]]:
    """Return the rows of the Markdown table."""
    frame = pd.DataFrame([dataclasses.asdict(one) for one in found])
    rows = []
    for (target_class, method), part in frame.groupby(["evaluation_set", "method"], sort=False):
        row = measures_with_intervals(part, seed)
        cells = [str(target_class), str(method)]
        for name in SHOWN:
            value, low, high = (row[name + end] for end in ("", "_low", "_high"))
            cells.append("" if value is None else f"{value:.3f} ({low:.3f} to {high:.3f})")
        rows.append(cells)
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, run everything, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the atlas")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/classes.md"))
    parser.add_argument("--antibodies", type=int, default=48)
    parser.add_argument("--patients", type=int, default=1)
    parser.add_argument("--steps", type=int, default=None, help="of training; the preset's if none")
    parser.add_argument("--alone", action="store_true", help="train one class alone as well")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    run = Run(options.work)
    run.prepare(options)
    seed = options.seed
    first, times = [], {}
    if options.alone:
        times["one class"] = run.train("alone", (), options)
        run.segment("alone", options.threads)
        alone = Method("CaCL, microvilli alone (K = 1)", functools.partial(stored, "stain"), 0.5)
        first = tallies(run.atlas("microvilli", seed), [alone], seed)
    times["three classes"] = run.train("model", CLASSES, options)
    run.segment("model", options.threads)
    found = []
    for place, target_class in enumerate(CLASSES):
        own = Method("CaCL, K = 3", functools.partial(stored, label_name(place, target_class)), 0.5)
        best = [one for one in deconvolution_methods() if one.threshold is None]
        found += tallies(run.atlas(target_class.name, seed), [own, *best], seed)
        found += first if place == 0 else []
    rows = tables.read_frame([run.path("chosen.parquet")], TileRow)
    kept = rows[rows["selected"]]
    sizes = ", ".join(
        f"{split} {part['antibody_id'].nunique()} antibodies and {len(part)} tiles"
        for split, part in kept.groupby("split", sort=True)
    )
    notes = [
        f"{options.antibodies} antibodies x {options.patients} cores of the setting patterns-a, "
        f"seed {seed}; {sizes}",
        "preset robust; training took "
        + ", ".join(
            f"{minutes:.1f} min for {what}" if minutes else f"place before for {what}"
            for what, minutes in times.items()
        )
        + f", with {options.threads} threads on a machine that did other work as well",
        "in brackets: 95 % bootstrap intervals over the test antibodies; one seed",
        "colour deconvolution has the threshold that is best on the very tiles it is judged on; "
        "CaCL's come from image-wise labels of training and validation antibodies",
    ]
    header = ["class", "method", *SHOWN.values()]
    write_up(options.out, "Three classes, one model", notes, header, lines(found, seed))


if __name__ == "__main__":
    main()
