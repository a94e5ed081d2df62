from __future__ import annotations

import dataclasses
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_atlas import CELL_TYPE, Core, SmallAtlas, build

from cacl import tables
from cacl.errors import TableError
from cacl.records import AntibodyRow, FailureRow, GeneRow, MeasureRow
from cacl.report import figures, pictures, words
from cacl.steps.report import gallery_of, report

HOSTILE = "<script>alert('x')</script>\"'&</script>"
OPTIONS = {
    "cell_type": CELL_TYPE,
    "min_tissue_fraction": 0.2,
    "morphology": "dilation",
    "radius_px": 1,
    "seed": 0,
}


def cores() -> list[Core]:
    """Two stained antibodies of one gene, one without a label, six that are not stained."""
    stained = [
        Core("HPA000001", 48, "1_A_7_2", "SI", "ENSG00000090402", "1", "positive", "high"),
        Core("HPA000001", 24, "1_A_8_2", "SI", "ENSG00000090402", "2", "positive", "high"),
        Core("HPA000002", 24, "1_A_7_2", "SI", "ENSG00000090402", "1", "positive", "medium"),
        Core("HPA000003", 12, "1_A_7_2", HOSTILE, "not-ensembl/../x", HOSTILE, "", ""),
    ]
    bare = [
        Core(
            f"HPA00001{i}", i, "1_A_7_2", f"NEG{i}", f"ENSG0000000000{i}", "1", "negative",
            "not detected",
        )
        for i in range(6)
    ]  # fmt: skip
    return stained + bare


def failed(image_id: str = "HPA000009/9_A_7_2", message: str = "HTTP 404") -> FailureRow:
    return FailureRow(
        image_id=image_id, stage="acquire", reason="not_found", message=message, source="https://x/"
    )


def write_model(atlas: SmallAtlas) -> None:
    folder = atlas.path("model")
    folder.mkdir()
    (folder / "training.csv").write_text(
        "step,loss,unused,perplexity_s\n1,0.5,0,3\n2,0.25,0,4\n3,0.2,0,\n"
    )
    (folder / "model.json").write_text(
        json.dumps({"preset": "robust", "thresholds": {"score": 0.4}, "code": HOSTILE})
    )


def run(atlas: SmallAtlas, out: str = "report", **changes: Any) -> Path:
    places = {
        "census": [atlas.path("census.parquet")],
        "failures": [atlas.path("failures.csv"), atlas.path("acquire.csv")],
        "store": atlas.path("atlas.zarr"),
        "model": atlas.path("model"),
        "catalog": atlas.path("catalog"),
        "out": atlas.path(out),
    }
    report(**(places | OPTIONS | changes))
    return atlas.path(out)


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> SmallAtlas:
    made: SmallAtlas = build(tmp_path_factory.mktemp("atlas"), cores())
    made.measure()
    write_model(made)
    rows = [failed(message=HOSTILE), failed("HPA000008/8_A_7_2")]
    tables.write_csv(made.path("acquire.csv"), rows, FailureRow)
    run(made)
    return made


@pytest.fixture
def empty(tmp_path: Path) -> SmallAtlas:
    made: SmallAtlas = build(tmp_path, [])
    made.measure()
    tables.write_csv(made.path("acquire.csv"), [], FailureRow)
    return made


def antibodies(folder: Path) -> list[AntibodyRow]:
    return tables.read_parquet(folder / "antibodies.parquet", AntibodyRow)


def html(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def test_antibodies_are_pooled_ranked_and_compared(atlas: SmallAtlas) -> None:
    rows = antibodies(atlas.path("report"))
    assert [row.antibody_id for row in rows[:3]] == ["HPA000001", "HPA000002", "HPA000003"]
    assert [row.rank for row in rows] == list(range(1, 10))
    best = rows[0]
    assert (best.images, best.patients, best.cell_area_px) == (2, 2, 2 * 96 * 96)
    assert best.stained_to_cell_ratio == pytest.approx(0.375)
    assert (best.ratio_low, best.ratio_high) == (pytest.approx(0.25), pytest.approx(0.5))
    assert best.border_share == pytest.approx(1.0, abs=0.02)
    assert (best.label, best.hpa_staining, best.hpa_location) == (
        "positive",
        "high",
        "cytoplasmic/membranous",
    )
    assert best.p_value == pytest.approx(1 / 7)
    assert best.q_value == pytest.approx(
        9 / 4 * 1 / 6
    )  # Benjamini-Hochberg: p 1/6 is the fourth of nine
    assert best.z == pytest.approx((0.375 - 2.5 / 96) / (1.4826 * 1.5 / 96))
    assert [row.p_value for row in rows if row.antibody_id == "HPA000015"] == [1 / 6]
    assert (rows[1].ratio_low, rows[1].ratio_high) == (None, None)


def test_genes_are_pooled_over_their_antibodies(atlas: SmallAtlas) -> None:
    genes = tables.read_parquet(atlas.path("report/genes.parquet"), GeneRow)
    best = next(row for row in genes if row.gene == "SI")
    assert (best.antibodies, best.images, best.patients, best.rank) == (2, 3, 2, 1)
    assert best.stained_to_cell_ratio == pytest.approx(1 / 3)
    assert best.hpa_staining == "high; medium"
    assert len(genes) == 8


def test_every_csv_has_a_parquet_twin(atlas: SmallAtlas) -> None:
    for name, record, count in (
        ("images", MeasureRow, 10),
        ("antibodies", AntibodyRow, 9),
        ("genes", GeneRow, 8),
        ("failures", FailureRow, 2),
    ):
        csv = tables.read_csv(atlas.path(f"report/{name}.csv"), record)
        parquet = tables.read_parquet(atlas.path(f"report/{name}.parquet"), record)
        assert len(csv) == len(parquet) == count
    images = tables.read_parquet(atlas.path("report/images.parquet"), MeasureRow)
    assert [row.image_id for row in images] == sorted(row.image_id for row in images)


def test_equal_runs_give_equal_bytes(atlas: SmallAtlas) -> None:
    first, second = atlas.path("report"), run(atlas, "again", jobs=3)
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert len(files) == 15 + 2 * 10
    for name in files:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    shutil.rmtree(second)


def test_order_of_shards_does_not_matter(atlas: SmallAtlas) -> None:
    rows = tables.read_parquet(atlas.path("census.parquet"), MeasureRow)
    for name, part in (("a", rows[5:]), ("b", rows[:5])):
        tables.write_parquet(atlas.path(f"{name}.parquet"), part, MeasureRow)
    again = run(atlas, "shards", census=[atlas.path("a.parquet"), atlas.path("b.parquet")])
    for name in ("images.csv", "antibodies.csv", "genes.csv", "report.html"):
        assert (again / name).read_bytes() == (atlas.path("report") / name).read_bytes()


def test_an_image_in_two_shards_is_an_error(atlas: SmallAtlas) -> None:
    census = atlas.path("census.parquet")
    with pytest.raises(TableError, match="HPA000001/1_A_7_2 is measured in two tables"):
        run(atlas, "twice", census=[census, census])


def test_names_from_outside_are_text(atlas: SmallAtlas) -> None:
    page = html(atlas.path("report"))
    assert "alert(" in page
    assert "<script>alert" not in page
    assert len(re.findall("<script", page)) == 2
    assert 'href="https://www.proteinatlas.org/not-ensembl' not in page
    for path in atlas.path("report/assets").glob("*.js"):
        if path.name in ("data.js", "cores.js"):
            assert "ENSG00000090402" in path.read_text() or path.name == "cores.js"
            json.loads(path.read_text().split(" = ", 1)[1].rstrip(";\n"))


def test_nothing_on_the_page_loads_from_elsewhere(atlas: SmallAtlas) -> None:
    page = html(atlas.path("report"))
    loaded = re.findall(r'(?:src|<link[^>]*href)="([^"]*)"', page)
    assert loaded
    for name in loaded:
        assert name == "data:," or (atlas.path("report") / name).is_file(), name
    assert len(page) < 60_000


def test_pictures_are_small_and_the_mask_lies_on_the_stain(atlas: SmallAtlas) -> None:
    folder = atlas.path("report/images/HPA000001")
    core = Image.open(folder / "1_A_7_2.webp").convert("RGB")
    mask = np.asarray(Image.open(folder / "1_A_7_2.mask.png").convert("RGBA"))
    assert core.size == (128, 128)
    assert (mask[:48, :, 3] == pictures.MASK_ALPHA).all()
    assert not mask[48:, :, 3].any()
    assert tuple(mask[0, 0, :3]) == pictures.MASK_RGB


def test_noise_still_fits_into_60_kb() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 512, 512)).astype(np.float32)
    data = pictures.encode_core(noise)
    assert len(data) <= pictures.MAX_BYTES
    assert Image.open(io.BytesIO(data)).size == (256, 256)
    assert len(pictures.encode_mask(noise[0] / 255.0)) <= pictures.MAX_BYTES


def test_large_image_is_averaged_in_strips(tmp_path: Path) -> None:
    import zarr

    values = np.random.default_rng(0).integers(0, 256, (3, 96, 2080), dtype=np.uint8)
    array = zarr.create_array(tmp_path / "a", shape=values.shape, chunks=(3, 32, 32), dtype="u1")
    array[:] = values
    found = pictures._shrunk(array)
    expected = values[:, :95, :2080].reshape(3, 19, 5, 416, 5).mean(axis=(2, 4))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_without_model_annotation_or_failures(tmp_path: Path) -> None:
    plain = [dataclasses.replace(core, label="", staining="") for core in cores()]
    made = build(tmp_path, plain)
    made.measure()
    folder = run(made, failures=[made.path("failures.csv")])
    page = html(folder)
    assert "No image failed." in page
    assert "No training curves" in page
    assert "the atlas has none for" in page
    assert "no model.json" in page
    assert "p, q and z are empty" in page
    assert "of which 0 were measured and 5 are needed" in page
    assert {(row.p_value, row.q_value, row.z) for row in antibodies(folder)} == {(None,) * 3}


def test_only_failures(empty: SmallAtlas) -> None:
    tables.write_csv(empty.path("acquire.csv"), [failed()], FailureRow)
    folder = run(empty)
    page = html(folder)
    assert "No answer yet" in page
    assert "HTTP 404" in page
    assert "The source has no such file" in page
    assert antibodies(folder) == []


def test_nothing_at_all(empty: SmallAtlas) -> None:
    assert "No answer yet" in html(run(empty))


def test_missing_picture_does_not_stop_the_report(tmp_path: Path) -> None:
    made = build(tmp_path, cores()[:2])
    made.measure()
    shutil.rmtree(made.store.path("HPA000001/1_A_8_2"))
    folder = run(made, failures=[])
    assert "1_A_7_2.webp" in html(folder)
    assert "1_A_8_2.webp" not in html(folder)


@pytest.mark.parametrize("text", ["", "step,loss\n", "a,b\nx,y\n", '"', "step\n1\n2\n"])
def test_curves_without_numbers(atlas: SmallAtlas, tmp_path: Path, text: str) -> None:
    (tmp_path / "training.csv").write_text(text)
    (tmp_path / "model.json").write_text("[1]")
    page = html(run(atlas, "curves", model=tmp_path))
    assert "No training curves" in page
    assert "no model.json" in page


def test_gallery_is_capped() -> None:
    row = antibody("A", 0.1)
    rows = [dataclasses.replace(row, rank=rank) for rank in range(1, 201)]
    rows += [dataclasses.replace(row, rank=201, stained_to_cell_ratio=None)]
    shown = gallery_of(rows)
    assert [one.rank for one in shown] == [*range(1, 101), *range(195, 201)]
    assert gallery_of(rows[:3]) == rows[:3]
    assert len(gallery_of(rows[:103])) == 103


def antibody(name: str, ratio: float | None, **changes: Any) -> AntibodyRow:
    given: dict[str, Any] = dict.fromkeys(tables.columns(AntibodyRow), "")
    numbers = ("ratio_low", "ratio_high", "border_share", "z", "p_value", "q_value")
    given |= dict.fromkeys(numbers) | {"rank": 1, "antibody_id": name, "images": 1, "patients": 1}
    return AntibodyRow(**(given | {"stained_to_cell_ratio": ratio} | changes))


def test_figures_show_names_as_text() -> None:
    rows = [antibody(HOSTILE, 0.1, hpa_staining=HOSTILE, border_share=0.5)]
    for figure in (
        figures.ranking(rows),
        figures.against_annotation(rows),
        figures.specificity(rows),
    ):
        assert figure is not None
        shown = json.dumps([trace | {"customdata": None} for trace in figure.spec["data"]])
        assert "<script" not in shown


def test_figures_of_many_antibodies_are_thinned() -> None:
    rows = [antibody(str(i), i / 9000, border_share=0.1) for i in range(9000)]
    assert len(figures.thinned(rows, 2000)) <= 2000
    assert figures.thinned(rows, 2000)[:1000] == rows[:1000]
    assert figures.thinned(rows[:5], 2000) == rows[:5]
    assert figures.specificity([antibody("a", None)]) is None
    assert figures.ranking([]) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0 %"), (0.01234, "1.23 %"), (0.1234, "12.3 %"), (1.0, "100 %")],
)
def test_per_cent(value: float | None, text: str) -> None:
    assert words.percent(value).replace(words.NO_BREAK, " ") == text


def test_question_and_answer() -> None:
    assert words.question(CELL_TYPE, ["duodenum"]) == (
        "Which antibodies stain the brush border of human duodenum?"
    )
    assert words.question("goblet cells", []) == "Which antibodies stain goblet cells?"
    negatives = [antibody(f"N{i}", 0.01 * i, label="negative") for i in range(5)]
    rows = [antibody("A", 0.5), antibody("B", 0.04), *negatives]
    assert "1 of 2 antibodies stain more of it than any of the 5" in words.answer(rows)
    assert words.hpa_page("ENSG00000090402") == "https://www.proteinatlas.org/ENSG00000090402"
    assert words.hpa_page("javascript:alert(1)") == ""


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


@pytest.mark.browser
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
    seen.page.get_by_role("button", name="Antibody", exact=True).press("Enter")
    first = seen.page.locator("#table tbody tr:first-child td:nth-child(3)")
    assert first.inner_text() == "HPA000001"
    header = seen.page.locator("th[data-key=antibody_id]")
    assert header.get_attribute("aria-sort") == "ascending"
    header.get_by_role("button").click()
    assert first.inner_text() == "HPA000015"
    assert seen.complaints == []


@pytest.mark.browser
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


@pytest.mark.browser
def test_an_antibody_opens_and_closes(seen: Seen) -> None:
    panel = seen.page.locator("#panel")
    seen.page.locator("#table .open").first.press("Enter")
    panel.wait_for(state="visible")
    assert panel.locator("h2").inner_text() == "SI · HPA000001"
    assert panel.locator("figure").count() == 2
    assert "37.5 %" in panel.inner_text().replace(words.NO_BREAK, " ")
    link = panel.locator("a").first
    assert link.get_attribute("href") == "https://www.proteinatlas.org/ENSG00000090402"
    seen.page.keyboard.press("Escape")
    panel.wait_for(state="hidden")
    seen.page.locator("#table .open", has_text="alert").click()
    panel.wait_for(state="visible")
    assert HOSTILE in panel.inner_text()
    assert panel.locator("a").count() == 0
    panel.locator(".close").click()
    panel.wait_for(state="hidden")
    assert seen.complaints == []


@pytest.mark.browser
def test_figures_are_drawn(seen: Seen) -> None:
    plots = seen.page.locator("[data-figure]")
    assert plots.count() == 5
    for index in range(5):
        plots.nth(index).scroll_into_view_if_needed()
    seen.page.locator("[data-drawn]").nth(4).wait_for(state="attached")
    assert seen.page.locator("#figure-annotation .points path").count() == 9
    assert seen.page.locator("#figure-training-0 .js-line").count() == 1
    assert seen.complaints == []


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_page_is_never_wider_than_the_window(seen: Seen, width: int) -> None:
    seen.page.set_viewport_size({"width": width, "height": 800})
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    assert seen.complaints == []


@pytest.mark.browser
def test_empty_report_opens(chromium: Any, empty: SmallAtlas) -> None:
    page = chromium.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((run(empty) / "report.html").resolve().as_uri())
    assert page.inner_text("#shown") == "0 of 0 antibodies"
    assert complaints == []
    page.close()
