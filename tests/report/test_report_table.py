"""Tables of the report in a browser: filters and choice of columns, copy, CSV, definitions."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from cacl import tables
from cacl.report.definitions import page_definitions
from cacl.tables.dictionary import report_tables
from cacl.tables.schemas import AntibodyRow
from tests.fixtures.browser import OpenPage, accessibility_violations, draw_figures, open_page
from tests.fixtures.reports import hostile_atlas, run, write_model
from tests.fixtures.small_atlas import Core, SmallAtlas, build

pytestmark = pytest.mark.browser

WITHOUT_CLIPBOARD = "Object.defineProperty(navigator, 'clipboard', { value: undefined })"


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> SmallAtlas:
    return hostile_atlas(tmp_path_factory.mktemp("atlas"))


def tools(page: Any, name: str) -> Any:
    return page.locator("#table-tools").get_by_role("button", name=name)


def saved_rows(page: Any) -> list[dict[str, str]]:
    """Return the rows of the CSV that the page saves."""
    with page.expect_download() as download:
        tools(page, "Save the selected rows as CSV").click()
    assert download.value.suggested_filename == "antibodies-selected.csv"
    text = Path(download.value.path()).read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))


def test_columns_are_filtered_by_number_and_text(opened: OpenPage) -> None:
    page = opened.page
    rows = page.locator("#table tbody tr")
    assert page.locator(".column-filters").first.is_hidden()
    tools(page, "Column filters").click()
    page.locator("#table").get_by_label("Ratio in per cent at least").fill("12,5")
    assert rows.count() == 3
    page.locator("#table").get_by_label("Ratio in per cent at most").fill("30")
    assert rows.count() == 2
    page.locator("#table").get_by_label("HPA contains").fill("MEDI")
    assert rows.count() == 1
    assert "HPA000002" in rows.inner_text()
    page.wait_for_url("**/*hpa_staining.has=MEDI*")
    page.locator("#table").get_by_label("Ratio in per cent at most").fill("x")
    assert (
        page.locator("#table")
        .get_by_label("Ratio in per cent at most")
        .get_attribute("aria-invalid")
        == "true"
    )
    assert rows.count() == 1
    assert opened.messages == []
    assert accessibility_violations(page) == []
    page.get_by_role("button", name="Reset", exact=True).click()
    rows.nth(8).wait_for()
    assert page.locator("#table").get_by_label("HPA contains").input_value() == ""
    assert "#" not in page.url


def test_interval_is_filtered_by_its_ends(opened: OpenPage) -> None:
    page = opened.page
    tools(page, "Column filters").click()
    page.locator("#table").get_by_label("95 % interval in per cent at least").fill("0.05")
    assert page.locator("#table tbody tr").count() == 1
    page.locator("#table").get_by_label("95 % interval in per cent at most").fill("99")
    assert page.locator("#table tbody tr").count() == 0


def test_chosen_columns_order_and_filters_are_in_the_address(
    chromium: Any, opened: OpenPage
) -> None:
    page = opened.page
    page.locator("#table-tools summary").click()
    page.get_by_role("checkbox", name="Ensembl").check()
    page.get_by_role("checkbox", name="z", exact=True).uncheck()
    assert accessibility_violations(page) == []
    page.keyboard.press("Escape")
    assert page.get_by_role("checkbox", name="Ensembl").is_hidden()
    page.locator("th[data-key=ensembl_id] .sort").click()
    page.fill("#search", "neg")
    page.locator(".contents a", has_text="Genes").click()
    again = chromium.new_page()
    again.goto(page.url)
    keys = "heads => heads.map(head => head.dataset.key)"
    shown = again.locator("#table th").evaluate_all(keys)
    assert "ensembl_id" in shown
    assert "z" not in shown
    assert again.locator("#table tbody tr").count() == 6
    assert again.locator("th[data-key=ensembl_id]").get_attribute("aria-sort") == "ascending"
    again.close()
    page.locator("#table-tools summary").click()
    page.get_by_role("button", name="As at first").click()
    assert page.locator("#table th").evaluate_all(keys) != shown


def test_csv_has_the_selected_rows_and_the_chosen_columns(
    opened: OpenPage, atlas: SmallAtlas
) -> None:
    page = opened.page
    page.select_option("#label", "positive")
    rows = saved_rows(page)
    assert [row["antibody_id"] for row in rows] == ["HPA000001", "HPA000002"]
    table = csv.DictReader((atlas.path("report/antibodies.csv")).open(encoding="utf-8"))
    for row, original in zip(rows, table, strict=False):
        assert set(row) < set(original)
        for name, value in row.items():
            if original[name] not in ("", value):
                assert float(value) == pytest.approx(float(original[name]), rel=1e-5)


def test_formulas_have_an_apostrophe(chromium: Any, tmp_path: Path) -> None:
    genes = {"HPA000001": "=1+1", "HPA000002": "-cmd", "HPA000003": 'a,"b"', "HPA000004": "-12"}
    atlas = build(tmp_path, [Core(name, 12, gene=gene) for name, gene in genes.items()])
    atlas.measure()
    write_model(atlas)
    with open_page(chromium, run(atlas, failures=[]) / "report.html") as opened:
        saved = {row["antibody_id"]: row["gene"] for row in saved_rows(opened.page)}
    table = csv.DictReader((atlas.path("report/antibodies.csv")).open(encoding="utf-8"))
    assert saved == {row["antibody_id"]: row["gene"] for row in table}
    assert saved["HPA000001"] == "'=1+1"


@pytest.mark.parametrize("has_clipboard", [True, False])
def test_copies_the_page_of_rows(chromium: Any, atlas: SmallAtlas, has_clipboard: bool) -> None:
    context = chromium.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    if not has_clipboard:
        page.add_init_script(WITHOUT_CLIPBOARD)
    page.goto((atlas.path("report") / "report.html").resolve().as_uri())
    page.fill("#search", "si")
    tools(page, "Copy this page").click()
    page.locator("#table-tools", has_text="2 rows copied").wait_for()
    page.fill("#search", "")
    page.focus("#search")
    page.keyboard.press("Control+V")
    assert page.input_value("#search").startswith("rank\tgene\tantibody_id")
    assert "1\tSI\tHPA000001\t0.375" in page.input_value("#search")
    context.close()


def test_every_number_of_the_page_has_a_definition(opened: OpenPage) -> None:
    known = {row[0]: row[3] for row in page_definitions(report_tables("cell type"))}
    draw_figures(opened.page)
    opened.page.locator("#gene-table tbody tr").first.wait_for()
    opened.page.locator("#table .open").first.click()
    opened.page.locator("#panel figure").first.wait_for()
    keys = opened.page.locator("[data-term]").evaluate_all(
        "buttons => buttons.flatMap(button => button.dataset.term.split(' '))"
    )
    assert len(set(keys)) > 60
    for key in keys:
        assert known[key], key
    shown = {f"antibodies.{name}" for name in tables.columns(AntibodyRow)}
    assert shown - {"antibodies.cell_area_px", "antibodies.stained_area_px"} <= set(keys)
    assert opened.messages == []


def test_definition_opens_with_the_keyboard(opened: OpenPage) -> None:
    page = opened.page
    box = page.locator("#definition")
    button = page.get_by_role("button", name="Definition of q", exact=True).first
    button.press("Enter")
    box.wait_for(state="visible")
    assert "p-value adjusted by Benjamini-Hochberg" in box.inner_text()
    assert opened.messages == []
    assert accessibility_violations(page) == []
    page.keyboard.press("Escape")
    box.wait_for(state="hidden")
    page.locator("#table .open").first.click()
    page.locator("#panel figure").first.wait_for()
    page.locator("#panel").get_by_role("button", name="H-score").click()
    box.wait_for(state="visible")
    assert "H-score by area" in box.inner_text()
    page.keyboard.press("Escape")
    box.wait_for(state="hidden")
    assert page.locator("#panel").is_visible()


def test_figures_are_saved_as_svg(opened: OpenPage) -> None:
    figures = opened.page.locator("[data-svg]")
    assert figures.count() == opened.page.locator("[data-figure]").count() == 6
    for key in ("training-0", "ranking"):
        with opened.page.expect_download() as download:
            opened.page.locator(f"[data-svg={key}]").click()
        assert download.value.suggested_filename == f"cacl-atlas-{key}.svg"
        text = Path(download.value.path()).read_text(encoding="utf-8")
        assert text.startswith("<svg")
        assert "<script" not in text
    assert "HPA000001" in text
    assert opened.messages == []
