"""Train one model of three classes on a synthetic atlas that stains each independently; test it.

Brush border, cytoplasm and nuclei have one codebook and one mask each, trained from the annotation
of whole cores. Baselines: colour deconvolution with the best threshold for each class, and with
`--alone` a model of the first class alone on the same cores. All results are of test antibodies.

Example: python -m benchmarks.quality.classes --work scratch/classes --alone
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

from benchmarks._lib.report import RESULTS, write_table
from cacl import tables
from cacl.benchmark.deconvolution import deconvolution_methods
from cacl.benchmark.evaluate import evaluate
from cacl.benchmark.evaluation_set import (
    EvaluationImage,
    EvaluationSet,
    EvaluationSource,
    read_evaluation_set,
)
from cacl.benchmark.ground_truth import PhantomTruth
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
from cacl.model.training.train import TrainingFiles, TrainingLimits, train
from cacl.phantom import write_phantom
from cacl.phantom.imaging import MASK_VALUES
from cacl.runtime.compute import Compute
from cacl.steps.acquire import acquire
from cacl.steps.catalog import catalog
from cacl.steps.parameters import AcquireOptions, ImageJobs, SelectionFiles
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
MIN_TISSUE = 0.2


@dataclasses.dataclass(frozen=True)
class Run:
    """The files of one run below a folder."""

    root: Path

    def path(self, name: str) -> Path:
        """Return a file or folder of the run."""
        return self.root / name

    def prepare(self, options: argparse.Namespace) -> None:
        """Generate and tile the atlas, and select tiles."""
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
        classes = {
            target_class.name: TargetClassConfig(**target_class.model_dump(exclude={"name"}))
            for target_class in CLASSES
        }
        labels = LabelsConfig(classes=classes)
        print(catalog(self.path("catalog"), failures, source, labels, shards=1))
        shard, acquired = self.path("catalog") / "shards/0.parquet", self.path("acquired.parquet")
        acquire_options = AcquireOptions(strict=True)
        acquire(shard, self.path("images"), acquired, failures, source, acquire_options)
        tile(
            acquired,
            self.path("atlas.zarr"),
            self.path("tiles.parquet"),
            failures,
            TilesConfig(min_tissue_fraction=MIN_TISSUE),
            ImageJobs(jobs=options.threads, strict=True),
        )
        select(
            SelectionFiles(
                images=shard,
                tiles=[self.path("tiles.parquet")],
                store=self.path("atlas.zarr"),
            ),
            self.path("selected.parquet"),
            min_tissue_fraction=MIN_TISSUE,
            seed=options.seed,
        )

    def train(
        self, name: str, classes: Sequence[TargetClass], options: argparse.Namespace
    ) -> float:
        """Train a model unless it exists; return the minutes."""
        if (self.path(name) / "model.json").exists():
            return 0.0
        start = time.monotonic()
        train(
            TrainingFiles(self.path("selected.parquet"), self.path("atlas.zarr")),
            self.path(name),
            classes=classes,
            limits=TrainingLimits(options.steps),
            seed=options.seed,
            compute=Compute(threads=options.threads),
        )
        return (time.monotonic() - start) / 60.0

    def segment(self, name: str, threads: int) -> None:
        """Write the masks of the test antibodies."""
        rows = tables.read_frame([self.path("selected.parquet")], TileRow)
        test_images = set(rows.loc[rows["split"] == Split.TEST, "image_id"])
        stats = tables.read_frame([self.path("tiles.parquet")], TileStatRow)
        test_tiles = self.path("test_tiles.parquet")
        tables.write_parquet(test_tiles, stats[stats["image_id"].isin(test_images)], TileStatRow)
        segment(
            test_tiles,
            self.path("atlas.zarr"),
            self.path(name),
            self.path("segmented.parquet"),
            self.path("failures.csv"),
            SegmentConfig(morphology="none"),
            threads=threads,
            strict=True,
        )

    def evaluation_set(self, target_class: str, seed: int) -> EvaluationSet:
        """Return the test cores with the ground truth of one class."""
        tiles, store, folder = map(self.path, ("selected.parquet", "atlas.zarr", "truth"))
        truth = PhantomTruth(folder, MASK_VALUES[target_class])
        source = EvaluationSource(target_class, tiles, store, truth)
        return read_evaluation_set(source, seed=seed)


def stored(name: str, core: EvaluationImage) -> NDArray[np.float32]:
    """Return a mask of the store as a score."""
    return np.asarray(core.store.label(core.image_id, name)[:], dtype=np.float32)


def metric_sums(
    evaluation_set: EvaluationSet, methods: Sequence[Method], seed: int
) -> list[MetricSums]:
    """Return the sums of every method on the ground truth of one class."""
    return [
        sums
        for method in methods
        for outcome in evaluate(method, evaluation_set, seed)
        for sums in outcome.sums
    ]


def table_rows(sums: Sequence[MetricSums], seed: int) -> list[list[str]]:
    """Return the rows of the table."""
    frame = pd.DataFrame([dataclasses.asdict(of_antibody) for of_antibody in sums])
    rows = []
    for (target_class, method), group in frame.groupby(["evaluation_set", "method"], sort=False):
        values = measures_with_intervals(group, seed)
        cells = [str(target_class), str(method)]
        for name in SHOWN:
            value, low, high = (values[name + end] for end in ("", "_low", "_high"))
            cells.append("" if value is None else f"{value:.3f} ({low:.3f} to {high:.3f})")
        rows.append(cells)
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, run everything, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the atlas")
    parser.add_argument("--out", type=Path, default=RESULTS / "classes.md")
    parser.add_argument("--antibodies", type=int, default=48)
    parser.add_argument("--patients", type=int, default=1)
    parser.add_argument(
        "--steps", type=int, default=None, help="of training; the preset's by default"
    )
    parser.add_argument(
        "--alone", action="store_true", help="also train a model of the first class alone"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    run = Run(options.work)
    run.prepare(options)
    seed = options.seed
    minutes: dict[str, float] = {}
    of_one_class: list[MetricSums] = []
    if options.alone:
        minutes["one class"] = run.train("alone", (), options)
        run.segment("alone", options.threads)
        alone = Method("CaCL, microvilli alone (K = 1)", functools.partial(stored, "stain"), 0.5)
        of_one_class = metric_sums(run.evaluation_set("microvilli", seed), [alone], seed)
    minutes["three classes"] = run.train("model", CLASSES, options)
    run.segment("model", options.threads)
    baselines = [method for method in deconvolution_methods() if method.threshold is None]
    sums: list[MetricSums] = []
    for class_index, target_class in enumerate(CLASSES):
        score = functools.partial(stored, label_name(class_index, target_class))
        methods = [Method("CaCL, K = 3", score, 0.5), *baselines]
        sums += metric_sums(run.evaluation_set(target_class.name, seed), methods, seed)
        sums += of_one_class if class_index == 0 else []
    rows = tables.read_frame([run.path("selected.parquet")], TileRow)
    selected = rows[rows["selected"]]
    sizes = ", ".join(
        f"{split} {tiles['antibody_id'].nunique()} antibodies and {len(tiles)} tiles"
        for split, tiles in selected.groupby("split", sort=True)
    )
    times = ", ".join(
        f"{of_model:.1f} min for {model}" if of_model else f"an earlier call for {model}"
        for model, of_model in minutes.items()
    )
    notes = [
        f"{options.antibodies} antibodies x {options.patients} cores of the setting patterns-a, "
        f"seed {seed}; {sizes}",
        f"preset robust; training took {times}, with {options.threads} threads, under other load",
        "in brackets: 95 % bootstrap intervals over the test antibodies; one seed",
        "colour deconvolution has the threshold that is best on the test tiles; CaCL's come from "
        "image-wise labels of training and validation antibodies",
    ]
    header = ["class", "method", *SHOWN.values()]
    rows_of_table = table_rows(sums, seed)
    write_table(options.out, "Three classes, one model", notes, header, rows_of_table)


if __name__ == "__main__":
    main()
