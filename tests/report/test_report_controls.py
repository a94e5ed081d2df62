"""The section of the spike-in controls: sentences, table, pictures, reasons for their absence."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from cacl import tables
from cacl.report.controls import Controls
from cacl.report.text import NO_BREAK
from cacl.tables.control_schemas import MODEL, ControlCoreRow, ControlRow, LimitRow
from tests.fixtures.reports import hostile_atlas, page_of, run

CORE = ControlCoreRow(
    image_id="HPA000011/1_A_7_2",
    antibody_id="HPA000011",
    used=True,
    border_um=4000.0,
    painted_um=2000.0,
    note="",
)
LIMIT = LimitRow(
    method=MODEL,
    width_um=3.0,
    limit_od=0.183,
    limit_low=0.15,
    limit_high=0.22,
    highest_dose_od=0.8,
)


def row(dose: float, recall: float, method: str = MODEL, antibodies: int = 5) -> ControlRow:
    return ControlRow(
        method=method,
        threshold=None if method == MODEL else 0.4,
        width_um=3.0,
        dose_od=dose,
        antibodies=antibodies,
        cores=8,
        tiles=120,
        recall=recall,
        recall_low=recall,
        recall_high=recall,
        precision=0.9,
        dice=0.8,
        dice_low=None,
        dice_high=None,
        boundary_f1=0.95,
        found_percent=0.02,
        painted_percent=1.5,
        slope=0.9,
        ccc=0.8,
    )


ROWS = (row(0.0, 0.0), row(0.2, 0.6), row(0.8, 0.92), row(0.8, 0.99, "DAB threshold, best"))


def plain(text: str) -> str:
    return text.replace(NO_BREAK, " ")


def test_sentence_states_limit_interval_recall_and_unpainted_area() -> None:
    controls = Controls(ROWS, (LIMIT,), (CORE,))
    assert plain(controls.sentence) == (
        "In spike-in controls on 8 negative cores of 5 antibodies that training did not see, "
        "borders of at least 0.18 OD of DAB are found (95 % interval 0.15 to 0.22), and 92.0 % of "
        "the painted area at 0.8 OD; 0.02 % of the cell area of the same cores is stained without "
        "paint."
    )
    assert controls.why_none == ""
    assert controls.doses == [0.2, 0.8]


def test_sentence_of_a_model_that_finds_less_than_half() -> None:
    limit = dataclasses.replace(LIMIT, limit_od=None, limit_low=None, limit_high=None)
    sentence = plain(Controls(ROWS, (limit,), (CORE,)).sentence)
    assert "less than half of a painted border is found at every density up to 0.8 OD" in sentence


def test_open_interval_and_few_antibodies_are_said() -> None:
    limit = dataclasses.replace(LIMIT, limit_high=None)
    rows = tuple(dataclasses.replace(each, antibodies=1) for each in ROWS)
    sentence = plain(Controls(rows, (limit,), (CORE,)).sentence)
    assert "(95 % interval from 0.15 to above the highest dose)" in sentence
    assert sentence.endswith("With 1 antibody, the interval over antibodies says little.")


@pytest.mark.parametrize(
    ("cores", "reason"),
    [
        ((), "no negative core belongs to an antibody that the training did not see"),
        (
            (dataclasses.replace(CORE, used=False, note="no border"),),
            "none of the 1 negative cores of antibodies that the training did not see can be "
            "painted (no border)",
        ),
    ],
)
def test_reason_why_there_are_none(cores: tuple[ControlCoreRow, ...], reason: str) -> None:
    controls = Controls((), (), cores)
    assert controls.sentence == ""
    assert reason in controls.why_none


def test_report_shows_controls_and_copies_their_pictures(tmp_path: Path) -> None:
    atlas = hostile_atlas(tmp_path)
    folder = tmp_path / "controls"
    tables.write_parquet(folder / "controls.parquet", ROWS, ControlRow)
    tables.write_parquet(folder / "limits.parquet", [LIMIT], LimitRow)
    tables.write_parquet(folder / "cores.parquet", [CORE], ControlCoreRow)
    tables.write_checked_bytes(folder / "picture-1.jpg", b"jpeg")
    out = run(atlas, "with controls", controls=folder)
    page = page_of(out)
    section = page[page.index('<section id="controls"') :]
    section = section[: section.index("</section>")]
    assert "borders of at least" in section
    assert 'src="images/controls-1.jpg"' in section
    assert "not painted, then 0.2, 0.8 OD" in section
    assert section.count("<tr>") == 1 + len(ROWS)
    assert 'data-figure="controls"' in section
    assert page.count('id="figure-controls"') == 1
    assert (out / "images" / "controls-1.jpg").read_bytes() == b"jpeg"
    assert len(tables.read_csv(out / "controls.csv", ControlRow)) == len(ROWS)
    assert len(tables.read_csv(out / "limits.csv", LimitRow)) == 1
    header = page[: page.index("</header>")]
    assert "borders of at least" in header


def test_report_without_controls_says_why(tmp_path: Path) -> None:
    page = page_of(run(hostile_atlas(tmp_path), "without"))
    assert "There are no spike-in controls" in page
