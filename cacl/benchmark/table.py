"""The benchmark's table: one row a method and atlas, each measure with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cacl.benchmark.metric_sums import MEASURES, SUMS, measures, with_intervals
from cacl.tables.schemas import column

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
