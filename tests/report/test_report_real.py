"""The report of the real cores in a real browser, and their masks on the original images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from cacl import tables
from cacl.image import stain
from cacl.steps.export import export_masks
from cacl.tables.schemas import FailureRow
from tests.fixtures.browser import Seen, draw_figures, faults
from tests.fixtures.real_cores import measured_cores
from tests.fixtures.reports import failed, run
from tests.fixtures.small_atlas import SmallAtlas

LOST = ("HPA026485/55449_A_1_9", "HPA999999/1_A_1_1")


@pytest.fixture(scope="module")
def atlas(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> SmallAtlas:
    made = measured_cores(shared_data, tmp_path_factory.mktemp("real"))
    rows = [failed(name) for name in LOST]
    tables.write_csv(made.path("failures.csv"), rows, FailureRow)
    run(made, failures=[made.path("failures.csv")])
    return made


@pytest.mark.browser
def test_search_narrows_an_antibody_opens_and_its_overlay_toggles(seen: Seen) -> None:
    page, rows = seen.page, seen.page.locator("#table tbody tr")
    assert rows.count() == 2
    page.fill("#search", "dbt")
    assert page.inner_text("#shown") == "1 of 2 antibodies"
    rows.locator(".open").press("Enter")
    panel = page.locator("#panel")
    panel.locator("figure").nth(3).wait_for()
    link = panel.get_by_role("link", name="HPA026485 in the Human Protein Atlas")
    assert link.get_attribute("href") == "https://www.proteinatlas.org/search/HPA026485"
    said = panel.inner_text()
    for words in ("differs by core", "labelled negative", "pancreas", "not annotated", "fold"):
        assert words in said
    assert "Not measured: HPA026485/55449_A_1_9 (not found at acquire)" in said
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
    assert seen.complaints == []


PRESSED = "stacks => stacks.map(stack => stack.getAttribute('aria-pressed'))"


@pytest.mark.browser
def test_an_antibody_of_which_nothing_was_measured_is_found_with_its_reason(seen: Seen) -> None:
    seen.page.fill("#search", "hpa999999")
    assert seen.page.inner_text("#shown") == (
        "0 of 2 antibodies; HPA999999 has no measured image (1 not found at acquire)"
    )
    assert seen.complaints == []


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_it_is_accessible_and_fits_phone_and_desk(seen: Seen, width: int) -> None:
    seen.page.set_viewport_size({"width": width, "height": 844})
    draw_figures(seen.page)
    seen.page.locator("#gene-table tbody tr").first.wait_for()
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    assert seen.complaints == []
    assert faults(seen.page) == []
    seen.page.locator("#table .open").first.click()
    seen.page.locator("#panel figure").first.wait_for()
    assert seen.page.locator("#panel").evaluate("panel => panel.scrollWidth") <= width
    assert faults(seen.page) == []


@pytest.mark.browser
def test_an_open_antibody_is_printed_alone(seen: Seen) -> None:
    seen.page.locator("#table .open").first.click()
    seen.page.locator("#panel figure").first.wait_for()
    seen.page.emulate_media(media="print")
    assert seen.page.locator("main").is_hidden()
    assert seen.page.locator("#panel h2").is_visible()
    assert seen.page.locator("#panel .close").is_hidden()
    assert seen.complaints == []


def test_exported_masks_lie_on_the_original_images(
    atlas: SmallAtlas, shared_data: Path, tmp_path: Path
) -> None:
    """Where the polygons are, the original's own pixels are dense in DAB; elsewhere they are not.

    The masks were found on a third of the original's scale, so that a wrong scale or an offset
    of a few pixels of the store would mix the two.
    """
    name = "55449_A_1_1"
    export_masks(
        atlas.path("report"), atlas.store.root, tmp_path, labels=["stain"], antibodies=["HPA026485"]
    )
    collection = json.loads((tmp_path / "HPA026485" / f"{name}.geojson").read_text())
    with Image.open(shared_data / "cores" / f"{name}.jpg") as original:
        rgb = np.asarray(original.convert("RGB")).transpose(2, 0, 1)
    _, dab = stain.separate_stains(np.ascontiguousarray(rgb))
    inside = drawn(collection["features"], (rgb.shape[2], rgb.shape[1]))
    share = atlas.store.label(f"HPA026485/{name}", "stain")
    assert inside.mean() == pytest.approx(np.asarray(share).mean(), rel=0.02)
    dense = dab > stain.DAB_THRESHOLD_OD
    right = dice(inside, dense)
    for moved in ((9, 0), (-9, 0), (0, 9), (0, -9)):
        assert dice(np.roll(inside, moved, axis=(0, 1)), dense) < right - 0.02
    assert right > 0.8


def drawn(features: list[dict[str, Any]], size: tuple[int, int]) -> np.ndarray:
    """Return (y, x) which pixels lie in polygons with holes, drawn by another library."""
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
