"""The two thresholds of a mask: probabilities of the class, against the rule they replace.

Needs a finished run on the synthetic atlas with its external sets, and may use a painted colon run
(`benchmarks.quality.real_tissue`). Models stay as they are; only thresholds and gate are set again,
from labels alone, and masks are made from the same logits.

Example: python -m benchmarks.ablation.thresholds --run . --painted scratch/painted
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks._lib.external_sets import evaluation_sets, sums_by
from benchmarks._lib.report import RESULTS, load_note, write_table
from benchmarks.ablation.ablation import differences
from benchmarks.quality.real_tissue import painted_source
from cacl.benchmark.evaluation_set import EvaluationImage, EvaluationSet, read_evaluation_set
from cacl.benchmark.method import Method
from cacl.benchmark.metric_sums import MEASURES, measures
from cacl.image.local_dab import MASK_LEVEL, edge_blur_sigma
from cacl.image.pixel_flags import candidate_mask, interior_mask, pixel_flags
from cacl.model.checkpoint import Model, load_model
from cacl.model.data.dataset import TileDataset, calibration_tiles, read_rows, training_tiles
from cacl.model.inference.masks import Thresholds, block_mask, mask_logits
from cacl.model.inference.predict import image_logits, predict_logits, spread_indices
from cacl.model.inference.thresholds import (
    NEVER_EXCEEDED,
    calibrate_thresholds,
    counts_above,
    edge_only,
    image_gate,
    threshold_at_recall,
)
from cacl.store import Store

Float32 = NDArray[np.float32]
Rule = Callable[[Model, TileDataset, TileDataset], Thresholds]
SHOWN = ("dice", "dice_positive", "ccc", "negative_percent")
FORMER_RECALL, FORMER_FPR, FORMER_EDGE_FDR, FORMER_FLOORS = 0.9, 0.01, 0.02, (-4.0, -1.0)
FORMER = "90 % of the excess, 1 % of negative pixels (former rule)"


@dataclass(frozen=True, eq=False)
class Subject:
    """A model, the tiles that its thresholds come from, and the sets it is evaluated on."""

    model: Model
    training: TileDataset
    held_out: TileDataset
    sets: Sequence[EvaluationSet]


def former_rule(model: Model, training: TileDataset, held_out: TileDataset) -> Thresholds:
    """Return the thresholds of the former rule; the gate follows from its high threshold."""
    post = model.preset.post
    samples = (
        (training, spread_indices(training.positive[:, 0])),
        (training, spread_indices(training.negative[:, 0])),
        (held_out, torch.nonzero(held_out.negative[:, 0]).flatten()),
    )
    logits = [predict_logits(model.networks, *sample, 0, post, post.n_tta) for sample in samples]
    edges = [edge_only(values, *sample) for values, sample in zip(logits, samples, strict=True)]
    min_low, min_high = FORMER_FLOORS
    recalls = [threshold_at_recall(logits[0], decoy, [FORMER_RECALL])[0] for decoy in logits[1:]]
    high = max(min_high, *recalls)
    low = min(high, max(min_low, float(np.quantile(logits[-1], 1.0 - FORMER_FPR))))
    edge_high = max(high, *(threshold_at_fdr(edges[0], decoy) for decoy in edges[1:]))
    gate = image_gate(samples, logits, high, post)
    return Thresholds(low=low, high=high, edge_high=edge_high, min_area_fraction=gate)


def threshold_at_fdr(positive: Float32, negative: Float32) -> float:
    """Return the lowest logit above which the false discovery rate is at most `FORMER_EDGE_FDR`."""
    levels, positive_px, negative_px = counts_above(positive, negative)
    sufficient = np.flatnonzero((positive_px > 0) & (negative_px <= FORMER_EDGE_FDR * positive_px))
    return float(levels[sufficient[0]]) if len(sufficient) else NEVER_EXCEEDED


def probability_rule(**changes: float) -> Rule:
    """Return the rule of the preset, with some of its settings changed."""

    def rule(model: Model, training: TileDataset, held_out: TileDataset) -> Thresholds:
        post = dataclasses.replace(model.preset.post, **changes)  # type: ignore[arg-type]
        preset = dataclasses.replace(model.preset, post=post)
        [thresholds] = calibrate_thresholds(model.networks, training, held_out, preset)
        return thresholds

    return rule


RULES: dict[str, Rule] = {
    FORMER: former_rule,
    "probability 0.85 and 0.3 (default)": probability_rule(),
    "0.7 and 0.3": probability_rule(high_probability=0.7),
    "0.9 and 0.3": probability_rule(high_probability=0.9),
    "0.95 and 0.3": probability_rule(high_probability=0.95),
    "0.85 and 0.1": probability_rule(low_probability=0.1),
    "0.85 and 0.5": probability_rule(low_probability=0.5),
}


def logits_of(model: Model) -> Callable[[EvaluationImage], tuple[NDArray[np.bool_], Float32]]:
    """Return a cached function from an image to its interior and its mean logits (y, x)."""
    post = model.preset.post

    @functools.cache
    def logits(image: EvaluationImage) -> tuple[NDArray[np.bool_], Float32]:
        cell = image.cell.astype(np.uint8)
        interior = interior_mask(cell)
        flags = pixel_flags(image.rgb, cell, interior, edge_blur_sigma(image.rgb), MASK_LEVEL)
        candidate = candidate_mask(flags, model.classes[0].shape)
        views = image_logits(model.networks, image.rgb, candidate, post.n_tta)[:, 0]
        return interior, mask_logits(views.mean(0), candidate, post)

    return logits


def sums_of(subject: Subject) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Return the metric sums (antibodies, k) of each rule and set."""
    logits, sums = logits_of(subject.model), {}
    for rule_name, rule in RULES.items():
        thresholds = rule(subject.model, subject.training, subject.held_out)
        print(rule_name, thresholds, flush=True)

        def score(image: EvaluationImage, thresholds: Thresholds = thresholds) -> Float32:
            interior, values = logits(image)
            cell_px, post = int(image.cell.sum()), subject.model.preset.post
            return block_mask(values, interior, cell_px, thresholds, post).astype(np.float32)

        for evaluation_set in subject.sets:
            method = Method(rule_name, score, 0.5)
            sums[evaluation_set.name, rule_name] = sums_by(method, evaluation_set, 0)
    return sums


def read_subject(run: Path, model: Path, sets: Sequence[EvaluationSet], seed: int) -> Subject:
    """Read a model and the tiles of its run."""
    rows = read_rows(run / "results/training/tiles.parquet")
    store = Store(run / "results/atlas.zarr")
    held_out, _ = calibration_tiles(rows, store, seed)
    return Subject(load_model(model), training_tiles(rows, store, seed), held_out, sets)


def rows_of(sums: dict[tuple[str, str], NDArray[np.float64]]) -> list[list[str]]:
    """Return a row for each set and rule; differences are from the former rule."""
    rows = []
    for (set_name, rule_name), values in sums.items():
        former = sums[set_name, FORMER]
        cells = [set_name, rule_name]
        for name, value in zip(MEASURES, measures(values.sum(0)), strict=True):
            if name not in SHOWN:
                continue
            low, high = differences(former, values)[1:, MEASURES.index(name)]
            interval = "" if rule_name == FORMER else f" ({low:+.3f} to {high:+.3f})"
            cells.append(f"{value:.3f}{interval}")
        rows.append(cells)
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, set the thresholds by each rule, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path(), help="folder of a finished run")
    parser.add_argument("--model", type=Path, help="model of the run; its own by default")
    parser.add_argument("--painted", type=Path, help="folder of a painted colon run")
    parser.add_argument("--seed", type=int, default=0, help="of the runs")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS / "thresholds.md")
    options = parser.parse_args(arguments)
    load_before = os.getloadavg()[0]
    torch.set_num_threads(options.threads)
    seed, run = options.seed, options.run
    subjects = [(run, options.model or run / "results/model", evaluation_sets(run, seed))]
    if options.painted:
        painted = options.painted
        sets = [read_evaluation_set(painted_source(painted), seed=seed)]
        subjects.append((painted, painted / "results/model", sets))
    sums: dict[tuple[str, str], NDArray[np.float64]] = {}
    for folder, model, sets in subjects:
        sums |= sums_of(read_subject(folder, model, sets, seed))
    notes = [
        "models as trained, masks from the same logits; thresholds and gate from labels alone",
        "in brackets: 95 % interval of the difference from the former rule, paired by antibody",
        "the probabilities 0.85, 0.3 and 0.95 (edge of a core) were chosen while looking at the "
        "test masks of these sets, for these models and two others of the synthetic atlas",
        load_note(load_before),
    ]
    header = [
        *("set", "rule", "Dice, paper's", "Dice, positive tiles"),
        *("negatives stained, %", "CCC"),
    ]
    runs = [folder for folder, _, _ in subjects]
    write_table(options.out, "Thresholds of a mask", notes, header, rows_of(sums), runs=runs)


if __name__ == "__main__":
    main()
