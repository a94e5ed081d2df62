from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cacl import tables
from cacl.report.review import MAX_ROWS, review_rows
from cacl.tables.io import _nullable
from cacl.tables.schemas import MeasureRow, ReviewRow, SegmentedRow
from tests.fixtures.reports import cores, page_of, run
from tests.fixtures.small_atlas import build

PLAIN: dict[str, Any] = {
    "ensembl_id": "", "gene": "", "tissue": "duodenum", "patient_id": "1", "label": "", "tiles": 9,
    "cell_area_px": 1000, "dab_area_px": 0, "border_share": None, "hpa_staining": "",
    "hpa_intensity": "", "hpa_quantity": "", "hpa_location": "", "qc": "",
}  # fmt: skip


def image(name: str, ratio: float | None, **changes: Any) -> MeasureRow:
    given = {"image_id": f"{name}/1", "antibody_id": name, "stained_to_cell_ratio": ratio}
    given |= {"stained_area_px": round(1000 * (ratio or 0)), "ratio_low": None, "ratio_high": None}
    return MeasureRow(**(PLAIN | given | changes))


def frame(rows: list[MeasureRow]) -> pd.DataFrame:
    table = tables.to_table(rows, MeasureRow)
    converted: pd.DataFrame = table.to_pandas(types_mapper=_nullable)
    return converted


def negatives(count: int = 21) -> list[MeasureRow]:
    """Images annotated as not detected with ratios of 0 to 0.02; their 0.95 quantile is 0.019."""
    return [
        image(f"N{number:02d}", number / 1000, label="negative", hpa_staining="not detected")
        for number in range(count)
    ]


def test_low_view_agreement_is_reviewed() -> None:
    rows = [
        image("A", 0.1, confidence=0.85),
        image("B", 0.1, confidence=0.6, ratio_sd=0.0123),
        image("C", 0.1, confidence=0.95),
        image("D", 0.0, confidence=None),
    ]
    reviews = review_rows(frame(rows))
    assert [(row.rank, row.antibody_id) for row in reviews] == [(1, "B"), (2, "A")]
    assert reviews[0].view_uncertainty == reviews[0].score == pytest.approx(0.4)
    assert reviews[0].why == (
        "the masks of the model's single views have a mean Dice of only 0.60 and ratios with a "
        "standard deviation of 1.23%"
    )


def test_contradicting_annotation_is_reviewed() -> None:
    rows = [
        *negatives(8),
        image("P", 0.5, label="positive", hpa_staining="high"),
        image("Q", 0.0005, label="positive", hpa_staining="high"),
    ]
    reviews = review_rows(frame(rows))
    assert reviews[0].antibody_id == "Q"
    assert reviews[0].annotation_uncertainty == pytest.approx((8 - 1) / 10)
    assert reviews[0].why.startswith(
        "annotated “high”, but 0.05% of the cell area is stained; expected at least "
    )


@pytest.mark.parametrize(
    ("low", "high", "uncertainty"),
    [(0.019, 0.3, 0.0), (0.03, 0.3, 0.0), (0.001, 0.0189, 0.0), (0.001, 0.272614, 1.0)],
)
def test_interval_around_the_limit_of_negatives_is_reviewed(
    low: float, high: float, uncertainty: float
) -> None:
    """The odds of 0.019 are the geometric mean of those of 0.001 and 0.272614."""
    one = image("A", (low + high) / 2, ratio_low=low, ratio_high=high)
    reviews = review_rows(frame([*negatives(), one]))
    mine = [row.interval_uncertainty for row in reviews if row.antibody_id == "A"]
    assert mine == ([pytest.approx(uncertainty, abs=1e-4)] if uncertainty else [])
    if uncertainty:
        assert (
            "0.10% to 27.26%, contains 1.90%, the ratio below which 95% of the cores"
            in reviews[0].why
        )


def test_interval_uncertainty_needs_negatives_and_excludes_them() -> None:
    one = image("A", 0.1, ratio_low=0.001, ratio_high=0.272614)
    assert review_rows(frame([*negatives(4), one])) == []
    wide = [dataclasses.replace(row, ratio_low=1e-3, ratio_high=0.9) for row in negatives()]
    assert review_rows(frame(wide)) == []


def test_score_is_the_sum_and_quality_flags_count_half() -> None:
    rows = [
        image("A", 0.1, confidence=0.55),
        image("B", None, qc="blur;little tissue"),
        image("C", 0.1, confidence=0.95, qc="fold"),
    ]
    reviews = review_rows(frame(rows))
    assert [row.antibody_id for row in reviews] == ["C", "B", "A"]
    assert [row.score for row in reviews] == pytest.approx([0.55, 0.5, 0.45])
    assert reviews[0].why == "quality flags: fold"
    assert reviews[1].why == "quality flags: blur, little tissue"
    assert reviews[1].stained_to_cell_ratio is None


def test_at_most_100_rows_in_fixed_order() -> None:
    rows = [image(f"A{number:03d}", 0.1, confidence=0.5) for number in range(150)]
    reviews = review_rows(frame(rows[::-1]))
    assert [row.antibody_id for row in reviews] == [row.antibody_id for row in rows[:MAX_ROWS]]
    assert review_rows(frame([])) == []


def test_report_lists_cores_to_review(tmp_path: Path) -> None:
    made = build(tmp_path, cores())
    segmented = tables.read_parquet(made.path("segmented.parquet"), SegmentedRow)
    changed = [
        dataclasses.replace(row, confidence=0.3 if row.antibody_id == "HPA000002" else 0.8)
        for row in segmented
    ]
    tables.write_parquet(made.path("segmented.parquet"), changed, SegmentedRow)
    made.measure()
    folder = run(made, failures=[])
    rows = tables.read_parquet(folder / "review.parquet", ReviewRow)
    assert rows[0].image_id == "HPA000002/1_A_7_2"
    assert len(tables.read_csv(folder / "review.csv", ReviewRow)) == len(rows) == 10
    page = page_of(folder)
    assert "single views have a mean Dice of only 0.30" in page
    assert page.count('class="thumbnail"') == 10
    assert (
        "drawn/&lt;image_id&gt;.geojson</code>, set <code>labels.drawn: drawn</code> and run"
        in page
    )
    assert "Dice coefficient between the masks of two" in (folder / "methods.md").read_text()


def test_report_states_that_no_core_needs_review(tmp_path: Path) -> None:
    made = build(tmp_path, cores()[:2])
    made.measure()
    assert "No core needs review" in page_of(run(made, failures=[]))
