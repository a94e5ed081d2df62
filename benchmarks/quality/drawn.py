"""What a few drawn areas change in a model that has few antibodies with confounded labels.

Of the training antibodies of a synthetic atlas only a few are kept: the positive ones with the most
DAB that is not of the class, and the negative ones with the least, so that this DAB separates the
labels as well as the class does. A first model is trained, and a person who corrects it is
simulated on the training cores where it is most wrong: on each, negative areas around the largest
false components of its mask, and positive areas over the largest pieces of the true border that it
misses. A second model is trained with these areas (`labels.drawn`). Both are tested on the same
test antibodies, which are never drawn on; only the simulated person and the test see true masks.

Example: python -m benchmarks.quality.drawn --work scratch/drawn
"""

from __future__ import annotations

import argparse
import dataclasses
import json
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

from benchmarks._lib.external_sets import final_method, sums_by
from benchmarks._lib.report import RESULTS, load_note, write_table
from benchmarks.ablation.ablation import differences
from benchmarks.quality.quality import SHOWN
from cacl import tables
from cacl.benchmark.evaluation_set import OWN_SET, EvaluationSource, read_evaluation_set
from cacl.benchmark.ground_truth import PhantomTruth, read_ground_truth
from cacl.benchmark.metric_sums import MEASURES, measures
from cacl.config import LabelsConfig, SegmentConfig, SourceConfig, TilesConfig
from cacl.image import stain
from cacl.model.checkpoint import load_model
from cacl.model.data.dataset import read_rows
from cacl.model.presets import ROBUST
from cacl.model.training.train import TrainingFiles, TrainingLimits, train
from cacl.phantom import write_phantom
from cacl.runtime.compute import Compute
from cacl.steps.acquire import acquire
from cacl.steps.catalog import catalog
from cacl.steps.parameters import AcquireOptions, ImageJobs, SelectionFiles
from cacl.steps.segment import segment
from cacl.steps.select import select
from cacl.steps.tile import tile
from cacl.store import Store
from cacl.tables.schemas import TileRow, TileStatRow
from cacl.tables.selection import LABELS, NEGATIVE, POSITIVE, Split

Bool = NDArray[np.bool_]

PRESET = dataclasses.replace(ROBUST, post=dataclasses.replace(ROBUST.post, fail_on_collapse=False))
"""A first model that has not learned the class is one to correct, and no error."""

AREAS_PER_LABEL = 5
MARGIN_PX = 2
PIECE_PX = 40
MIN_AREA_PX = 12
BEFORE, AFTER = "before", "after"
NAMES = {BEFORE: "labels of images", AFTER: "and drawn areas"}


@dataclass(frozen=True)
class Run:
    """The files of the benchmark below a folder."""

    root: Path
    options: argparse.Namespace

    def path(self, name: str) -> Path:
        """Return a file or folder of the run."""
        return self.root / name

    @property
    def store(self) -> Store:
        """The store."""
        return Store(self.path("atlas.zarr"))

    def prepare(self) -> None:
        """Generate and tile the atlas."""
        options = self.options
        write_phantom(
            self.path("host"),
            self.path("truth"),
            antibodies=options.antibodies,
            patients=options.patients,
            seed=options.seed,
            jobs=options.threads,
            core_px=options.core_px,
        )
        source = SourceConfig(kind="mirror", mirror=self.path("host"))
        failures, acquired = self.path("failures.csv"), self.path("acquired.parquet")
        catalog(self.path("catalog"), failures, source, LabelsConfig(), shards=1)
        acquire(
            self.path("catalog/shards/0.parquet"),
            self.path("images"),
            acquired,
            failures,
            source,
            AcquireOptions(strict=True),
        )
        tile(
            acquired,
            self.path("atlas.zarr"),
            self.path("tiles.parquet"),
            failures,
            TilesConfig(),
            ImageJobs(jobs=options.threads, strict=True),
        )

    def select(self, name: str, antibodies: Sequence[str] | None, drawn: Path | None) -> None:
        """Select tiles as `<name>.parquet`, for training of some antibodies or, if None, all."""
        files = SelectionFiles(
            images=self.path("catalog/images.parquet"),
            tiles=[self.path("tiles.parquet")],
            store=self.path("atlas.zarr"),
        )
        out = self.path(f"{name}.parquet")
        tissue = TilesConfig().min_tissue_fraction
        select(files, out, min_tissue_fraction=tissue, drawn=drawn, seed=self.options.seed)
        if antibodies is None:
            return
        rows = read_rows(out)
        kept = (rows["split"] != Split.TRAIN) | rows["antibody_id"].isin([*antibodies])
        tables.write_parquet(out, rows[kept], TileRow)

    def train(self, name: str, drawn: Path | None) -> float:
        """Train a model on `<name>.parquet` unless it exists; return the minutes."""
        if self.path(f"{name}/model.json").exists():
            return 0.0
        start = time.monotonic()
        train(
            TrainingFiles(self.path(f"{name}.parquet"), self.path("atlas.zarr"), drawn),
            self.path(name),
            preset=PRESET,
            limits=TrainingLimits(self.options.max_steps),
            seed=self.options.seed,
            compute=Compute(threads=self.options.threads),
        )
        return (time.monotonic() - start) / 60.0

    def segment(self, model: str, image_ids: Sequence[str]) -> None:
        """Write the masks of some images to the store."""
        stats = tables.read_frame([self.path("tiles.parquet")], TileStatRow)
        wanted = self.path("wanted.parquet")
        tables.write_parquet(wanted, stats[stats["image_id"].isin(list(image_ids))], TileStatRow)
        segment(
            wanted,
            self.path("atlas.zarr"),
            self.path(model),
            self.path("segmented.parquet"),
            self.path("failures.csv"),
            SegmentConfig(),
            threads=self.options.threads,
            strict=True,
        )

    def true_mask(self, image_id: str) -> Bool:
        """Return the true mask of an image (y, x) in analysis pixels."""
        return read_ground_truth(self.path("truth"), image_id, self.store.meta(image_id).grid)[0]

    def sums(self, model: str) -> NDArray[np.float64]:
        """Return the metric sums of a model by test antibody; see `sums_by`."""
        truth = PhantomTruth(self.path("truth"))
        tiles, store = self.path(f"{BEFORE}.parquet"), self.path("atlas.zarr")
        evaluation_set = read_evaluation_set(
            EvaluationSource(OWN_SET, tiles, store, truth), seed=self.options.seed
        )
        method = final_method(load_model(self.path(model)))
        return sums_by(method, evaluation_set, self.options.seed)


def confounded(run: Run, rows: pd.DataFrame, per_label: int) -> list[str]:
    """Return the training antibodies whose other DAB separates the labels best.

    Parameters
    ----------
    run
        The run.
    rows
        `TileRow`s of labelled images.
    per_label
        Number of antibodies of each label.
    """
    images = (
        rows[rows["split"] == Split.TRAIN].groupby("image_id")[["antibody_id", "label"]].first()
    )
    fractions = {}
    for image_id in images.index:
        cell = np.asarray(run.store.label(image_id, "cell")[:]) > 0
        rgb = np.asarray(run.store.image(image_id)[:], dtype=np.uint8)
        other = stain.dab_mask(rgb) & cell & ~run.true_mask(image_id)
        fractions[image_id] = other.sum() / max(1, cell.sum())
    images["other_dab"] = pd.Series(fractions)
    by_antibody = images.groupby(["label", "antibody_id"])["other_dab"].mean().sort_values()
    positive = by_antibody[POSITIVE].index[-per_label:]
    negative = by_antibody[NEGATIVE].index[:per_label]
    return sorted(map(str, [*positive, *negative]))


def areas_to_draw(mask: Bool, true: Bool) -> dict[str, list[Bool]]:
    """Return what a person who corrects a mask draws, by label: areas (y, x).

    Parameters
    ----------
    mask, true
        (y, x) mask of a model, and the true one.
    """
    pieces = true & ~mask
    grid = (np.indices(true.shape) // PIECE_PX).sum(0) % 2 == 0
    missed = [*_largest(pieces & grid), *_largest(pieces & ~grid)]
    missed = sorted(missed, key=lambda area: -int(area.sum()))[:AREAS_PER_LABEL]
    near_true = _dilated(true)
    false = [_dilated(area) & ~near_true for area in _largest(mask & ~near_true)]
    return {POSITIVE: [_dilated(area) for area in missed], NEGATIVE: false}


def _largest(mask: Bool) -> list[Bool]:
    """Return the largest connected components of a mask."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    sizes = {label: int(stats[label, cv2.CC_STAT_AREA]) for label in range(1, count)}
    order = sorted(sizes, key=lambda label: (-sizes[label], label))[:AREAS_PER_LABEL]
    return [labels == label for label in order if sizes[label] >= MIN_AREA_PX]


def _dilated(mask: Bool) -> Bool:
    side = 2 * MARGIN_PX + 1
    shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.dilate(mask.astype(np.uint8), shape) > 0


def write_areas(path: Path, areas: dict[str, list[Bool]], downsample: float) -> int:
    """Write areas along pixels as GeoJSON of QuPath; return the number of areas.

    Parameters
    ----------
    path
        The file; not written without any area.
    areas
        Areas (y, x) in analysis pixels by label.
    downsample
        Pixels of the source per analysis pixel.
    """
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "MultiPolygon", "coordinates": boxes(area, downsample)},
            "properties": {"classification": {"name": label}},
        }
        for label, masks in areas.items()
        for area in masks
        if area.any()
    ]
    if features:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"type": "FeatureCollection", "features": features})
        path.write_text(text, encoding="utf-8")
    return len(features)


def boxes(mask: Bool, scale: float) -> list[list[list[list[float]]]]:
    """Return one polygon per run of each row of a mask, with coordinates times `scale`."""
    polygons = []
    for y in np.flatnonzero(mask.any(axis=1)).tolist():
        ends = np.flatnonzero(np.diff(mask[y].astype(np.int8), prepend=0, append=0)).tolist()
        for left, right in zip(ends[::2], ends[1::2], strict=True):
            ring = [[left, y], [right, y], [right, y + 1], [left, y + 1], [left, y]]
            polygons.append([[[scale * x, scale * row] for x, row in ring]])
    return polygons


def draw(run: Run, image_ids: Sequence[str], folder: Path) -> dict[str, int]:
    """Draw on the images where the stored masks are most wrong; return areas by image.

    Parameters
    ----------
    run
        The run.
    image_ids
        Images of the training split.
    folder
        Where the drawings go.
    """
    masks = {name: np.asarray(run.store.label(name, "stain")[:]) > 0 for name in image_ids}
    wrong = {name: int((masks[name] ^ run.true_mask(name)).sum()) for name in image_ids}
    drawn: dict[str, int] = {}
    for name in sorted(image_ids, key=lambda image_id: (-wrong[image_id], image_id)):
        if len(drawn) == run.options.cores:
            break
        areas = areas_to_draw(masks[name], run.true_mask(name))
        downsample = run.store.meta(name).grid.downsample
        count = write_areas(folder / f"{name}.geojson", areas, downsample)
        if count:
            drawn[name] = count
    return drawn


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, train both models, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the atlas")
    parser.add_argument("--out", type=Path, default=RESULTS / "drawn.md")
    parser.add_argument("--antibodies", type=int, default=48, help="of the atlas, test included")
    parser.add_argument("--patients", type=int, default=2)
    parser.add_argument("--core-px", type=int, default=3000, help="side of an image")
    parser.add_argument("--per-label", type=int, default=3, help="training antibodies per label")
    parser.add_argument("--cores", type=int, default=10, help="most cores that are drawn on")
    parser.add_argument("--max-steps", type=int, help="of each model; the preset's by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    load_before = os.getloadavg()[0]
    run, drawn = Run(options.work, options), options.work / "strokes"
    run.prepare()
    run.select(BEFORE, None, None)
    antibodies = confounded(run, read_rows(run.path(f"{BEFORE}.parquet")), options.per_label)
    run.select(BEFORE, antibodies, None)
    rows = read_rows(run.path(f"{BEFORE}.parquet"))
    minutes = {BEFORE: run.train(BEFORE, None)}
    trained = sorted(set(rows.loc[rows["split"] == Split.TRAIN, "image_id"]))
    run.segment(BEFORE, trained)
    if not drawn.exists():
        print(draw(run, trained, drawn))
    run.select(AFTER, antibodies, drawn)
    minutes[AFTER] = run.train(AFTER, drawn)
    sums = {name: run.sums(name) for name in (BEFORE, AFTER)}
    description = json.loads(run.path(f"{AFTER}/model.json").read_text(encoding="utf-8"))["drawn"]
    tested = rows[rows["split"] == Split.TEST].groupby("label")["antibody_id"].nunique()
    notes = [
        f"seed {options.seed}; {options.antibodies} antibodies x {options.patients} cores of "
        f"{options.core_px} px of the setting duodenum-a; preset robust (a collapsed codebook "
        f"is no error), steps: {options.max_steps or 'those of the preset'}",
        f"trained on {options.per_label} antibodies of each label ({len(trained)} cores), whose "
        "labels are confounded with other DAB; tested on "
        + " and ".join(f"{tested[label]} {label}" for label in LABELS)
        + " other antibodies",
        f"drawn by the simulated person, on training cores only: {description['images']} cores, "
        f"{description['positive_px']} px positive, {description['negative_px']} px negative, "
        f"of them candidate pixels: {description['positive_candidate_px']} and "
        f"{description['negative_candidate_px']}",
        "in brackets: 95 % interval of the difference, paired by test antibody",
        "minutes of training: "
        + ", ".join(f"{minutes[name]:.0f} {NAMES[name]}" for name in (BEFORE, AFTER))
        + f" (0: of an earlier call), {options.threads} threads",
        load_note(load_before),
    ]
    header = ["trained on", *SHOWN.values()]
    table = [row(NAMES[name], sums[BEFORE], sums[name]) for name in (BEFORE, AFTER)]
    write_table(options.out, "Drawn corrections of a model that fails", notes, header, table)


def row(name: str, before: NDArray[np.float64], sums: NDArray[np.float64]) -> list[str]:
    """Return a row of the table from the metric sums of both models (antibodies, k)."""
    values, change = measures(sums.sum(0)), differences(before, sums)
    cells = [name]
    for measure in SHOWN:
        index = MEASURES.index(measure)
        cell = f"{values[index]:.3f}"
        if sums is not before:
            cell += f" ({change[1, index]:+.3f} to {change[2, index]:+.3f})"
        cells.append(cell)
    return cells


if __name__ == "__main__":
    main()
