"""The benchmark's table: one row a method and atlas, each measure with its interval."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cacl import tables
from cacl.benchmark import cacl_methods, cam, deconvolution
from cacl.benchmark.classifier import accuracy_on, load_classifier
from cacl.benchmark.evaluate import Outcome, evaluate
from cacl.benchmark.evaluation_set import Atlas, read_atlas
from cacl.benchmark.external import STORE, TESTED, TRUTH
from cacl.benchmark.gallery import Gallery, gallery, write_page
from cacl.benchmark.method import Method, nothing
from cacl.benchmark.metric_sums import MEASURES, SUMS, Tally, measures, with_intervals
from cacl.model.checkpoint import load_model
from cacl.model.inference.masks import Morphology
from cacl.runtime.progress import track
from cacl.tables.schemas import column

log = logging.getLogger(__name__)
OWN = "test split"
POOLED = "all"
KEYS = ["atlas", "method"]


@dataclass(frozen=True, kw_only=True)
class BenchmarkRow:
    """One method on one atlas; `_low` and `_high` are ends of 95 % intervals over antibodies."""

    atlas: str = column("which test antibodies")
    seed: str = column("seed of atlas and training; all for the seeds pooled")
    method: str = column("what made the mask")
    threshold: float | None = column("on the method's own scale; empty where it has none")
    dice: float | None = column("mean over the sample's tiles, the paper's convention", "0-1")
    dice_low: float | None = column("", "0-1")
    dice_high: float | None = column("", "0-1")
    recall: float | None = column("mean over tiles, the paper's convention", "0-1")
    recall_low: float | None = column("", "0-1")
    recall_high: float | None = column("", "0-1")
    precision: float | None = column("mean over tiles, the paper's convention", "0-1")
    precision_low: float | None = column("", "0-1")
    precision_high: float | None = column("", "0-1")
    bce: float | None = column("binary cross entropy, mean over tiles", "0-100")
    bce_low: float | None = column("", "0-100")
    bce_high: float | None = column("", "0-100")
    dice_positive: float | None = column("mean Dice over tiles that hold the pattern", "0-1")
    dice_positive_low: float | None = column("", "0-1")
    dice_positive_high: float | None = column("", "0-1")
    boundary_f1: float | None = column("mean over the same tiles, within 2 px", "0-1")
    boundary_f1_low: float | None = column("", "0-1")
    boundary_f1_high: float | None = column("", "0-1")
    negative_percent: float | None = column("mask on all tiles without truth, of cell area", "%")
    negative_percent_low: float | None = column("", "%")
    negative_percent_high: float | None = column("", "%")
    ccc: float | None = column("Lin's concordance of the cores' stained-to-cell ratio", "-1-1")
    ccc_low: float | None = column("", "-1-1")
    ccc_high: float | None = column("", "-1-1")
    dice_sd: float | None = column("standard deviation of dice over seeds; pooled rows", "0-1")
    dice_positive_sd: float | None = column("the same of dice_positive", "0-1")
    tiles: int = column("tiles of the sample, half of them with the pattern")
    cores: int = column("test cores")
    antibodies: int = column("test antibodies")


def benchmark(
    tiles: Path,
    store: Path,
    model: Path,
    truth: Path,
    out: Path,
    *,
    unseen: Sequence[Path] = (),
    paper: Path | None = None,
    classifier: Path | None = None,
    morphology: str,
    radius_px: int,
    seed: int = 0,
    threads: int = 2,
) -> None:
    """Write `table.csv`, `table.html` and `antibodies.parquet`: all methods against hidden truth.

    Baselines get the threshold that is best on the very tiles that they are judged on; CaCL's
    come with its model, from training data alone.

    Parameters
    ----------
    tiles, store, truth
        Of the run itself: table of `cacl select`, store, and folder of truth masks.
    model
        The folder of `cacl train`.
    out
        Folder for the table.
    unseen
        Folders of `unseen.synthesise_external`, each named as the atlas.
    paper
        The folder of `cacl train --preset paper` on the same tiles; None to leave it out.
    classifier
        The folder of `classifier.train_classifier`; None to leave out CAM and its kin.
    morphology, radius_px
        What the run does to its masks.
    seed
        The run's; also of the sample and of the intervals.
    threads
        CPU threads.

    Raises
    ------
    TrainingError
        There is no test antibody, or none with the pattern.
    ConfigError
        A truth mask is missing.
    StoreError
        An image is missing.
    CheckpointError
        A model cannot be used.
    """
    torch.set_num_threads(threads)
    trained = load_model(model)
    published = load_model(paper) if paper else None
    network, facts = load_classifier(classifier) if classifier else (None, {})
    attending = {} if network is None else cam.maps(network)
    facts = {f"Classifier, {split} tiles": fact for split, fact in facts.items()}
    sources = [(OWN, tiles, store, truth)]
    sources += [(one.name, one / TESTED, one / STORE, one / TRUTH) for one in unseen]
    tallies: list[Tally] = []
    galleries: list[Gallery] = []
    for name, *places in sources:
        atlas = read_atlas(name, *places, seed=seed)
        if network is not None:
            facts[f"Classifier, {name}"] = accuracy_on(network, atlas)
        methods = [nothing(), *deconvolution.methods()]
        methods += cam.methods(attending)
        methods += cacl_methods.methods(trained, published, Morphology(morphology, radius_px))
        outcomes = _run(methods, atlas, seed)
        tallies += [tally for outcome in outcomes for tally in outcome.tallies]
        galleries.append(gallery(atlas, outcomes, seed))
    for what, fact in facts.items():
        log.info("benchmark: %s: %s", what, fact)
    tables.write_parquet(out / "antibodies.parquet", tallies, Tally)
    rows = summarise(tables.read_frame([out / "antibodies.parquet"], Tally))
    tables.write_csv(out / "table.csv", rows, BenchmarkRow)
    write_page(out / "table.html", rows, galleries, facts)


def _run(methods: Sequence[Method], atlas: Atlas, seed: int) -> list[Outcome]:
    done = track(methods, f"benchmark: {atlas.name}: methods", len(methods))
    return [outcome for method in done for outcome in evaluate(method, atlas, seed)]


def summarise(antibodies: pd.DataFrame) -> list[BenchmarkRow]:
    """Return one row a method, atlas and seed; then, of several seeds, one row for all together.

    Parameters
    ----------
    antibodies
        Columns of `Tally`, of any number of runs.
    """
    rows = []
    seeds = sorted(set(antibodies["seed"]))
    for seed in seeds:
        part = antibodies[antibodies["seed"] == seed]
        for _, group in part.groupby(KEYS, sort=False):
            rows.append(_row(group, str(seed)))
    if len(seeds) > 1:
        for _, group in antibodies.groupby(KEYS, sort=False):
            rows.append(_row(group, POOLED))
    return rows


def _row(group: pd.DataFrame, seed: str) -> BenchmarkRow:
    first = group.iloc[0]
    threshold = None if seed == POOLED or pd.isna(first["threshold"]) else float(first["threshold"])
    by_seed = [
        measures(part[list(SUMS)].to_numpy(np.float64).sum(axis=0))
        for _, part in group.groupby("seed")
    ]
    spread = np.std(by_seed, axis=0, ddof=1) if len(by_seed) > 1 else None
    spreads = {
        f"{name}_sd": None if spread is None else float(spread[MEASURES.index(name)])
        for name in ("dice", "dice_positive")
    }
    return BenchmarkRow(
        atlas=str(first["atlas"]),
        seed=seed,
        method=str(first["method"]),
        threshold=threshold,
        tiles=int(group["tiles"].sum()),
        cores=int(group["cores"].sum()),
        antibodies=len(group),
        **with_intervals(group, seed=0),
        **spreads,
    )
