"""Segmentation of cores with all scores of all pixels, and with those that masks use.

Usage: python -m benchmarks.speed.segmentation [--run FOLDER] [--cores N] [--threads N] [--out FILE]

The run is a finished demo: its model segments N of its cores with and N without staining, each by
both methods in turn. Rates of atlases follow from the mean time of each kind of core. The part of
the image gate's area that the unflipped image alone exceeds is given for `MIN_FIRST_VIEW`.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks._lib.report import RESULTS, load_note, write_table
from cacl import tables
from cacl.image.local_dab import MASK_LEVEL, edge_blur_sigma
from cacl.image.pixel_flags import candidate_mask, interior_mask, pixel_flags
from cacl.model.checkpoint import Model, load_model
from cacl.model.device import default_device, prepare_for_device
from cacl.model.inference.masks import BlockMasks, Morphology, block_mask, mask_logits
from cacl.model.inference.predict import MIN_FIRST_VIEW, image_logits, predict_block
from cacl.runtime.malloc import tune_malloc
from cacl.store import Store

Layers = tuple[NDArray[np.uint8], NDArray[np.uint8]]
UNSTAINED_FRACTIONS = (0.1, 0.5, 0.9)
KINDS = ("positive", "negative")


@dataclass(frozen=True)
class Comparison:
    """One core by both methods.

    Parameters
    ----------
    baseline, new
        Seconds (wall, CPU) of each.
    changed_px
        Pixels that differ in any mask, that of the image or of a view.
    score_difference
        Largest difference of a score, on all views.
    first_view
        Area above the high threshold on the unflipped image / area that the image gate asks for.
    has_mask
        Whether the core has a mask.
    """

    baseline: NDArray[np.float64]
    new: NDArray[np.float64]
    changed_px: int
    score_difference: float
    first_view: float
    has_mask: bool


def all_pixels(layers: Layers, model: Model) -> BlockMasks:
    """Segment a core from all views' scores of all its pixels: the baseline."""
    rgb, cell = layers
    interior, post = interior_mask(cell), model.preset.post
    flags = pixel_flags(rgb, cell, interior, edge_blur_sigma(rgb), MASK_LEVEL)
    views = image_logits(model.networks, rgb, None, post.n_tta)[:, 0]
    candidate = candidate_mask(flags, model.classes[0].shape)

    def mask_of(logits: NDArray[np.float32]) -> NDArray[np.bool_]:
        masked = mask_logits(logits, candidate, post)
        return block_mask(masked, interior, int((cell > 0).sum()), model.thresholds[0], post)

    return BlockMasks(cell > 0, (mask_of(views.mean(0)),), tuple(map(mask_of, views)))


def used_pixels(layers: Layers, model: Model) -> BlockMasks:
    """Segment a core as `cacl segment` does."""
    rgb, cell = layers
    return predict_block(rgb, cell, interior_mask(cell), model, Morphology())


def timed(
    method: Callable[[Layers, Model], BlockMasks], layers: Layers, model: Model
) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
    """Return the packed masks, and wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    packed = method(layers, model).pack()
    return packed, np.array([time.perf_counter() - wall, time.process_time() - cpu])


def compare(layers: Layers, model: Model) -> Comparison:
    """Segment one core by both methods."""
    expected, baseline = timed(all_pixels, layers, model)
    masks, new = timed(used_pixels, layers, model)
    rgb, cell = layers
    interior, [thresholds] = interior_mask(cell), model.thresholds
    flags = pixel_flags(rgb, cell, interior, edge_blur_sigma(rgb), MASK_LEVEL)
    candidate = candidate_mask(flags, model.classes[0].shape)
    scores, all_scores = (
        image_logits(model.networks, rgb, used, model.preset.post.n_tta)[..., candidate]
        for used in (candidate, None)
    )
    difference = float(np.abs(scores - all_scores).max(initial=0.0))
    high_px = int((scores[0, 0] > thresholds.high)[interior[candidate]].sum())
    return Comparison(
        baseline,
        new,
        changed_px=int((masks != expected).sum()),
        score_difference=difference,
        first_view=high_px / (thresholds.min_area_fraction * max(1, int((cell > 0).sum()))),
        has_mask=bool((masks & 1).any()),
    )


def cores_of(run: Path, label: str, number: int) -> list[Layers]:
    """Return RGB and cell mask of cores whose antibody has a label, one per antibody."""
    store = Store(run / "results/atlas.zarr")
    columns = ["antibody_id", "image_id", "label"]
    rows = tables.read_arrow(run / "results/catalog/images.parquet", columns).to_pylist()
    by_antibody = {row["antibody_id"]: row["image_id"] for row in rows if row["label"] == label}
    return [
        (np.asarray(store.image(image_id)[:]), np.asarray(store.label(image_id, "cell")[:]))
        for image_id in list(by_antibody.values())[:number]
    ]


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path(), help="folder of a finished demo")
    parser.add_argument("--model", type=Path, help="model of the run; its own by default")
    parser.add_argument("--cores", type=int, default=5, help="cores of each kind")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS / "segmentation.md")
    options = parser.parse_args()
    load_before = os.getloadavg()[0]
    tune_malloc()
    cv2.setNumThreads(1)
    torch.set_num_threads(options.threads)
    model = load_model(options.model or options.run / "results/model")
    for network in model.networks:
        prepare_for_device(network, default_device())
    compared = {
        kind: [compare(core, model) for core in cores_of(options.run, kind, options.cores)]
        for kind in KINDS
    }
    times = {
        kind: np.mean([(core.baseline, core.new) for core in cores], axis=0)
        for kind, cores in compared.items()
    }
    rows = []
    for fraction in UNSTAINED_FRACTIONS:
        (wall, cpu), (new_wall, new_cpu) = (
            fraction * times["negative"] + (1.0 - fraction) * times["positive"]
        )
        cells = (1.0 / wall, 1.0 / new_wall, wall / new_wall, 1.0 / cpu, 1.0 / new_cpu)
        rows.append([f"{fraction:.0%}", *(f"{c:.2f}" for c in cells), f"{cpu / new_cpu:.2f}"])
    cores = [core for kind in KINDS for core in compared[kind]]
    notes = [
        f"{', '.join(f'{len(compared[kind])} {kind}' for kind in KINDS)} cores of the demo, each "
        f"by both methods in turn, on {options.threads} thread(s), from pixels to masks",
        load_note(load_before),
        f"all masks (that of the image and those of the views) are equal on "
        f"{sum(core.changed_px == 0 for core in cores)} of {len(cores)} cores; changed pixels: "
        f"{sum(core.changed_px for core in cores)}; largest difference of a score: "
        f"{max(core.score_difference for core in cores):.1g}",
        "of the area that the image gate asks for, the unflipped image alone has at least "
        f"{min((core.first_view for core in cores if core.has_mask), default=np.nan):.2f} on the "
        f"{sum(core.has_mask for core in cores)} cores with a mask; "
        f"{sum(core.first_view < MIN_FIRST_VIEW for core in cores)} of the others have less than "
        f"{MIN_FIRST_VIEW:g}: no flip is computed",
        "rates: images per second of wall time and of CPU time",
    ]
    header = [
        *("unstained antibodies", "images/s, all scores", "images/s", "ratio"),
        *("images/CPU s, all scores", "images/CPU s", "CPU ratio"),
    ]
    write_table(options.out, "Speed of segmentation", notes, header, rows, runs=[options.run])


if __name__ == "__main__":
    main()
