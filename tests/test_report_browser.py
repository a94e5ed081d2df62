"""The report in a real browser, opened from disk."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reports import HOSTILE, empty_atlas, hostile_atlas, run
from small_atlas import SmallAtlas

from cacl.report import words

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> SmallAtlas:
    return hostile_atlas(tmp_path_factory.mktemp("atlas"))


@pytest.fixture
def empty(tmp_path: Path) -> SmallAtlas:
    return empty_atlas(tmp_path)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    place = shutil.which("chromium")
    if place is None:
        pytest.skip("no chromium on this machine; apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=place, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclasses.dataclass(frozen=True)
class Seen:
    page: Any
    complaints: list[str]


@pytest.fixture
def seen(chromium: Any, atlas: SmallAtlas) -> Iterator[Seen]:
    complaints: list[str] = []
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith(("file:", "data:", "blob:"))
            else complaints.append(request.url)
        ),
    )
    page.goto((atlas.path("report") / "report.html").resolve().as_uri())
    yield Seen(page, complaints)
    page.close()


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
    assert "37.5 %" in panel.inner_text().replace(words.NO_BREAK, " ")
    link = panel.locator("a").first
    assert link.get_attribute("href") == "https://www.proteinatlas.org/ENSG00000090402"
    assert seen.page.url.endswith("#antibody=HPA000001")
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
    assert "#antibody" not in seen.page.url
    seen.page.locator("#table .open", has_text="alert").click()
    panel.wait_for(state="visible")
    assert HOSTILE in panel.inner_text()
    assert panel.locator("a[href*=ensembl]").count() == 0
    assert panel.locator("a[href^='https://www.proteinatlas.org']").count() == 0
    panel.locator(".close").click()
    panel.wait_for(state="hidden")
    assert seen.complaints == []


def test_figures_are_drawn(seen: Seen) -> None:
    plots = seen.page.locator("[data-figure]")
    assert plots.count() == 6
    for index in range(6):
        plots.nth(index).scroll_into_view_if_needed()
    seen.page.locator("[data-drawn]").nth(5).wait_for(state="attached")
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
    page = chromium.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((run(empty) / "report.html").resolve().as_uri())
    assert page.inner_text("#shown") == "0 of 0 antibodies"
    assert complaints == []
    page.close()


def test_a_mark_of_a_figure_opens_its_antibody(seen: Seen) -> None:
    canvas = seen.page.locator("#figure-specificity")
    canvas.scroll_into_view_if_needed()
    seen.page.locator("#figure-specificity[data-drawn]").wait_for()
    canvas.evaluate("canvas => canvas.emit('plotly_click', {points: [{customdata: 'HPA000002'}]})")
    seen.page.locator("#panel h2", has_text="HPA000002").wait_for()
    assert seen.complaints == []


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
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    seen.page.set_viewport_size({"width": width, "height": 800})
    for index in range(seen.page.locator("[data-figure]").count()):
        seen.page.locator("[data-figure]").nth(index).scroll_into_view_if_needed()
    seen.page.locator("[data-drawn]").nth(5).wait_for(state="attached")
    seen.page.locator("#gene-table tbody tr").first.wait_for()
    assert faults(axe, seen.page) == []
    seen.page.locator("#table .open").first.click()
    seen.page.locator("#panel figure").first.wait_for()
    assert faults(axe, seen.page) == []


def faults(axe: Any, page: Any) -> list[str]:
    """Return the rules that the page breaks seriously, each with the first element that does."""
    found = axe.run(page).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def test_figures_fit_on_paper_and_come_back(seen: Seen) -> None:
    figures = seen.page.locator("[data-figure]")
    for index in range(figures.count()):
        figures.nth(index).scroll_into_view_if_needed()
    seen.page.locator("[data-drawn]").nth(5).wait_for(state="attached")
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
