"""The table of the benchmark: one row per method and evaluation set, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cacl.benchmark.metric_sums import (
    MEASURES,
    SUMS,
    measures,
    measures_with_intervals,
)
from cacl.tables.schemas import column

ALL_SEEDS = "all"
KEYS = ["evaluation_set", "method"]


@dataclass(frozen=True, kw_only=True)
class BenchmarkRow:
    """One method on one evaluation set; `_low` and `_high`: 95 % intervals over antibodies."""

    evaluation_set: str = column("test antibodies: the run's test split, or an external set")
    seed: str = column("seed of the images and of the training; `all` for the pooled seeds")
    method: str = column("method that made the mask")
    threshold: float | None = column("on the method's own scale; empty where it has none")
    dice: float | None = column("mean over the tiles of the sample, the paper's convention", "0-1")
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
    dice_positive: float | None = column("mean Dice over the positive tiles", "0-1")
    dice_positive_low: float | None = column("", "0-1")
    dice_positive_high: float | None = column("", "0-1")
    boundary_f1: float | None = column("mean over the positive tiles, within 2 px", "0-1")
    boundary_f1_low: float | None = column("", "0-1")
    boundary_f1_high: float | None = column("", "0-1")
    negative_percent: float | None = column(
        "mask on all tiles without ground truth, of cell area", "%"
    )
    negative_percent_low: float | None = column("", "%")
    negative_percent_high: float | None = column("", "%")
    ccc: float | None = column("Lin's concordance of the cores' stained-to-cell ratio", "-1-1")
    ccc_low: float | None = column("", "-1-1")
    ccc_high: float | None = column("", "-1-1")
    dice_sd: float | None = column(
        "standard deviation of dice over seeds; only in pooled rows", "0-1"
    )
    dice_positive_sd: float | None = column("the same of dice_positive", "0-1")
    tiles: int = column("tiles of the sample, half of them positive")
    cores: int = column("test cores")
    antibodies: int = column("test antibodies")


def summarise(antibodies: pd.DataFrame) -> list[BenchmarkRow]:
    """Return one row per method, evaluation set and seed; for several seeds also pooled rows.

    Parameters
    ----------
    antibodies
        Columns of `MetricSums`, of any number of runs.
    """
    rows = []
    seeds = sorted(set(antibodies["seed"]))
    for seed in seeds:
        of_seed = antibodies[antibodies["seed"] == seed]
        for _, group in of_seed.groupby(KEYS, sort=False):
            rows.append(_row(group, str(seed)))
    if len(seeds) > 1:
        for _, group in antibodies.groupby(KEYS, sort=False):
            rows.append(_row(group, ALL_SEEDS))
    return rows


def _row(group: pd.DataFrame, seed: str) -> BenchmarkRow:
    first = group.iloc[0]
    pooled = seed == ALL_SEEDS
    threshold = None if pooled or pd.isna(first["threshold"]) else float(first["threshold"])
    by_seed = [
        measures(of_seed[list(SUMS)].to_numpy(np.float64).sum(axis=0))
        for _, of_seed in group.groupby("seed")
    ]
    deviations = np.std(by_seed, axis=0, ddof=1) if len(by_seed) > 1 else None
    standard_deviations = {
        f"{name}_sd": None if deviations is None else float(deviations[MEASURES.index(name)])
        for name in ("dice", "dice_positive")
    }
    return BenchmarkRow(
        evaluation_set=str(first["evaluation_set"]),
        seed=seed,
        method=str(first["method"]),
        threshold=threshold,
        tiles=int(group["tiles"].sum()),
        cores=int(group["cores"].sum()),
        antibodies=len(group),
        **measures_with_intervals(group, seed=0),
        **standard_deviations,
    )
