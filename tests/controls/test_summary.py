"""Tables of the controls: known sums, detection limits and agreement."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from cacl.controls.summary import control_rows, detection_limit, limit_rows
from cacl.tables.control_schemas import MODEL, ControlMeasureRow

DOSES = (0.0, 0.1, 0.2, 0.4)


def measure(antibody: str, dose: float, recall: float) -> ControlMeasureRow:
    return ControlMeasureRow(
        image_id=f"{antibody}/1",
        antibody_id=antibody,
        method=MODEL,
        width_um=3.0,
        dose_od=dose,
        tiles=10,
        painted_px=1000,
        found_px=800,
        overlap_px=round(1000 * recall),
        dice_sum=7.5,
        boundary_f1_sum=9.0,
        painted_ratio=0.02,
        found_ratio=0.01,
    )


def frame(recalls: Mapping[str, tuple[float, ...]]) -> pd.DataFrame:
    rows = [
        dataclasses.asdict(measure(antibody, dose, recall))
        for antibody, values in recalls.items()
        for dose, recall in zip(DOSES, values, strict=True)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("recall", "limit"),
    [
        ((0.0, 0.5, 0.9, 1.0), 0.1),
        ((0.0, 0.25, 0.75, 1.0), 0.15),
        ((0.0, 0.0, 0.0, 1.0), 0.3),
        ((0.6, 0.7, 0.8, 0.9), 0.0),
        ((0.0, 0.1, 0.2, 0.49), float("inf")),
        ((0.0, 0.8, 0.3, 0.9), 0.0625),
    ],
)
def test_detection_limit_is_the_lowest_dose_of_which_half_is_found(
    recall: tuple[float, ...], limit: float
) -> None:
    assert detection_limit(np.array(DOSES), np.array(recall)) == pytest.approx(limit)


def test_measures_pool_the_cores() -> None:
    recalls = {"A": (0.0, 0.2, 0.6, 0.9), "B": (0.0, 0.4, 0.8, 0.7)}
    rows = control_rows(frame(recalls), {})
    assert [row.dose_od for row in rows] == list(DOSES)
    third = rows[2]
    assert (third.antibodies, third.cores, third.tiles, third.threshold) == (2, 2, 20, None)
    assert third.recall == pytest.approx(0.7)
    assert third.precision == pytest.approx(1400 / 1600)
    assert third.dice == pytest.approx(0.75)
    assert third.boundary_f1 == pytest.approx(0.9)
    assert third.recall_low == pytest.approx(0.6)
    assert third.recall_high == pytest.approx(0.8)
    assert third.painted_percent == pytest.approx(2)
    assert third.found_percent == pytest.approx(1)
    assert (third.slope, third.ccc) == (None, None)


def test_slope_and_concordance_of_the_ratios() -> None:
    measures = pd.concat([frame({name: (0.0, 0.2, 0.6, 0.9)}) for name in "ABCD"])
    measures = measures[measures["dose_od"] == 0.4].reset_index(drop=True)
    measures["painted_ratio"] = [0.01, 0.02, 0.03, 0.04]
    measures["found_ratio"] = 0.5 * measures["painted_ratio"]
    (row,) = control_rows(measures, {})
    assert row.slope == pytest.approx(0.5)
    # 2 cov / (var_x + var_y + (mean_x - mean_y)^2), by hand.
    assert row.ccc == pytest.approx(2 * 0.5 * 1.25 / (1.25 + 0.25 * 1.25 + 1.25**2))


def test_limit_has_an_interval_over_antibodies() -> None:
    (row,) = limit_rows(frame({"A": (0.0, 0.5, 0.9, 1.0), "B": (0.0, 0.0, 0.5, 1.0)}))
    assert row.limit_od == pytest.approx(0.1 + 0.1 * (0.5 - 0.25) / (0.7 - 0.25))
    assert row.limit_low == pytest.approx(0.1)
    assert row.limit_high == pytest.approx(0.2)
    assert row.highest_dose_od == 0.4


def test_limit_above_the_highest_dose_is_empty() -> None:
    (row,) = limit_rows(frame({"A": (0.0, 0.1, 0.2, 0.3), "B": (0.0, 0.6, 0.9, 1.0)}))
    assert row.limit_od == pytest.approx(0.2 - 0.1 * (0.55 - 0.5) / (0.55 - 0.35))
    assert row.limit_low == pytest.approx(0.1 * 0.5 / 0.6)
    assert row.limit_high is None


def test_single_antibody_has_a_limit_without_interval() -> None:
    (row,) = limit_rows(frame({"A": (0.0, 0.5, 0.9, 1.0)}))
    assert row.limit_od == pytest.approx(0.1)
    assert (row.limit_low, row.limit_high) == (None, None)


def test_no_measures_give_empty_tables() -> None:
    empty = frame({"A": (0.0, 0.5, 0.9, 1.0)}).iloc[:0]
    assert control_rows(empty, {}) == []
    assert limit_rows(empty) == []
