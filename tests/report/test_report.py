from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cacl import tables
from cacl.errors import CheckpointError, TableError
from cacl.image import palette
from cacl.report import downsample, text, thumbnails
from cacl.report.gallery import gallery_antibodies, thumbnail_antibodies
from cacl.store.arrays import StoredArray
from cacl.tables.dictionary import report_tables
from cacl.tables.schemas import AntibodyRow, DisagreementRow, FailureRow, GeneRow, MeasureRow
from tests.fixtures.reports import antibody, cores, empty_atlas, failed, hostile_atlas, run
from tests.fixtures.reports import page_of as html
from tests.fixtures.small_atlas import SmallAtlas, build


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> SmallAtlas:
    return hostile_atlas(tmp_path_factory.mktemp("atlas"))


@pytest.fixture
def empty(tmp_path: Path) -> SmallAtlas:
    return empty_atlas(tmp_path)


def antibodies(folder: Path) -> list[AntibodyRow]:
    return tables.read_parquet(folder / "antibodies.parquet", AntibodyRow)


def test_pools_ranks_and_compares_antibodies(atlas: SmallAtlas) -> None:
    rows = antibodies(atlas.path("report"))
    assert [row.antibody_id for row in rows[:3]] == ["HPA000001", "HPA000002", "HPA000003"]
    assert [row.rank for row in rows] == list(range(1, 10))
    best = rows[0]
    assert (best.images, best.patients, best.cell_area_px) == (2, 2, 2 * 96 * 96)
    assert best.stained_to_cell_ratio == pytest.approx(0.375)
    # Student's t with one degree of freedom: the interval of two patients is very wide.
    assert (best.ratio_low, best.ratio_high) == pytest.approx((0.000684, 0.998690), abs=1e-6)
    assert best.border_share == pytest.approx(1.0, abs=0.02)
    assert (best.label, best.hpa_staining, best.hpa_location) == (
        "positive",
        "high",
        "cytoplasmic/membranous",
    )
    # Negatives of 5, 4, 3, 2, 1 and 0 rows of 96: three spacings above 2 rows.
    scale = 2 * np.log(5 / 2) + np.log(4 / 2) + np.log(3 / 2)
    beyond = [(1 + np.log(height / 5) / scale) ** -3 / 7 for height in (36, 24, 12)]
    assert [row.p_value for row in rows[:3]] == pytest.approx(beyond)
    assert [row.p_extrapolated for row in rows] == [True] * 3 + [False] * 6
    # Benjamini-Hochberg: the third of nine p values is the smallest of them by its rank.
    assert [row.q_value for row in rows[:3]] == pytest.approx(
        [min(9 / rank * p for rank, p in enumerate(beyond, 1) if rank > i) for i in range(3)]
    )
    assert best.z == pytest.approx((0.375 - 2.5 / 96) / (1.4826 * 1.5 / 96))
    assert [row.p_value for row in rows if row.antibody_id == "HPA000015"] == [1 / 6]
    assert (rows[1].ratio_low, rows[1].ratio_high) == (None, None)


def test_pools_genes_over_their_antibodies(atlas: SmallAtlas) -> None:
    genes = tables.read_parquet(atlas.path("report/genes.parquet"), GeneRow)
    best = next(row for row in genes if row.gene == "SI")
    assert (best.antibodies, best.images, best.patients, best.rank) == (2, 3, 2, 1)
    assert best.stained_to_cell_ratio == pytest.approx(1 / 3)
    assert best.hpa_staining == "high; medium"
    assert len(genes) == 8
    scale = 2 * np.log(5 / 2) + np.log(4 / 2) + np.log(3 / 2)
    assert best.p_value == pytest.approx((1 + np.log(32 / 5) / scale) ** -3 / 7)
    assert best.p_extrapolated


def test_every_csv_has_an_equal_parquet_table(atlas: SmallAtlas) -> None:
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
    assert len(files) == 2 * len(report_tables("")) + 4 + 1 + 6 + 5 + 4 * 10
    for name in files:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    shutil.rmtree(second)


def test_order_of_shards_does_not_change_the_report(atlas: SmallAtlas) -> None:
    rows = tables.read_parquet(atlas.path("census.parquet"), MeasureRow)
    for name, part in (("a", rows[5:]), ("b", rows[:5])):
        tables.write_parquet(atlas.path(f"{name}.parquet"), part, MeasureRow)
    again = run(atlas, "shards", census=[atlas.path("a.parquet"), atlas.path("b.parquet")])
    for name in ("images.csv", "antibodies.csv", "genes.csv", "report.html"):
        assert (again / name).read_bytes() == (atlas.path("report") / name).read_bytes()


def test_empty_shard_does_not_change_the_report(atlas: SmallAtlas) -> None:
    tables.write_parquet(atlas.path("nothing.parquet"), [], MeasureRow)
    census = [atlas.path("nothing.parquet"), atlas.path("census.parquet")]
    again = run(atlas, "shards", census=census)
    for name in ("images.csv", "images.parquet", "antibodies.csv", "report.html"):
        assert (again / name).read_bytes() == (atlas.path("report") / name).read_bytes(), name


def test_rejects_an_image_in_two_shards(atlas: SmallAtlas) -> None:
    census = atlas.path("census.parquet")
    with pytest.raises(TableError, match="HPA000001/1_A_7_2 is in two tables"):
        run(atlas, "twice", census=[census, census])


def test_names_are_escaped(atlas: SmallAtlas) -> None:
    page = html(atlas.path("report"))
    assert "alert(" in page
    assert "<script>alert" not in page
    assert len(re.findall("<script", page)) == 3
    assert 'href="https://www.proteinatlas.org/not-ensembl' not in page
    for path in atlas.path("report/assets").glob("*.js"):
        if path.name in ("data.js", "cores-0.js", "genes.js"):
            assert "alert(" in path.read_text()
            json.loads(path.read_text().split(" = ", 1)[1].rstrip(";\n"))


def test_page_loads_only_its_own_files(atlas: SmallAtlas) -> None:
    page = html(atlas.path("report"))
    loaded = re.findall(r'(?:src|<link[^>]*href)="([^"]*)"', page)
    assert loaded
    for name in loaded:
        assert name == "data:," or (atlas.path("report") / name).is_file(), name
    assert len(page) < 75_000


def test_thumbnails_are_small_and_masks_match_the_stain(atlas: SmallAtlas) -> None:
    folder = atlas.path("report/images/HPA000001")
    core = Image.open(folder / "1_A_7_2.webp").convert("RGB")
    mask = np.asarray(Image.open(folder / "1_A_7_2.mask.png").convert("RGBA"))
    assert core.size == (128, 128)
    assert (mask[:48, :, 3] == thumbnails.MASK_ALPHA).all()
    assert not mask[48:, :, 3].any()
    assert tuple(mask[0, 0, :3]) == palette.OVERLAY


def test_thumbnail_of_noise_fits_into_60_kb() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 512, 512)).astype(np.float32)
    data = thumbnails.encode_core(noise)
    assert len(data) <= thumbnails.MAX_BYTES
    assert Image.open(io.BytesIO(data)).size == (256, 256)
    assert len(thumbnails.encode_mask(noise[0] / 255.0)) <= thumbnails.MAX_BYTES


@pytest.mark.parametrize("strip_px", [1, 2080 * 40, 1 << 22])
def test_downsampling_in_strips_gives_block_means(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strip_px: int
) -> None:
    import zarr

    monkeypatch.setattr(downsample, "STRIP_PX", strip_px)

    values = np.random.default_rng(0).integers(0, 256, (3, 96, 2080), dtype=np.uint8)
    array = zarr.create_array(tmp_path / "a", shape=values.shape, chunks=(3, 32, 32), dtype="u1")
    array[:] = values
    downsampled = downsample.downsample(StoredArray(array, tmp_path / "a"), 5)
    expected = values[:, :95, :2080].reshape(3, 19, 5, 416, 5).mean(axis=(2, 4))
    np.testing.assert_allclose(downsampled, expected, rtol=1e-5)


def test_page_without_model_annotation_or_failures(tmp_path: Path) -> None:
    plain = [dataclasses.replace(core, label="", staining="") for core in cores()]
    made = build(tmp_path, plain)
    made.measure()
    folder = run(made, failures=[made.path("failures.csv")])
    page = html(folder)
    assert "No image failed." in page
    assert "No training curves" in page
    assert "the Human Protein Atlas has no annotation of" in page
    assert "no model.json" in page
    assert "p, q and z are empty" in page
    assert "they need at least 5 measured antibodies" in page
    assert "this run has 0." in page
    assert {(row.p_value, row.q_value, row.z) for row in antibodies(folder)} == {(None,) * 3}


def test_page_with_failures_only(empty: SmallAtlas) -> None:
    tables.write_csv(empty.path("acquire.csv"), [failed()], FailureRow)
    folder = run(empty)
    page = html(folder)
    assert "No answer yet: no image could be measured. The section Failures lists" in page
    assert "HTTP 404" in page
    assert "The source has no such file" in page
    assert antibodies(folder) == []


def test_page_without_images_or_failures(empty: SmallAtlas) -> None:
    folder = run(empty)
    page = html(folder)
    assert "No answer yet: there were no images to measure, and no image failed." in page
    assert "The section Failures lists the reasons" not in page
    for name in ("assets", "figures", "images"):
        assert (folder / name).is_dir(), "Snakemake expects the folder"


def test_report_is_written_without_an_unreadable_thumbnail(tmp_path: Path) -> None:
    made = build(tmp_path, cores()[:2])
    made.measure()
    shutil.rmtree(made.store.path("HPA000001/1_A_8_2"))
    folder = run(made, failures=[])
    assert "1_A_7_2.webp" in html(folder)
    assert "1_A_8_2.webp" not in html(folder)


@pytest.mark.parametrize("csv", ["", "step,loss\n", "a,b\nx,y\n", '"', "step\n1\n2\n"])
def test_curves_without_numbers_are_left_out(atlas: SmallAtlas, tmp_path: Path, csv: str) -> None:
    (tmp_path / "training.csv").write_text(csv)
    page = html(run(atlas, "curves", model=tmp_path))
    assert "No training curves" in page
    assert "no model.json" in page


def test_damaged_description_of_the_model_is_an_error(atlas: SmallAtlas, tmp_path: Path) -> None:
    data = (atlas.path("model") / "model.json").read_bytes()
    (tmp_path / "model.json").write_bytes(data.replace(b"0.4", b"0.5"))
    with pytest.raises(CheckpointError, match="its bytes have changed"):
        run(atlas, "damaged", model=tmp_path)


def test_changed_curves_are_an_error(atlas: SmallAtlas, tmp_path: Path) -> None:
    tables.write_checked_text(tmp_path / "training.csv", "step,loss\n1,0.5\n")
    (tmp_path / "training.csv").write_text("step,loss\n1,0.7\n")
    with pytest.raises(TableError, match=r"training\.csv has changed since it was written"):
        run(atlas, "damaged", model=tmp_path)


def test_gallery_has_100_highest_and_6_lowest() -> None:
    row = antibody("A", 0.1)
    rows = [dataclasses.replace(row, rank=rank) for rank in range(1, 201)]
    rows += [dataclasses.replace(row, rank=201, stained_to_cell_ratio=None)]
    shown = gallery_antibodies(rows)
    assert [row.rank for row in shown] == [*range(1, 101), *range(195, 201)]
    assert gallery_antibodies(rows[:3]) == rows[:3]
    assert len(gallery_antibodies(rows[:103])) == 103


def test_page_of_a_model_that_finds_no_stain(tmp_path: Path) -> None:
    bare = [dataclasses.replace(core, stained_rows=0) for core in cores()]
    made = build(tmp_path, bare)
    made.measure()
    page = html(run(made, failures=[]))
    assert "The model finds no stain in any core of the 9 measured antibodies." in page
    assert "has the highest ratio" not in page
    assert "Every ratio is 0, so there are no intervals" in page
    assert "an interval needs two patients" not in page
    assert "All have the same ratio" in page
    assert "all ratios are the same, so there is no order to contradict" in page
    assert text.headline([antibody("A", 0.0)], failures=0) == (
        "No answer yet: the model finds no stain in any core of the only antibody."
    )


def test_page_of_one_antibody_without_cell_area(tmp_path: Path) -> None:
    made = build(tmp_path, cores()[:1])
    made.measure()
    (row,) = tables.read_parquet(made.path("census.parquet"), MeasureRow)
    empty = dataclasses.replace(
        row, cell_area_px=0, stained_area_px=0, stained_to_cell_ratio=None, ratio_low=None,
        ratio_high=None, border_share=None, qc="little tissue",
    )  # fmt: skip
    tables.write_parquet(made.path("census.parquet"), [empty], MeasureRow)
    folder = run(made, failures=[])
    (antibody,) = antibodies(folder)
    assert (antibody.rank, antibody.stained_to_cell_ratio, antibody.q_value) == (1, None, None)
    page = html(folder)
    assert "1 antibody has no ratio" in page
    assert "the counted tiles contain no cell area" in page
    assert "Only one antibody was measured, so there is no ranking." in page
    assert "No antibody has a ratio, so there is no ranking." in page
    assert "No answer yet: no measured image contains cell area" in page
    assert '<td data-name="Ratio" class="number">–</td><td data-name="Flags"' in page
    assert "No figure of ratios" in page


def test_page_lists_limits_of_a_run_without_annotation(tmp_path: Path) -> None:
    plain = [
        dataclasses.replace(core, label="", staining="", patient_id="") for core in cores()[:4]
    ]
    made = build(tmp_path, plain)
    made.measure()
    page = html(run(made, failures=[]))
    assert "No antibody has an annotation of “enterocytes - microvilli”" in page
    assert "Patients are unknown, so intervals are over images." in page
    assert "No figure of ratio against p" in page
    assert "fewer than two antibodies have both a ratio and an annotation or label" in page
    assert "patients unknown" in page


def test_page_shows_the_benchmark_of_this_model_only(atlas: SmallAtlas, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("method,dice,tiles\nCaCL <b>,0.744,395\nempty,,395\n")
    page = html(run(atlas, "benchmark", benchmark=table))
    assert "CaCL &lt;b&gt;" in page
    assert "Dice, as in the paper" in page
    assert ">0.744<" in page
    os.utime(table, (0, 0))
    assert "There is no benchmark of this model" in html(run(atlas, "old", benchmark=table))
    table.write_text('"')
    assert "There is no benchmark of this model" in html(run(atlas, "damaged", benchmark=table))
    assert "There is no benchmark of this model" in html(
        run(atlas, "none", benchmark=tmp_path / "missing.csv")
    )


def test_thumbnails_are_limited_to_500_antibodies_with_priority() -> None:
    rows = [antibody(f"A{i:04d}", 1 - i / 1000, rank=i + 1) for i in range(900)]
    disagreement = DisagreementRow(
        rank=1, antibody_id="A0700", gene="", label="", hpa_staining="high", hpa_intensity="",
        hpa_quantity="", stained_to_cell_ratio=0.3, ratio_low=None, ratio_high=None, expected=0.9,
        difference=-0.5, why="",
    )  # fmt: skip
    shown = thumbnail_antibodies(rows, [disagreement])
    assert len(shown) == len(set(shown)) == 500
    assert shown[:100] == [row.antibody_id for row in rows[:100]]
    assert {"A0700", "A0894", "A0899"} <= set(shown)
    assert "A0600" not in shown
