"""Tables of the spike-in controls: measures by dose, and the detection limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from cacl.benchmark.metrics import concordance_from_sums
from cacl.stats.intervals import BOOTSTRAP_DRAWS, CONFIDENCE
from cacl.tables.control_schemas import ControlRow, LimitRow

Float64 = NDArray[np.float64]
FOUND_FRACTION = 0.5
SUMS = ("tiles", "painted_px", "found_px", "overlap_px", "dice_sum", "boundary_f1_sum")
QUOTIENTS = {
    "recall": ("overlap_px", "painted_px"),
    "precision": ("overlap_px", "found_px"),
    "dice": ("dice_sum", "tiles"),
    "boundary_f1": ("boundary_f1_sum", "tiles"),
}
WITH_INTERVAL = ("recall", "dice")
MIN_CORES_FOR_SLOPE = 3


def control_rows(measures: pd.DataFrame, thresholds: dict[str, float]) -> list[ControlRow]:
    """Return one row per method, width and dose.

    Parameters
    ----------
    measures
        Columns of `ControlMeasureRow`.
    thresholds
        Threshold of the methods that have one.
    """
    rows = []
    for (method, width_um, dose_od), group in measures.groupby(
        ["method", "width_um", "dose_od"], sort=False
    ):
        sums = group.groupby("antibody_id", sort=True)[list(SUMS)].sum()
        weights = _resamples(len(sums))
        values: dict[str, Any] = {}
        for name, quotient in QUOTIENTS.items():
            resampled = _quotient(sums, quotient, weights)
            values[name] = _or_none(_quotient(sums, quotient, np.ones((1, len(sums))))[0])
            if name in WITH_INTERVAL:
                values[f"{name}_low"], values[f"{name}_high"] = _interval(resampled)
        slope, ccc = None, None
        if dose_od:
            slope, ccc = _agreement(group["painted_ratio"], group["found_ratio"])
        rows.append(
            ControlRow(
                method=str(method),
                threshold=thresholds.get(str(method)),
                width_um=float(str(width_um)),
                dose_od=float(str(dose_od)),
                antibodies=len(sums),
                cores=len(group),
                tiles=int(group["tiles"].sum()),
                found_percent=100.0 * float(group["found_ratio"].mean()),
                painted_percent=100.0 * float(group["painted_ratio"].mean()),
                slope=slope,
                ccc=ccc,
                **values,
            )
        )
    return rows


def limit_rows(measures: pd.DataFrame) -> list[LimitRow]:
    """Return the detection limit of each method and width.

    It is the lowest dose at which half of the painted border is found: between two doses by linear
    interpolation of the recall. The interval is a percentile bootstrap over antibodies; it is empty
    with a single antibody.

    Parameters
    ----------
    measures
        Columns of `ControlMeasureRow`.
    """
    rows = []
    for (method, width_um), group in measures.groupby(["method", "width_um"], sort=False):
        sums = group.groupby(["dose_od", "antibody_id"], sort=True)[list(SUMS)].sum()
        by_dose = {dose: sums.loc[dose] for dose in sorted(set(group["dose_od"].tolist()))}
        count = len(next(iter(by_dose.values())))
        resampled = _limits(by_dose, _resamples(count)) if count > 1 else np.array([])
        low, high = _interval(resampled, method="nearest")
        rows.append(
            LimitRow(
                method=str(method),
                width_um=float(str(width_um)),
                limit_od=_or_none(_limits(by_dose, np.ones((1, count)))[0]),
                limit_low=low,
                limit_high=high,
                highest_dose_od=max(by_dose),
            )
        )
    return rows


def _limits(by_dose: Mapping[float, pd.DataFrame], weights: Float64) -> Float64:
    """Return the detection limit for each resample of the antibodies."""
    doses = np.array([*by_dose])
    recall = [_quotient(sums, QUOTIENTS["recall"], weights) for sums in by_dose.values()]
    return np.array([detection_limit(doses, row) for row in np.array(recall).T])


def detection_limit(doses: Float64, recall: Float64) -> float:
    """Return the lowest dose with a recall of at least `FOUND_FRACTION`; infinity if none has.

    Parameters
    ----------
    doses
        Rising doses (n,), from 0.
    recall
        Recall at each, (n,), 0 to 1.
    """
    reached = np.flatnonzero(recall >= FOUND_FRACTION)
    if not reached.size:
        return float("inf")
    index = int(reached[0])
    if index == 0:
        return float(doses[0])
    below, above = recall[index - 1], recall[index]
    part = (FOUND_FRACTION - below) / (above - below)
    return float(doses[index - 1] + part * (doses[index] - doses[index - 1]))


def _quotient(sums: pd.DataFrame, quotient: tuple[str, str], weights: Float64) -> Float64:
    """Return a quotient of sums for each resample of the antibodies, NaN where it is undefined."""
    numerator, denominator = (weights @ sums[name].to_numpy(np.float64) for name in quotient)
    undefined = np.full(len(weights), np.nan)
    return np.asarray(np.divide(numerator, denominator, out=undefined, where=denominator > 0))


def _resamples(antibodies: int) -> Float64:
    """Return how often each antibody is in each bootstrap sample, (draws, antibodies)."""
    rng = np.random.default_rng(0)
    uniform = np.full(antibodies, 1.0 / antibodies)
    return rng.multinomial(antibodies, uniform, BOOTSTRAP_DRAWS).astype(np.float64)


def _interval(values: Float64, method: Any = "linear") -> tuple[float | None, float | None]:
    values = values[~np.isnan(values)]
    if not values.size:
        return None, None
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(values, [tail, 1.0 - tail], method=method)
    return _or_none(low), _or_none(high)


def _agreement(painted: pd.Series, found: pd.Series) -> tuple[float | None, float | None]:
    """Return slope and concordance of the found against the painted ratios of the cores."""
    x, y = painted.to_numpy(np.float64), found.to_numpy(np.float64)
    if len(x) < MIN_CORES_FOR_SLOPE or np.ptp(x) == 0.0:
        return None, None
    ccc = concordance_from_sums(
        len(x), y.sum(), x.sum(), (y * y).sum(), (x * x).sum(), (x * y).sum()
    )
    return float(stats.linregress(x, y).slope), float(ccc)


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
