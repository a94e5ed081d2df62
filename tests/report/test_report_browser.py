"""The report in a real browser, opened from disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cacl.report import text
from tests.fixtures.browser import Seen, draw_figures, faults, opened
from tests.fixtures.reports import HOSTILE, empty_atlas, hostile_atlas, run
from tests.fixtures.small_atlas import SmallAtlas

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> SmallAtlas:
    return hostile_atlas(tmp_path_factory.mktemp("atlas"))


@pytest.fixture
def empty(tmp_path: Path) -> SmallAtlas:
    return empty_atlas(tmp_path)


def test_search_filter_and_sort(seen: Seen) -> None:
    rows = seen.page.locator("#table tbody tr")
    assert rows.count() == 9
    seen.page.fill("#search", "si hpa000002")
    assert rows.count() == 1
    assert "1 of 9" in seen.page.inner_text("#shown")
    seen.page.fill("#search", "")
    seen.page.select_option("#staining", "not detected")
    assert rows.count() == 6
    seen.page.select_option("#label", "positive")
    assert rows.count() == 0
    seen.page.select_option("#label", "*")
    seen.page.select_option("#staining", "*")
    seen.page.select_option("#most-q", "0.01")
    assert seen.page.inner_text("#shown") == "0 of 9 antibodies; change or reset the filters"
    seen.page.get_by_role("button", name="Reset", exact=True).click()
    rows.nth(8).wait_for()  # the browser resets the fields after its event
    assert rows.count() == 9
    assert seen.page.locator("#tissue").is_hidden()
    seen.page.get_by_role("button", name="Antibody", exact=True).press("Enter")
    first = seen.page.locator("#table tbody tr:first-child td:nth-child(3)")
    assert first.inner_text() == "HPA000001"
    header = seen.page.locator("th[data-key=antibody_id]")
    assert header.get_attribute("aria-sort") == "ascending"
    header.get_by_role("button").click()
    assert first.inner_text() == "HPA000015"
    assert seen.complaints == []


def test_masks_toggle(seen: Seen) -> None:
    stack = seen.page.locator("#cores .stack").first
    mask = stack.locator(".mask")
    stack.scroll_into_view_if_needed()
    opaque = "element => getComputedStyle(element).opacity"
    mask.evaluate("element => element.style.transition = 'none'")
    assert mask.evaluate(opaque) == "1"
    assert mask.evaluate("element => element.decode().then(() => element.naturalWidth)") == 128
    stack.click()
    assert mask.evaluate(opaque) == "0"
    stack.press("Enter")
    assert mask.evaluate(opaque) == "1"
    seen.page.keyboard.press("m")
    assert mask.evaluate(opaque) == "0"
    assert not seen.page.is_checked("#masks")
    seen.page.check("#masks")
    assert mask.evaluate(opaque) == "1"
    assert seen.complaints == []


def test_an_antibody_opens_and_closes(seen: Seen) -> None:
    panel = seen.page.locator("#panel")
    seen.page.locator("#table .open").first.press("Enter")
    panel.wait_for(state="visible")
    assert panel.locator("h2").inner_text() == "SI · HPA000001"
    assert panel.locator("figure").count() == 2
    assert "37.5 %" in panel.inner_text().replace(text.NO_BREAK, " ")
    link = panel.locator("a").first
    assert link.get_attribute("href") == "https://www.proteinatlas.org/ENSG00000090402"
    seen.page.wait_for_url("**/*#antibody=HPA000001")
    seen.page.keyboard.press("ArrowRight")
    panel.locator("h2", has_text="HPA000002").wait_for()
    assert panel.locator("figure").count() == 1
    panel.get_by_role("button", name="Previous antibody").click()
    panel.locator("h2", has_text="HPA000001").wait_for()
    mask = panel.locator(".stack").first
    assert mask.get_attribute("aria-pressed") == "true"
    mask.press("Enter")
    assert mask.get_attribute("aria-pressed") == "false"
    seen.page.keyboard.press("Escape")
    panel.wait_for(state="hidden")
    seen.page.wait_for_url(lambda url: "#antibody" not in url)
    seen.page.locator("#table .open", has_text="alert").click()
    panel.wait_for(state="visible")
    assert HOSTILE in panel.inner_text()
    assert panel.locator("a[href*=ensembl]").count() == 0
    link = panel.locator("a[href^='https://www.proteinatlas.org']")
    assert link.get_attribute("href") == "https://www.proteinatlas.org/search/HPA000003"
    panel.locator(".close").click()
    panel.wait_for(state="hidden")
    assert seen.complaints == []


def test_figures_are_drawn(seen: Seen) -> None:
    plots = seen.page.locator("[data-figure]")
    assert plots.count() == 6
    draw_figures(seen.page)
    assert seen.page.locator("#figure-volcano .points path").count() == 9
    assert seen.page.locator("#figure-annotation .points path").count() == 9
    assert seen.page.locator("#figure-training-0 .js-line").count() == 1
    assert seen.complaints == []


@pytest.mark.parametrize("width", [390, 1280])
def test_page_is_never_wider_than_the_window(seen: Seen, width: int) -> None:
    seen.page.set_viewport_size({"width": width, "height": 800})
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    assert seen.complaints == []


def test_empty_report_opens(chromium: Any, empty: SmallAtlas) -> None:
    with opened(chromium, run(empty) / "report.html") as seen:
        assert seen.page.inner_text("#shown") == "0 of 0 antibodies"
        assert seen.complaints == []
        assert faults(seen.page) == []


def test_a_mark_of_a_figure_opens_its_antibody(seen: Seen) -> None:
    draw_figures(seen.page)
    panel = seen.page.locator("#panel")
    for figure in ("specificity", "volcano", "ranking", "annotation"):
        canvas = seen.page.locator(f"#figure-{figure}")
        canvas.scroll_into_view_if_needed()
        box = marks_of(canvas, figure).bounding_box()
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        seen.page.mouse.move(*middle)
        canvas.locator(".hoverlayer .hovertext").first.wait_for()
        seen.page.mouse.click(*middle)
        panel.wait_for(state="visible")
        assert "HPA000001" in panel.locator("h2").inner_text(), figure
        seen.page.keyboard.press("Escape")
        panel.wait_for(state="hidden")
    assert seen.complaints == []


def marks_of(canvas: Any, figure: str) -> Any:
    """Return the mark of HPA000001: the highest ratio, alone in its box, uppermost in a ranking."""
    traces = canvas.locator(".trace.boxes" if figure == "annotation" else ".trace.scatter")
    return traces.nth(2 if figure == "annotation" else 0).locator(".point").first


def test_genes_are_searched_and_lead_to_their_antibodies(seen: Seen) -> None:
    seen.page.locator("#gene-table").scroll_into_view_if_needed()
    rows = seen.page.locator("#gene-table tbody tr")
    rows.nth(7).wait_for()
    seen.page.fill("#gene-search", "ENSG00000090402")
    assert rows.count() == 1
    rows.locator(".open").click()
    assert seen.page.input_value("#search") == "ENSG00000090402"
    assert seen.page.inner_text("#shown") == "2 of 9 antibodies"
    assert seen.complaints == []


def test_a_link_to_an_antibody_opens_it(chromium: Any, atlas: SmallAtlas) -> None:
    page = chromium.new_page()
    address = (atlas.path("report") / "report.html").resolve().as_uri()
    page.goto(f"{address}#antibody=HPA000002")
    page.locator("#panel h2", has_text="HPA000002").wait_for()
    page.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_no_serious_accessibility_fault(seen: Seen, width: int) -> None:
    seen.page.set_viewport_size({"width": width, "height": 800})
    draw_figures(seen.page)
    seen.page.locator("#gene-table tbody tr").first.wait_for()
    assert faults(seen.page) == []
    seen.page.locator("#table .open").first.click()
    seen.page.locator("#panel figure").first.wait_for()
    assert faults(seen.page) == []


def test_figures_fit_on_paper_and_come_back(seen: Seen) -> None:
    draw_figures(seen.page)
    width = "canvas => canvas.querySelector('.main-svg').clientWidth"
    on_screen = seen.page.locator("#figure-volcano").evaluate(width)
    seen.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    paper_px = 703
    wait = "([id, most]) => document.querySelector(id + ' .main-svg').clientWidth <= most"
    for name, most in (("volcano", paper_px / 2), ("training-0", paper_px / 3)):
        seen.page.wait_for_function(wait, arg=[f"#figure-{name}", most])
    seen.page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    seen.page.wait_for_function(
        "most => document.querySelector('#figure-volcano .main-svg').clientWidth === most",
        arg=on_screen,
    )
    assert seen.complaints == []


def test_it_prints_with_its_figures(seen: Seen, tmp_path: Path) -> None:
    seen.page.locator("[data-drawn]").nth(5).wait_for(state="attached", timeout=30_000)
    data = seen.page.pdf(format="A4")
    assert data.startswith(b"%PDF")
    assert data.count(b"/Type /Page\n") >= 2
    assert seen.complaints == []
