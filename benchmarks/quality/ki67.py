"""Real DAB with true masks: Ki67 fields with hand-drawn outlines of positive and negative nuclei.

Two questions that need no brush border. Does the DAB-positive area of colour deconvolution agree
with the masks of positive nuclei, in all five fields? Does a class of shape `area`, trained on the
labels of single tiles of three fields, find the positive nuclei of the other two?

The images state no licence; nothing of them is kept but numbers.

Example: python -m benchmarks.quality.ki67 --work scratch/ki67
"""

from __future__ import annotations

import argparse
import csv
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks._lib.report import CHECKOUT, RESULTS, load_note, write_table
from cacl import tables
from cacl.benchmark.metrics import concordance_from_sums
from cacl.config import LabelsConfig, SegmentConfig, SourceConfig, TargetClass, TilesConfig
from cacl.image import stain
from cacl.image.cell_mask import cell_mask
from cacl.image.mask_grid import at_grid
from cacl.image.tile_grid import TileGrid
from cacl.model.training.train import TrainingFiles, TrainingLimits, train
from cacl.runtime.compute import Compute
from cacl.steps.acquire import acquire
from cacl.steps.catalog import catalog
from cacl.steps.parameters import AcquireOptions, ImageJobs
from cacl.steps.segment import segment
from cacl.steps.tile import tile
from cacl.store import Store
from cacl.tables.schemas import TileRow, TileStatRow
from cacl.tables.selection import NEGATIVE, POSITIVE, SelectionReason, Split

KI67 = CHECKOUT.parent / "shared" / "data" / "ki67"
FIELDS = (1, 2, 3, 4, 5)
TRAINING_FIELDS = 3
# The fields state no pixel size. A nucleus is about 87 source px wide, so 11 px of the store, as in
# a core of the Human Protein Atlas. A tile shows about ten nuclei.
SOURCE_PX, TILE_PX = 512, 64
# The pale tissue between the nuclei, without any glass beside it, counts as background.
MIN_TISSUE = 0.05
# A quarter of a nucleus: less is an edge of one that lies in the next tile.
MIN_POSITIVE_PX = 24
NUCLEUS = TargetClass(name="nucleus", shape="area")
HEADER = (
    "fields",
    "mask",
    "Dice",
    "precision",
    "recall",
    "area, of truth's",
    "r",
    "CCC",
    "negative nuclei stained, %",
    "negative tiles stained, %",
)

Bool = NDArray[np.bool_]
UInt8 = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Field:
    """A field in pixels of the store: RGB (3, y, x), and its masks (y, x).

    `positive` and `negative` are the drawn nuclei.
    """

    number: int
    rgb: UInt8
    cell: Bool
    positive: Bool
    negative: Bool

    def tiles(self, mask: Bool) -> NDArray[np.int64]:
        """Return the area of a mask in each tile, (rows, cols)."""
        height, width = mask.shape
        blocks = mask.reshape(height // TILE_PX, TILE_PX, width // TILE_PX, TILE_PX)
        return np.asarray(blocks.sum(axis=(1, 3)), np.int64)


def image_id(number: int) -> str:
    """Return the id of a field; each is an antibody of its own."""
    return f"FIELD{number}/field_{number}"


def prepare(folder: Path, ki67: Path) -> None:
    """Write the store of the five fields and the table of their tiles."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        rows = [(ki67 / f"field_{n}.jpg", f"FIELD{n}", f"P{n}", POSITIVE) for n in FIELDS]
        names = ("image_path", "antibody_id", "patient_id", "label")
        csv.writer(file, lineterminator="\n").writerows([names, *rows])
    source = SourceConfig(kind="manifest", manifest=folder / "manifest.csv")
    failures = folder / "failures.csv"
    catalog(folder / "catalog", failures, source, LabelsConfig(), shards=1)
    shard, acquired = folder / "catalog/shards/0.parquet", folder / "acquired.parquet"
    acquire(shard, folder / "images", acquired, failures, source, AcquireOptions(strict=True))
    tile(
        acquired,
        folder / "atlas.zarr",
        folder / "tiles.parquet",
        failures,
        TilesConfig(source_px=SOURCE_PX, tile_px=TILE_PX, min_tissue_fraction=MIN_TISSUE),
        ImageJobs(jobs=1, strict=True),
    )


def read_field(store: Store, ki67: Path, number: int) -> Field:
    """Return a field of the store with its masks."""
    rgb = np.asarray(store.image(image_id(number))[:])
    masks = []
    for kind in ("positive", "negative"):
        path = ki67 / f"field_{number}_{kind}.png"
        mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if mask is None:
            raise FileNotFoundError(f"{path} is no readable mask; expected the folder of Ki67")
        masks.append(at_grid(mask > 0, TileGrid(len(mask), mask.shape[1], SOURCE_PX, TILE_PX)))
    return Field(number, rgb, cell_mask(rgb), *masks)


def label_tiles(fields: Sequence[Field], training: Sequence[int], folder: Path) -> pd.DataFrame:
    """Write `selected.parquet`, and return its rows.

    A tile of a training field is positive with at least `MIN_POSITIVE_PX` of positive nuclei,
    negative without any, and left out otherwise.
    """
    frame = tables.read_frame([folder / "tiles.parquet"], TileStatRow)
    stained = {image_id(field.number): field.tiles(field.positive) for field in fields}
    tiles = zip(frame["image_id"], frame["row"], frame["col"], strict=True)
    areas = np.array([stained[name][row, col] for name, row, col in tiles])
    is_training = frame["image_id"].isin([image_id(number) for number in training])
    labelled = (areas == 0) | (areas >= MIN_POSITIVE_PX)
    rows = frame.assign(
        label=np.where(areas > 0, POSITIVE, NEGATIVE),
        split=np.where(is_training, Split.TRAIN, Split.TEST),
        selected=labelled & (frame["tissue_fraction"] >= MIN_TISSUE),
        reason=str(SelectionReason.OVERRIDE),
        class_labels="",
    )
    tables.write_parquet(folder / "selected.parquet", rows, TileRow)
    return rows


def learn(
    folder: Path, test: Sequence[int], *, steps: int | None, seed: int, threads: int
) -> float:
    """Train unless there is a model, segment the test fields, and return the training's minutes."""
    start = time.monotonic()
    trained = (folder / "model" / "model.json").exists()
    if not trained:
        train(
            TrainingFiles(folder / "selected.parquet", folder / "atlas.zarr"),
            folder / "model",
            classes=(NUCLEUS,),
            limits=TrainingLimits(steps),
            seed=seed,
            compute=Compute(threads=threads),
        )
    minutes = 0.0 if trained else (time.monotonic() - start) / 60.0
    stats = tables.read_frame([folder / "tiles.parquet"], TileStatRow)
    of_test = stats[stats["image_id"].isin([image_id(number) for number in test])]
    tables.write_parquet(folder / "test_tiles.parquet", of_test, TileStatRow)
    segment(
        folder / "test_tiles.parquet",
        folder / "atlas.zarr",
        folder / "model",
        folder / "segmented.parquet",
        folder / "failures.csv",
        SegmentConfig(morphology="none"),
        threads=threads,
        strict=True,
    )
    return minutes


def covered(field: Field) -> str:
    """Return the fraction of nuclei and of the whole field that lies in the cell area."""
    fractions = (
        f"{100 * field.cell[mask].mean():.0f} %"
        for mask in (field.positive, field.negative, np.ones_like(field.cell))
    )
    return f"field {field.number} {', '.join(fractions)}"


def line(name: str, fields: Sequence[Field], masks: Sequence[Bool]) -> list[str]:
    """Return the table's row of masks against the positive nuclei of fields.

    Correlation and concordance are of the areas in tiles.
    """
    pairs = list(zip(fields, masks, strict=True))
    both = sum(int((mask & field.positive).sum()) for field, mask in pairs)
    found = sum(int(mask.sum()) for mask in masks)
    true = sum(int(field.positive.sum()) for field in fields)
    x = np.concatenate([field.tiles(mask).ravel() for field, mask in pairs]).astype(np.float64)
    y = np.concatenate([field.tiles(field.positive).ravel() for field in fields]).astype(float)
    ccc = concordance_from_sums(len(x), x.sum(), y.sum(), (x * x).sum(), (y * y).sum(), x @ y)
    on_negative = sum(int((mask & field.negative & ~field.positive).sum()) for field, mask in pairs)
    negative = sum(int((field.negative & ~field.positive).sum()) for field in fields)
    numbers = ", ".join(str(field.number) for field in fields)
    return [
        numbers,
        name,
        f"{2 * both / (found + true):.3f}",
        f"{both / max(found, 1):.3f}",
        f"{both / true:.3f}",
        f"{found / true:.2f}",
        f"{np.corrcoef(x, y)[0, 1]:.3f}",
        f"{float(ccc):.3f}",
        f"{100 * on_negative / negative:.2f}",
        f"{100 * x[y == 0].mean() / TILE_PX**2:.2f}" if (y == 0).any() else "",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, train, measure, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for store and model")
    parser.add_argument("--ki67", type=Path, default=KI67, help="folder of the fields")
    parser.add_argument("--seed", type=int, default=0, help="of the split and of the training")
    parser.add_argument("--steps", type=int, help="of each network; the preset's by default")
    parser.add_argument(
        "--without-training", action="store_true", help="measure the DAB-positive area alone"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS / "ki67.md")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    load = os.getloadavg()[0]
    order = np.random.default_rng(options.seed).permutation(FIELDS)
    training, test = (sorted(map(int, part)) for part in np.split(order, [TRAINING_FIELDS]))
    prepare(options.work, options.ki67)
    store = Store(options.work / "atlas.zarr")
    fields = [read_field(store, options.ki67, number) for number in FIELDS]
    rows = label_tiles(fields, training, options.work)
    dab = {field.number: stain.dab_mask(field.rgb) for field in fields}
    groups = [[field] for field in fields]
    groups += [fields, of_test := [field for field in fields if field.number in test]]
    name = f"DAB above {stain.DAB_THRESHOLD_OD} OD"
    lines = []
    for group in groups:
        everywhere = [dab[field.number] for field in group]
        lines.append(line(f"{name}, whole field", group, everywhere))
        in_cells = [mask & field.cell for mask, field in zip(everywhere, group, strict=True)]
        lines.append(line(f"{name}, in the cell area", group, in_cells))
    trained = "the class of shape area was not trained in this call"
    if not options.without_training:
        minutes = learn(
            options.work, test, steps=options.steps, seed=options.seed, threads=options.threads
        )
        names = [image_id(field.number) for field in of_test]
        masks = [np.asarray(store.label(name, "stain")[:]) > 0 for name in names]
        lines.append(line("CaCL, shape area", of_test, masks))
        steps = options.steps or "its own number of"
        duration = (
            f"{minutes:.0f} min, {options.threads} thread(s)" if minutes else "an earlier call"
        )
        trained = f"preset robust, {steps} steps of each network; {duration}"
    used = rows[rows["selected"] & (rows["split"] == Split.TRAIN)]
    notes = [
        "five fields of Ki67 (DAB and haematoxylin) with masks of positive and negative nuclei, "
        "drawn by hand and a little generous",
        f"tiles of {SOURCE_PX} source px, stored as {TILE_PX} px; r, CCC: of the areas in tiles",
        f"split by seed {options.seed} before any look at the results: training fields "
        f"{training}, test fields {test}; {int((used['label'] == POSITIVE).sum())} positive and "
        f"{int((used['label'] == NEGATIVE).sum())} negative training tiles, which is all that "
        "training reads",
        trained,
        "negative nuclei stained: of their area; negative tiles stained: of the area of tiles "
        "without a positive nucleus",
        "in the cell area, of positive nuclei, of negative nuclei and of the field: "
        + "; ".join(covered(field) for field in fields),
        load_note(load),
    ]
    write_table(options.out, "Ki67: real DAB with true masks", notes, HEADER, lines)


if __name__ == "__main__":
    main()
