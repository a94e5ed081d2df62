"""Sums over one antibody's tiles and cores, from which every measure and its interval follow.

An antibody is the unit that is drawn again: its tiles resemble each other. As each measure is a
function of sums, a thousand resamples are one matrix product, and runs of several seeds are pooled
by writing their antibodies below each other.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cacl.benchmark.metrics import concordance_of
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
class Tally:
    """One method on one antibody: sums over tiles of the balanced sample, and over cores."""

    atlas: str = column("which test antibodies")
    seed: int = column("seed of the atlas and of the training")
    method: str = column("what made the mask")
    threshold: float | None = column("on the method's own scale; empty where it has none")
    antibody_id: str = column("antibody")
    tiles: float = column("tiles of the sample")
    dice: float = column("sum over them, the paper's convention")
    recall: float = column("sum over them, the paper's convention")
    precision: float = column("sum over them, the paper's convention")
    bce: float = column("sum over them")
    positive_tiles: float = column("tiles of the sample that hold the pattern")
    dice_positive: float = column("sum of Dice over these")
    boundary_f1: float = column("sum over these")
    negative_stained_px: float = column("mask on cells of all tiles without truth", "px")
    negative_cell_px: float = column("cell area of these", "px")
    cores: float = column("cores")
    found: float = column("sum of their stained-to-cell ratios by the mask")
    wanted: float = column("sum of their true ratios")
    found_squared: float = column("sum of squares")
    wanted_squared: float = column("sum of squares")
    found_wanted: float = column("sum of products")


SUMS = tuple(field.name for field in fields(Tally))[5:]


def measures(sums: Float64) -> Float64:
    """Return all measures, in the order of `MEASURES`.

    Parameters
    ----------
    sums
        (..., k) in the order of `SUMS`.

    Returns
    -------
    (..., 8), NaN where a measure has nothing to be measured on.
    """
    s = {name: sums[..., place] for place, name in enumerate(SUMS)}
    with np.errstate(invalid="ignore", divide="ignore"):
        over_tiles = [s[name] / s["tiles"] for name in MEASURES[:4]]
        on_positive = [s[name] / s["positive_tiles"] for name in MEASURES[4:6]]
        negative = 100.0 * s["negative_stained_px"] / s["negative_cell_px"]
    ratio = concordance_of(
        s["cores"],
        s["found"],
        s["wanted"],
        s["found_squared"],
        s["wanted_squared"],
        s["found_wanted"],
    )
    return np.stack([*over_tiles, *on_positive, negative, ratio], axis=-1)


def with_intervals(antibodies: pd.DataFrame, seed: int) -> dict[str, float | None]:
    """Return each measure with its 95 % bootstrap interval over antibodies.

    Antibodies with the pattern and without it are drawn apart, and those of each seed, as the
    sample is balanced by design: a draw of negative antibodies alone would say nothing.

    Parameters
    ----------
    antibodies
        Columns of `Tally`, one row an antibody (and seed) of one method.
    seed
        Of the resampling; equal antibodies are drawn for all methods.

    Returns
    -------
    `<measure>`, `<measure>_low` and `<measure>_high`; None where there is nothing to measure. A
    resample that has nothing to measure does not count.
    """
    sums = antibodies[list(SUMS)].to_numpy(np.float64)
    times = np.zeros((BOOTSTRAP_DRAWS, len(sums)))
    rng = np.random.default_rng(seed)
    strata = antibodies.groupby(["seed", antibodies["wanted"] > 0], sort=True).indices
    for members in strata.values():
        even = np.full(len(members), 1.0 / len(members))
        times[:, members] = rng.multinomial(len(members), even, BOOTSTRAP_DRAWS)
    drawn = measures(times @ sums)
    values = measures(sums.sum(axis=0))
    tail = (1.0 - CONFIDENCE) / 2.0
    row: dict[str, float | None] = {}
    for place, name in enumerate(MEASURES):
        known = drawn[~np.isnan(drawn[:, place]), place]
        ends = np.quantile(known, [tail, 1.0 - tail]) if known.size else (None, None)
        for suffix, value in zip(("", "_low", "_high"), (values[place], *ends), strict=True):
            row[name + suffix] = None if value is None or np.isnan(value) else float(value)
    return row
