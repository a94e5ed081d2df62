"""Report of real cores in a browser, and their exported masks on the original images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from cacl import tables
from cacl.image import stain
from cacl.steps.export import export
from cacl.steps.parameters import ExportFiles
from cacl.tables.schemas import FailureRow
from tests.fixtures.browser import OpenPage, accessibility_violations, draw_figures
from tests.fixtures.real_cores import measured_cores
from tests.fixtures.reports import failed, run
from tests.fixtures.small_atlas import SmallAtlas

pytestmark = pytest.mark.slow

FAILED = ("HPA026485/55449_A_1_9", "HPA999999/1_A_1_1")


@pytest.fixture(scope="module")
def atlas(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> SmallAtlas:
    made = measured_cores(shared_data, tmp_path_factory.mktemp("real"))
    rows = [failed(name) for name in FAILED]
    tables.write_csv(made.path("failures.csv"), rows, FailureRow)
    run(made, failures=[made.path("failures.csv")])
    return made


@pytest.mark.browser
def test_search_opens_an_antibody_and_toggles_its_masks(opened: OpenPage) -> None:
    page, rows = opened.page, opened.page.locator("#table tbody tr")
    assert rows.count() == 2
    page.fill("#search", "dbt")
    assert page.inner_text("#shown") == "1 of 2 antibodies"
    rows.locator(".open").press("Enter")
    panel = page.locator("#panel")
    panel.locator("figure").nth(3).wait_for()
    link = panel.get_by_role("link", name="HPA026485 in the Human Protein Atlas")
    assert link.get_attribute("href") == "https://www.proteinatlas.org/search/HPA026485"
    panel_text = panel.inner_text()
    for words in (
        "differs between cores",
        "labelled negative",
        "pancreas",
        "not annotated",
        "fold",
    ):
        assert words in panel_text
    assert "Not measured: HPA026485/55449_A_1_9 (not found at acquire)" in panel_text
    core, mask = panel.locator(".stack").first, panel.locator(".stack .mask").first
    for part in ("img:not(.mask)", ".mask"):
        size = "image => image.decode().then(() => image.naturalWidth)"
        assert core.locator(part).evaluate(size) == 512
    mask.evaluate("element => element.style.transition = 'none'")
    opaque = "element => getComputedStyle(element).opacity"
    assert mask.evaluate(opaque) == "1"
    core.press("Enter")
    assert mask.evaluate(opaque) == "0"
    panel.get_by_role("checkbox", name="Show masks").click()
    assert set(panel.locator(".stack").evaluate_all(PRESSED)) == {"false"}
    page.keyboard.press("m")
    assert set(panel.locator(".stack").evaluate_all(PRESSED)) == {"true"}
    assert opened.messages == []


PRESSED = "stacks => stacks.map(stack => stack.getAttribute('aria-pressed'))"


@pytest.mark.browser
def test_search_reports_why_an_antibody_was_not_measured(opened: OpenPage) -> None:
    opened.page.fill("#search", "hpa999999")
    assert opened.page.inner_text("#shown") == (
        "0 of 2 antibodies; HPA999999 has no measured image (1 not found at acquire)"
    )
    assert opened.messages == []


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_page_is_accessible_and_fits_the_window(opened: OpenPage, width: int) -> None:
    opened.page.set_viewport_size({"width": width, "height": 844})
    draw_figures(opened.page)
    opened.page.locator("#gene-table tbody tr").first.wait_for()
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.messages == []
    assert accessibility_violations(opened.page) == []
    opened.page.locator("#table .open").first.click()
    opened.page.locator("#panel figure").first.wait_for()
    assert opened.page.locator("#panel").evaluate("panel => panel.scrollWidth") <= width
    assert accessibility_violations(opened.page) == []


@pytest.mark.browser
def test_open_panel_is_printed_alone(opened: OpenPage) -> None:
    opened.page.locator("#table .open").first.click()
    opened.page.locator("#panel figure").first.wait_for()
    opened.page.emulate_media(media="print")
    assert opened.page.locator("main").is_hidden()
    assert opened.page.locator("#panel h2").is_visible()
    assert opened.page.locator("#panel .close").is_hidden()
    assert opened.messages == []


def test_exported_masks_lie_on_the_original_images(
    atlas: SmallAtlas, shared_data: Path, tmp_path: Path
) -> None:
    """Pixels of the original image have a high DAB density inside the polygons only.

    The masks have a third of the original's scale, so that a wrong scale or an offset of a few
    pixels of the store would lower the overlap.
    """
    name = "55449_A_1_1"
    export(
        atlas.path("report"),
        atlas.store.root,
        ExportFiles(geojson=tmp_path),
        labels=["stain"],
        antibodies=["HPA026485"],
    )
    collection = json.loads((tmp_path / "HPA026485" / f"{name}.geojson").read_text())
    with Image.open(shared_data / "cores" / f"{name}.jpg") as original:
        rgb = np.asarray(original.convert("RGB")).transpose(2, 0, 1)
    _, dab = stain.separate_stains(np.ascontiguousarray(rgb))
    inside = rasterize(collection["features"], (rgb.shape[2], rgb.shape[1]))
    mask = atlas.store.label(f"HPA026485/{name}", "stain")
    assert inside.mean() == pytest.approx(np.asarray(mask).mean(), rel=0.02)
    dense = dab > stain.DAB_THRESHOLD_OD
    aligned = dice(inside, dense)
    for moved in ((9, 0), (-9, 0), (0, 9), (0, -9)):
        assert dice(np.roll(inside, moved, axis=(0, 1)), dense) < aligned - 0.02
    assert aligned > 0.8


def rasterize(features: list[dict[str, Any]], size: tuple[int, int]) -> np.ndarray:
    """Return (y, x) whether a pixel lies in a polygon with holes, rasterized by Pillow."""
    image = Image.new("1", size)
    pen = ImageDraw.Draw(image)
    for outer in (True, False):
        for feature in features:
            rings = feature["geometry"]["coordinates"]
            for ring in rings[:1] if outer else rings[1:]:
                pen.polygon([tuple(point) for point in ring], fill=int(outer))
    return np.asarray(image)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))
