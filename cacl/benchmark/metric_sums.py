"""Sums over the tiles and images of one antibody, from which all measures and intervals follow.

The antibody is the unit of the bootstrap, because the tiles of an antibody resemble each other.
Each measure is a function of sums, so a thousand resamples are one matrix product, and the
antibodies of several seeds are pooled by concatenation of their tables.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cacl.benchmark.metrics import concordance_from_sums
from cacl.stats.intervals import BOOTSTRAP_DRAWS, CONFIDENCE
from cacl.tables.schemas import column

Float64 = NDArray[np.float64]

MEASURES = (
    "dice",
    "recall",
    "precision",
    "bce",
    "dice_positive",
    "boundary_f1",
    "negative_percent",
    "ccc",
)


@dataclass(frozen=True, kw_only=True)
class MetricSums:
    """One method on one antibody: sums over the tiles of the balanced sample, and over cores."""

    evaluation_set: str = column("test antibodies: the run's test split, or an external set")
    seed: int = column("seed of the images and of the training")
    method: str = column("method that made the mask")
    threshold: float | None = column("on the method's own scale; empty where it has none")
    antibody_id: str = column("antibody")
    tiles: float = column("tiles of the sample")
    dice: float = column("sum over the tiles, the paper's convention")
    recall: float = column("sum over the tiles, the paper's convention")
    precision: float = column("sum over the tiles, the paper's convention")
    bce: float = column("sum over the tiles")
    positive_tiles: float = column("positive tiles of the sample")
    dice_positive: float = column("sum of Dice over the positive tiles")
    boundary_f1: float = column("sum over the positive tiles")
    negative_stained_px: float = column("mask on cells of all tiles without ground truth", "px")
    negative_cell_px: float = column("cell area of these tiles", "px")
    cores: float = column("cores")
    predicted_sum: float = column("sum over cores of the stained-to-cell ratio of the mask")
    true_sum: float = column("sum over cores of the true ratio")
    predicted_squares: float = column("sum of squares of the ratio of the mask")
    true_squares: float = column("sum of squares of the true ratio")
    products: float = column("sum of products of both ratios")


SUMS = tuple(field.name for field in fields(MetricSums))[5:]


def measures(sums: Float64) -> Float64:
    """Return all measures, in the order of `MEASURES`.

    Parameters
    ----------
    sums
        (..., k) in the order of `SUMS`.

    Returns
    -------
    (..., 8), NaN where a measure has no tile, pixel or core.
    """
    s = {name: sums[..., index] for index, name in enumerate(SUMS)}
    with np.errstate(invalid="ignore", divide="ignore"):
        over_tiles = [s[name] / s["tiles"] for name in MEASURES[:4]]
        over_positive_tiles = [s[name] / s["positive_tiles"] for name in MEASURES[4:6]]
        negative_percent = 100.0 * s["negative_stained_px"] / s["negative_cell_px"]
    ccc = concordance_from_sums(
        s["cores"],
        s["predicted_sum"],
        s["true_sum"],
        s["predicted_squares"],
        s["true_squares"],
        s["products"],
    )
    return np.stack([*over_tiles, *over_positive_tiles, negative_percent, ccc], axis=-1)


def measures_with_intervals(antibodies: pd.DataFrame, seed: int) -> dict[str, float | None]:
    """Return each measure with its 95 % bootstrap interval over antibodies.

    The bootstrap is stratified by seed and by positive and negative antibodies, as the sample is
    balanced by design: a resample of negative antibodies only would have no positive tile.

    Parameters
    ----------
    antibodies
        Columns of `MetricSums`, one row per antibody (and seed) of one method.
    seed
        Seed of the resampling; equal antibodies are drawn for all methods.

    Returns
    -------
    `<measure>`, `<measure>_low` and `<measure>_high`; None where there is nothing to measure.
    Resamples without a value are ignored.
    """
    sums = antibodies[list(SUMS)].to_numpy(np.float64)
    weights = np.zeros((BOOTSTRAP_DRAWS, len(sums)))
    rng = np.random.default_rng(seed)
    strata = antibodies.groupby(["seed", antibodies["true_sum"] > 0], sort=True).indices
    for members in strata.values():
        uniform = np.full(len(members), 1.0 / len(members))
        weights[:, members] = rng.multinomial(len(members), uniform, BOOTSTRAP_DRAWS)
    resampled = measures(weights @ sums)
    values = measures(sums.sum(axis=0))
    tail = (1.0 - CONFIDENCE) / 2.0
    row: dict[str, float | None] = {}
    for index, name in enumerate(MEASURES):
        known = resampled[~np.isnan(resampled[:, index]), index]
        ends = np.quantile(known, [tail, 1.0 - tail]) if known.size else (None, None)
        for suffix, value in zip(("", "_low", "_high"), (values[index], *ends), strict=True):
            row[name + suffix] = None if value is None or np.isnan(value) else float(value)
    return row
