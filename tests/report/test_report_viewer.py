"""The viewer of cores and the comparison of antibodies, in a browser."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cacl.image import palette
from cacl.report import views
from tests.fixtures.browser import OpenPage, accessibility_violations
from tests.fixtures.reports import hostile_atlas
from tests.fixtures.small_atlas import SmallAtlas

CORE = "HPA000001/1_A_7_2"


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> SmallAtlas:
    return hostile_atlas(tmp_path_factory.mktemp("atlas"))


def test_pictures_have_the_resolution_of_the_store(atlas: SmallAtlas) -> None:
    folder = atlas.path("report/images")
    stored = np.asarray(atlas.store.image(CORE)[...]).transpose(1, 2, 0)
    picture = np.asarray(Image.open(folder / f"{CORE}.jpg"))
    assert picture.shape == stored.shape
    difference = np.abs(picture.astype(int) - stored)
    assert difference.mean() < 8  # the cores of the test are noise
    mask = np.asarray(Image.open(folder / f"{CORE}.stain.png").convert("RGBA"))
    truth = np.asarray(atlas.store.label(CORE, "stain")[...]).astype(bool)
    assert ((mask[..., 3] == 255) == truth).all()
    assert tuple(mask[0, 0, :3]) == palette.OVERLAY


def test_large_images_are_reduced(atlas: SmallAtlas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "MAX_SIDE_PX", 64)
    view = views.write_view(atlas.store, CORE, atlas.path("small"))
    assert view is not None
    assert (view.width, view.height, view.factor) == (64, 64, 2)
    mask = np.asarray(Image.open(atlas.path("small") / view.mask).convert("RGBA"))[..., 3] > 0
    assert mask[:24, :48].all()
    assert not mask[25:].any()
    size = (atlas.path("small") / view.core).stat().st_size
    monkeypatch.setattr(views, "MAX_BYTES", size - 1)
    monkeypatch.setattr(views, "JPEG_QUALITIES", (88,))
    view = views.write_view(atlas.store, CORE, atlas.path("small"))
    assert view is not None
    assert view.factor > 2
    assert Image.open(atlas.path("small") / view.core).size == (view.width, view.height)


def test_number_of_pictures_is_limited(
    atlas: SmallAtlas, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(views, "MAX_VIEWS", 2)
    ids = ["HPA000002/1_A_7_2", "HPA000003/missing", CORE]
    assert list(views.write_views(atlas.store, ids, tmp_path, jobs=2)) == ids[:1]
    assert not (tmp_path / "images" / f"{CORE}.jpg").exists()


def test_mask_has_one_bit_per_pixel() -> None:
    data = views.encode_mask(np.eye(1000, dtype=bool))
    assert len(data) < 130_000
    assert Image.open(io.BytesIO(data)).size == (1000, 1000)


def matrix(page: Any) -> list[float]:
    """Return scale and offsets of the picture."""
    text = page.locator("#viewer-content").evaluate(
        "element => getComputedStyle(element).transform"
    )
    a, _, _, _, x, y = (float(number) for number in text[len("matrix(") : -1].split(","))
    return [a, x, y]


@pytest.mark.browser
def test_viewer_zooms_and_moves(opened: OpenPage) -> None:
    page = opened.page
    page.locator(f"[data-zoom='{CORE}']").first.click()
    page.locator("#viewer-stage").wait_for(state="visible")
    assert page.inner_text("#viewer-title") == CORE
    assert "128 × 128 px, the resolution of the store" in page.inner_text("#viewer-note")
    loaded = (
        "images => Promise.all(images.map(image => image.decode().then(() => image.naturalWidth)))"
    )
    assert page.locator("#viewer-content img").evaluate_all(loaded) == [128, 128, 128]
    fitted = matrix(page)
    assert fitted[0] > 1
    page.keyboard.press("1")
    assert matrix(page)[0] == 1
    page.keyboard.press("+")
    assert matrix(page)[0] == pytest.approx(1.4)
    page.keyboard.press("0")
    assert matrix(page) == pytest.approx(fitted)
    box = page.locator("#viewer-stage").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    for _ in range(6):
        page.mouse.wheel(0, -300)
    page.wait_for_function(f"() => {SCALE} > {3 * fitted[0]} || {SCALE} === 16")
    before = matrix(page)
    page.mouse.down()
    page.mouse.move(middle[0] + 40, middle[1] - 30)
    page.mouse.up()
    scale, x, y = matrix(page)
    assert [scale, x - before[1], y - before[2]] == pytest.approx([before[0], 40, -30])
    page.keyboard.press("ArrowRight")
    assert matrix(page)[1] - x == pytest.approx(-80)
    assert page.locator("#viewer-content").get_attribute("class") == "pixels"
    assert opened.messages == []


SCALE = "new DOMMatrix(getComputedStyle(document.getElementById('viewer-content')).transform).a"


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_viewer_sets_the_opacity_of_the_mask(opened: OpenPage, width: int) -> None:
    page = opened.page
    page.set_viewport_size({"width": width, "height": 844})
    page.locator("#table .open").first.click()
    page.locator("#panel figure").first.wait_for()
    page.locator(f"#panel [data-zoom='{CORE}']").click()
    page.locator("#viewer-stage").wait_for(state="visible")
    mask = page.locator("#viewer-content .mask")
    opacity = "element => getComputedStyle(element).opacity"
    assert mask.evaluate(opacity) == "0.6"
    page.locator("#viewer-opacity").fill("25")
    assert mask.evaluate(opacity) == "0.25"
    page.keyboard.press("m")
    assert mask.evaluate(opacity) == "0"
    page.keyboard.press("m")
    page.get_by_role("button", name="Next core").click()
    assert page.inner_text("#viewer-title") == "HPA000001/1_A_8_2"
    assert page.get_by_role("button", name="Next core").is_disabled()
    dialog = page.locator("#viewer")
    assert dialog.evaluate("dialog => dialog.scrollWidth") <= width
    assert opened.messages == []
    assert accessibility_violations(page) == []
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert page.locator("#panel").is_visible()


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_two_antibodies_stand_side_by_side(opened: OpenPage, width: int) -> None:
    page = opened.page
    page.locator(".pick").nth(0).click()
    assert "SI · HPA000001" in page.inner_text("#tray")
    page.set_viewport_size({"width": width, "height": 844})
    page.locator("#table .open").nth(1).click()
    page.locator("#panel-compare").click()
    dialog = page.locator("#compare")
    dialog.locator("figure").nth(2).wait_for()
    assert page.locator("#panel").is_hidden()
    assert page.inner_text("#compare-title") == "SI · HPA000001 and SI · HPA000002"
    cells = dialog.locator("tr", has_text="Ratio").locator("td").all_inner_texts()
    assert [cell.split("\n")[0].replace("\u00a0", " ") for cell in cells] == ["37.5 %", "25.0 %"]
    patients = dialog.locator(".pair")
    assert patients.locator("h3").all_inner_texts() == ["Patient 1", "Patient 2"]
    assert [side.locator("figure").count() for side in patients.locator(".side").all()] == [
        1, 1, 1, 0,
    ]  # fmt: skip
    assert dialog.evaluate("dialog => dialog.scrollWidth") <= width
    assert "compare=HPA000001&compare=HPA000002" in page.url
    assert opened.messages == []
    assert accessibility_violations(page) == []
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert "compare" not in page.url
    page.get_by_role("button", name="Do not compare HPA000001").click()
    assert "with a second antibody" in page.inner_text("#tray")


@pytest.mark.browser
def test_link_to_a_comparison_opens_it(chromium: Any, atlas: SmallAtlas) -> None:
    page = chromium.new_page()
    address = (atlas.path("report") / "report.html").resolve().as_uri()
    page.goto(f"{address}#compare=HPA000003&compare=constructor&compare=HPA000002")
    page.locator("#compare figure").nth(1).wait_for()
    assert "HPA000003 and SI · HPA000002" in page.inner_text("#compare-title")
    page.emulate_media(media="print")
    assert page.locator("main").is_hidden()
    assert page.locator("#compare .sides").is_visible()
    assert page.locator("#tray").is_hidden()
    page.close()
