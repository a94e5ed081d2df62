"""The report in a browser, opened from disk."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from cacl import tables
from cacl.report import text
from cacl.tables.schemas import FailureRow, MeasureRow
from tests.fixtures.browser import OpenPage, accessibility_violations, draw_figures, open_page
from tests.fixtures.reports import HOSTILE, empty_atlas, failed, hostile_atlas, run, write_model
from tests.fixtures.small_atlas import Core, SmallAtlas, build

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> SmallAtlas:
    return hostile_atlas(tmp_path_factory.mktemp("atlas"))


@pytest.fixture
def empty(tmp_path: Path) -> SmallAtlas:
    return empty_atlas(tmp_path)


def test_search_filter_and_sort(opened: OpenPage) -> None:
    rows = opened.page.locator("#table tbody tr")
    assert rows.count() == 9
    opened.page.fill("#search", "si hpa000002")
    assert rows.count() == 1
    assert "1 of 9" in opened.page.inner_text("#shown")
    opened.page.fill("#search", "")
    opened.page.select_option("#staining", "not detected")
    assert rows.count() == 6
    opened.page.select_option("#label", "positive")
    assert rows.count() == 0
    opened.page.select_option("#label", "*")
    opened.page.select_option("#staining", "*")
    opened.page.select_option("#max-q", "0.01")
    assert opened.page.inner_text("#shown") == "0 of 9 antibodies; change or reset the filters"
    opened.page.get_by_role("button", name="Reset", exact=True).click()
    rows.nth(8).wait_for()  # the browser resets the fields after the reset event
    assert rows.count() == 9
    assert opened.page.locator("#tissue").is_hidden()
    opened.page.get_by_role("button", name="Antibody", exact=True).press("Enter")
    first = opened.page.locator("#table tbody tr:first-child td:nth-child(3)")
    assert first.inner_text() == "HPA000001"
    header = opened.page.locator("th[data-key=antibody_id]")
    assert header.get_attribute("aria-sort") == "ascending"
    header.locator(".sort").click()
    assert first.inner_text() == "HPA000015"
    assert opened.messages == []


def test_masks_can_be_hidden(opened: OpenPage) -> None:
    stack = opened.page.locator("#cores .stack").first
    mask = stack.locator(".mask")
    stack.scroll_into_view_if_needed()
    opacity = "element => getComputedStyle(element).opacity"
    mask.evaluate("element => element.style.transition = 'none'")
    assert mask.evaluate(opacity) == "1"
    assert mask.evaluate("element => element.decode().then(() => element.naturalWidth)") == 128
    stack.click()
    assert mask.evaluate(opacity) == "0"
    stack.press("Enter")
    assert mask.evaluate(opacity) == "1"
    opened.page.keyboard.press("m")
    assert mask.evaluate(opacity) == "0"
    assert not opened.page.is_checked("#masks")
    opened.page.check("#masks")
    assert mask.evaluate(opacity) == "1"
    assert opened.messages == []


def test_panel_opens_and_closes(opened: OpenPage) -> None:
    panel = opened.page.locator("#panel")
    opened.page.locator("#table .open").first.press("Enter")
    panel.wait_for(state="visible")
    assert panel.locator("h2").inner_text() == "SI · HPA000001"
    assert panel.locator("figure").count() == 2
    assert "37.5 %" in panel.inner_text().replace(text.NO_BREAK, " ")
    link = panel.locator("a").first
    assert link.get_attribute("href") == "https://www.proteinatlas.org/ENSG00000090402"
    opened.page.wait_for_url("**/*#antibody=HPA000001")
    opened.page.keyboard.press("ArrowRight")
    panel.locator("h2", has_text="HPA000002").wait_for()
    assert panel.locator("figure").count() == 1
    panel.get_by_role("button", name="Previous antibody").click()
    panel.locator("h2", has_text="HPA000001").wait_for()
    mask = panel.locator(".stack").first
    assert mask.get_attribute("aria-pressed") == "true"
    mask.press("Enter")
    assert mask.get_attribute("aria-pressed") == "false"
    opened.page.keyboard.press("Escape")
    panel.wait_for(state="hidden")
    opened.page.wait_for_url(lambda url: "#antibody" not in url)
    opened.page.locator("#table .open", has_text="alert").click()
    panel.wait_for(state="visible")
    assert HOSTILE in panel.inner_text()
    assert panel.locator("a[href*=ensembl]").count() == 0
    link = panel.locator("a[href^='https://www.proteinatlas.org']")
    assert link.get_attribute("href") == "https://www.proteinatlas.org/search/HPA000003"
    panel.locator(".close").click()
    panel.wait_for(state="hidden")
    assert opened.messages == []


def test_draws_all_figures(opened: OpenPage) -> None:
    plots = opened.page.locator("[data-figure]")
    assert plots.count() == 6
    draw_figures(opened.page)
    assert opened.page.locator("#figure-volcano .points path").count() == 9
    assert opened.page.locator("#figure-annotation .points path").count() == 9
    assert opened.page.locator("#figure-training-0 .js-line").count() == 1
    assert opened.messages == []


@pytest.mark.parametrize("width", [390, 1280])
def test_page_is_never_wider_than_the_window(opened: OpenPage, width: int) -> None:
    opened.page.set_viewport_size({"width": width, "height": 800})
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.messages == []


def test_empty_report_is_accessible(chromium: Any, empty: SmallAtlas) -> None:
    with open_page(chromium, run(empty) / "report.html") as opened:
        assert opened.page.inner_text("#shown") == "0 of 0 antibodies"
        assert opened.messages == []
        assert accessibility_violations(opened.page) == []


def test_click_on_a_mark_opens_its_antibody(opened: OpenPage) -> None:
    draw_figures(opened.page)
    panel = opened.page.locator("#panel")
    for figure in ("specificity", "volcano", "ranking", "annotation"):
        canvas = opened.page.locator(f"#figure-{figure}")
        canvas.scroll_into_view_if_needed()
        box = marks_of(canvas, figure).bounding_box()
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        opened.page.mouse.move(*middle)
        canvas.locator(".hoverlayer .hovertext").first.wait_for()
        opened.page.mouse.click(*middle)
        panel.wait_for(state="visible")
        assert "HPA000001" in panel.locator("h2").inner_text(), figure
        opened.page.keyboard.press("Escape")
        panel.wait_for(state="hidden")
    assert opened.messages == []


def marks_of(canvas: Any, figure: str) -> Any:
    """Return the mark of HPA000001: the highest ratio, alone in its box, first in the ranking."""
    traces = canvas.locator(".trace.boxes" if figure == "annotation" else ".trace.scatter")
    return traces.nth(2 if figure == "annotation" else 0).locator(".point").first


def test_search_of_genes_selects_their_antibodies(opened: OpenPage) -> None:
    opened.page.locator("#gene-table").scroll_into_view_if_needed()
    rows = opened.page.locator("#gene-table tbody tr")
    rows.nth(7).wait_for()
    opened.page.fill("#gene-search", "ENSG00000090402")
    assert rows.count() == 1
    rows.locator(".open").click()
    assert opened.page.input_value("#search") == "ENSG00000090402"
    assert opened.page.inner_text("#shown") == "2 of 9 antibodies"
    assert opened.messages == []


def test_link_to_an_antibody_opens_its_panel(chromium: Any, atlas: SmallAtlas) -> None:
    page = chromium.new_page()
    address = (atlas.path("report") / "report.html").resolve().as_uri()
    page.goto(f"{address}#antibody=HPA000002")
    page.locator("#panel h2", has_text="HPA000002").wait_for()
    page.close()


NAMES = {
    "constructor": "",
    "p": "",
    "hasOwnProperty": "\u202egene\u202c of 'right' to \"left\"",
    "toString": "__proto__",
    "valueOf": "g" * 300,
    "prototype": "</script><!--",
    "isPrototypeOf": "=1+1",
    "HPA000001": "SI",
}
"""Antibodies whose names every object of JavaScript has, with genes of odd names.

A Zarr store reserves names that start with `__`, so the antibody `p` becomes `__proto__` after it
was measured.
"""


@pytest.fixture(scope="module")
def odd_names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a report on `NAMES`."""
    atlas = build(
        tmp_path_factory.mktemp("names"),
        [Core(name, 12 * n, gene=gene) for n, (name, gene) in enumerate(NAMES.items(), 1)],
    )
    atlas.measure()
    census = tables.read_parquet(atlas.path("census.parquet"), MeasureRow)
    rows = [
        dataclasses.replace(row, antibody_id="__proto__", image_id="__proto__/1_A_7_2")
        if row.antibody_id == "p"
        else row
        for row in census
    ]
    tables.write_parquet(atlas.path("census.parquet"), rows, MeasureRow)
    write_model(atlas)
    tables.write_csv(atlas.path("acquire.csv"), [failed("valueOf/2_A_7_2")], FailureRow)
    return run(atlas) / "report.html"


def test_antibodies_with_names_of_the_language_are_like_any_other(
    chromium: Any, odd_names: Path
) -> None:
    with open_page(chromium, odd_names) as opened:
        panel = opened.page.locator("#panel")
        names = ["__proto__" if name == "p" else name for name in NAMES]
        assert opened.page.locator("#table tbody tr").count() == len(names)
        for name in names:
            opened.page.locator(f'#table .open[data-antibody="{name}"]').click()
            panel.wait_for(state="visible")
            assert name in panel.locator("h2").inner_text()
            assert panel.locator("figure").count() == 1
            assert panel.locator(".failures").count() == int(name == "valueOf")
            opened.page.keyboard.press("Escape")
            panel.wait_for(state="hidden")
            opened.page.fill("#search", name.lower())
            assert f'data-antibody="{name}"' in opened.page.inner_html("#table tbody")
            opened.page.fill("#search", "")
        draw_figures(opened.page)
        ticks = opened.page.locator("#figure-ranking .yaxislayer-above text").all_text_contents()
        assert [tick.split()[-1] for tick in ticks] == names[::-1]
        heights = opened.page.locator("#figure-ranking .points path").evaluate_all(
            "marks => marks.map((mark) => Math.round(mark.getBoundingClientRect().top))"
        )
        assert len(set(heights)) == len(names)
        assert opened.messages == []


@pytest.mark.parametrize("name", ["constructor", "__proto__", "toString"])
def test_link_to_an_antibody_with_a_name_of_the_language(
    chromium: Any, odd_names: Path, name: str
) -> None:
    page = chromium.new_page()
    page.goto(f"{odd_names.resolve().as_uri()}#antibody={name}")
    page.locator("#panel h2", has_text=name).wait_for()
    page.close()


@pytest.mark.parametrize("address", ["#antibody=%E0%A4%A", "#antibody=__proto__", "#antibody="])
def test_link_to_no_antibody_opens_the_page(chromium: Any, atlas: SmallAtlas, address: str) -> None:
    page = chromium.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((atlas.path("report") / "report.html").resolve().as_uri() + address)
    page.locator("#gene-table tbody tr").first.wait_for()
    assert page.locator("#panel").is_hidden()
    assert errors == []
    page.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_page_has_no_serious_accessibility_violation(opened: OpenPage, width: int) -> None:
    opened.page.set_viewport_size({"width": width, "height": 800})
    draw_figures(opened.page)
    opened.page.locator("#gene-table tbody tr").first.wait_for()
    assert accessibility_violations(opened.page) == []
    opened.page.locator("#table .open").first.click()
    opened.page.locator("#panel figure").first.wait_for()
    assert accessibility_violations(opened.page) == []


def test_figures_fit_on_paper_and_are_restored(opened: OpenPage) -> None:
    draw_figures(opened.page)
    width = "canvas => canvas.querySelector('.main-svg').clientWidth"
    on_screen = opened.page.locator("#figure-volcano").evaluate(width)
    opened.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    paper_px = 703
    wait = "([id, most]) => document.querySelector(id + ' .main-svg').clientWidth <= most"
    for name, most in (("volcano", paper_px / 2), ("training-0", paper_px / 3)):
        opened.page.wait_for_function(wait, arg=[f"#figure-{name}", most])
    opened.page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    opened.page.wait_for_function(
        "most => document.querySelector('#figure-volcano .main-svg').clientWidth === most",
        arg=on_screen,
    )
    assert opened.messages == []


def test_prints_with_all_figures(opened: OpenPage, tmp_path: Path) -> None:
    opened.page.locator("[data-drawn]").nth(5).wait_for(state="attached", timeout=30_000)
    data = opened.page.pdf(format="A4")
    assert data.startswith(b"%PDF")
    assert data.count(b"/Type /Page\n") >= 2
    assert opened.messages == []
