"""The phantom: files, determinism, resuming, truth, and listings that agree with the pictures."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from lxml import etree

from cacl.errors import ConfigError
from cacl.image import stain
from cacl.phantom import SETTINGS, write_phantom
from cacl.phantom.anatomy import draw_anatomy
from cacl.phantom.fields import generator
from cacl.phantom.render import render
from cacl.phantom.settings import DUODENUM_A
from cacl.phantom.staining import annotate, draw_staining, staining_level

CORE_PX = 750


def write(folder: Path, **options: object) -> Path:
    chosen = {
        "antibodies": 4,
        "patients": 2,
        "seed": 0,
        "jobs": 2,
        "core_px": CORE_PX,
    } | options
    write_phantom(folder / "host", folder / "truth", **chosen)  # type: ignore[arg-type]
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("phantom"))


def numbers(atlas: Path) -> list[int]:
    return sorted(int(path.name) for path in (atlas / "host" / "images").iterdir())


def truth_of(atlas: Path, number: int) -> list[np.ndarray]:
    masks = sorted((atlas / "truth" / f"HPA{number}").glob("*.png"))
    return [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in masks]


def test_every_url_of_the_xml_is_a_core_with_a_truth_of_its_size(atlas: Path) -> None:
    pages = sorted((atlas / "host").glob("ENSG*.xml"))
    assert [page.stem for page in pages] == [f"ENSG00000{n}" for n in range(900001, 900005)]
    urls = [url.text for page in pages for url in etree.parse(page).iter("imageUrl")]
    assert urls[0] == "https://images.proteinatlas.org/900001/900001_A_7_2.jpg"
    assert len(urls) == len(list((atlas / "host" / "images").rglob("*.jpg"))) == 8
    for url in urls:
        number, name = url.split("/")[-2:]
        picture = (atlas / "host" / "images" / number / name).read_bytes()
        height, width, *_ = simplejpeg.decode_jpeg_header(picture)
        truth = cv2.imread(
            str(atlas / "truth" / f"HPA{number}" / name.replace(".jpg", ".png")),
            cv2.IMREAD_UNCHANGED,
        )
        assert (height, width) == truth.shape == (CORE_PX, CORE_PX)
        assert truth.dtype == np.uint8
        assert set(np.unique(truth)) <= {0, 1, 2}


def test_one_antibody_of_each_pair_has_a_border(atlas: Path) -> None:
    has_border = [any((mask == 2).any() for mask in truth_of(atlas, n)) for n in numbers(atlas)]
    assert sum(has_border[:2]) == sum(has_border[2:]) == 1


def test_annotation_of_microvilli_says_what_the_truth_shows(atlas: Path) -> None:
    for number in numbers(atlas):
        page = etree.parse(atlas / "host" / f"ENSG00000{number}.xml")
        (cell,) = page.xpath("//tissueCell[cellType='Enterocytes - Microvilli']")
        staining = cell.findtext("level[@type='staining']")
        border = any((mask == 2).any() for mask in truth_of(atlas, number))
        assert (staining != "not detected") == border
        assert (cell.findtext("location") == "none") != border


def test_bulk_table_has_release_23s_columns_and_agrees_with_the_xml(atlas: Path) -> None:
    archive = (atlas / "host" / "download" / "normal_tissue.tsv.zip").read_bytes()
    with zipfile.ZipFile(io.BytesIO(archive)) as zipped:
        header, *rows = zipped.read("normal_tissue.tsv").decode().splitlines()
    assert header.split("\t") == [
        "Gene",
        "Gene name",
        "Tissue",
        "Cell type",
        "Level",
        "Reliability",
    ]
    assert len(rows) == 4 * 6
    for row in rows:
        gene, symbol, tissue, cell_type, found, _ = row.split("\t")
        page = etree.parse(atlas / "host" / f"{gene}.xml")
        (cell,) = page.xpath(f"//tissueCell[cellType='{cell_type}']")
        assert tissue == "duodenum"
        assert page.findtext("entry/name") == symbol
        assert cell.findtext("level[@type='staining']").capitalize() == found


def test_bytes_depend_neither_on_jobs_nor_on_how_many_antibodies(
    atlas: Path, tmp_path: Path
) -> None:
    fewer = digests(write(tmp_path, antibodies=2, jobs=1))
    more = digests(atlas)
    shared = {name: digest for name, digest in more.items() if name in fewer}
    del fewer["host/download/normal_tissue.tsv.zip"]
    del shared["host/download/normal_tissue.tsv.zip"]
    assert shared == fewer


def test_another_seed_or_setting_gives_another_picture(tmp_path: Path) -> None:
    one = {"antibodies": 1, "patients": 1, "core_px": 300}
    name = "host/images/900001/900001_A_7_2.jpg"
    found = {
        digests(write(tmp_path / "a", **one))[name],
        digests(write(tmp_path / "b", **one, seed=1))[name],
        digests(write(tmp_path / "c", **one, setting="duodenum-b"))[name],
    }
    assert len(found) == 3


def test_a_rerun_leaves_what_matches_and_mends_what_does_not(tmp_path: Path) -> None:
    options = {"antibodies": 3, "patients": 1, "core_px": 300}
    write(tmp_path, **options)
    before = digests(tmp_path)
    images = sorted((tmp_path / "host").rglob("*.jpg"))
    kept_time = images[0].stat().st_mtime_ns
    images[1].write_bytes(b"damaged")
    sorted((tmp_path / "truth").rglob("*.png"))[2].unlink()
    write(tmp_path, **options)
    assert digests(tmp_path) == before
    assert images[0].stat().st_mtime_ns == kept_time


def test_a_rerun_with_other_parameters_or_a_damaged_receipt_draws_again(tmp_path: Path) -> None:
    options = {"antibodies": 1, "patients": 1, "core_px": 300}
    write(tmp_path, **options)
    before = digests(tmp_path)
    write(tmp_path, **options, seed=1)
    assert digests(tmp_path) != before
    (receipt,) = (tmp_path / "truth").rglob("*.json")
    receipt.write_text("[")
    write(tmp_path, **options)
    assert digests(tmp_path) == before
    assert set(json.loads(receipt.read_text())) == {"digest", "image_sha256", "truth_sha256"}


def test_no_temporary_file_is_left(atlas: Path) -> None:
    assert {path.suffix for path in atlas.rglob("*") if path.is_file()} == {
        ".jpg",
        ".json",
        ".png",
        ".xml",
        ".zip",
    }


def test_the_stained_border_is_browner_than_the_other_cells_around_it(atlas: Path) -> None:
    for number in numbers(atlas):
        pictures = sorted((atlas / "host" / "images" / str(number)).glob("*.jpg"))
        for picture, truth in zip(pictures, truth_of(atlas, number), strict=True):
            border = truth == 2
            if border.sum() < 500:
                continue
            rgb = simplejpeg.decode_jpeg(picture.read_bytes()).transpose(2, 0, 1)
            _, dab = stain.separate_stains(np.ascontiguousarray(rgb))
            near = cv2.dilate(border.astype(np.uint8), np.ones((31, 31), np.uint8)) > 0
            beside = near & (truth == 1)
            assert np.median(dab[border]) > np.median(dab[beside]) + 0.08


def test_the_cell_area_is_tissue_and_the_rest_is_not(atlas: Path) -> None:
    (picture,) = (atlas / "host" / "images" / "900001").glob("*_7_2.jpg")
    rgb = simplejpeg.decode_jpeg(picture.read_bytes()).transpose(2, 0, 1)
    density = stain.optical_density(np.ascontiguousarray(rgb)).mean(axis=0)
    truth = truth_of(atlas, 900001)[0]
    assert np.median(density[truth > 0]) > 0.1
    assert np.median(density[truth == 0]) < 0.04


def test_a_negative_core_differs_from_its_positive_twin_only_in_the_border() -> None:
    staining = dataclasses.replace(draw_staining(0, DUODENUM_A, 1), positive=True, border_od=0.7)
    unstained = dataclasses.replace(staining, positive=False)
    anatomy = draw_anatomy(generator("anatomy"), DUODENUM_A.geometry, CORE_PX)
    positive, negative = (
        render(generator("paint"), anatomy, DUODENUM_A, one, coverage=0.9)
        for one in (staining, unstained)
    )
    assert positive.border.any()
    assert not negative.border.any()
    np.testing.assert_array_equal(positive.cell, negative.cell)
    np.testing.assert_array_equal(positive.hematoxylin, negative.hematoxylin)
    changed = np.abs(positive.dab - negative.dab) > 0.1
    near = cv2.dilate(positive.border.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert changed[positive.border].mean() > 0.9
    assert not changed[~near].any()


def test_the_border_is_as_wide_as_the_setting_says_and_covers_its_share() -> None:
    staining = dataclasses.replace(draw_staining(0, DUODENUM_A, 1), positive=True)
    anatomy = draw_anatomy(generator("anatomy"), DUODENUM_A.geometry, CORE_PX)
    areas = []
    for coverage in (0.3, 0.6, 0.9):
        maps = render(generator("paint"), anatomy, DUODENUM_A, staining, coverage=coverage)
        deepest = float(anatomy.depth[maps.border].max()) / maps.px
        assert deepest <= 1.5 * DUODENUM_A.geometry.border_um[1] + 1.0
        areas.append(int(maps.border.sum()))
    assert areas[0] * 1.6 < areas[1] * 1.25 < areas[2] * 1.25 * 1.25


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_both_classes_draw_the_same_distractors(name: str) -> None:
    drawn = [draw_staining(3, SETTINGS[name], number) for number in range(1, 801)]
    positive = [one for one in drawn if one.positive]
    negative = [one for one in drawn if not one.positive]
    assert len(positive) == len(negative) == 400
    for field in ("cytoplasm_od", "stroma_od", "mucus_od", "nuclei_od", "debris_od", "edge_od"):
        there = [np.array([getattr(one, field) for one in group]) for group in (positive, negative)]
        shares = [(values > 0).mean() for values in there]
        assert 0.1 < shares[0] < 0.9
        assert shares[0] == pytest.approx(shares[1], abs=0.12)
        assert np.mean(there[0]) == pytest.approx(np.mean(there[1]), abs=0.12)
    assert {one.grade for one in positive} == {"weak", "moderate", "strong"}
    assert all(one.cytoplasm_od < 0.5 * one.border_od for one in drawn)


def test_annotations_follow_the_stain() -> None:
    plain = dataclasses.replace(
        draw_staining(0, DUODENUM_A, 1),
        positive=True,
        grade="strong",
        coverage=0.8,
        cytoplasm_od=0.3,
        nuclei_od=0.0,
        mucus_od=0.0,
    )
    lines = {line.cell_type: line for line in annotate(plain)}
    microvilli = lines["Enterocytes - Microvilli"]
    assert (microvilli.staining, microvilli.intensity, microvilli.quantity) == (
        "high",
        "strong",
        ">75%",
    )
    assert lines["Enterocytes"].staining == "medium"
    assert lines["Enterocytes"].location == "cytoplasmic/membranous"
    assert lines["Goblet cells"].staining == "not detected"
    nuclear = dataclasses.replace(plain, nuclei_od=0.5, positive=False)
    lines = {line.cell_type: line for line in annotate(nuclear)}
    assert lines["Enterocytes - Microvilli"].location == "none"
    assert lines["Enterocytes"].location == "cytoplasmic/membranous,nuclear"
    assert lines["Goblet cells"].location == "nuclear"


@pytest.mark.parametrize(
    ("intensity", "quantity", "expected"),
    [
        ("negative", "none", "not detected"),
        ("weak", ">75%", "low"),
        ("moderate", "<25%", "low"),
        ("moderate", "75%-25%", "medium"),
        ("strong", "<25%", "medium"),
        ("strong", "75%-25%", "high"),
    ],
)
def test_level_follows_intensity_and_quantity(intensity: str, quantity: str, expected: str) -> None:
    assert staining_level(intensity, quantity) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"antibodies": 0},
        {"antibodies": 100_000},
        {"patients": 0},
        {"patients": 4},
        {"jobs": 0},
        {"core_px": 100},
        {"setting": "colon"},
    ],
)
def test_numbers_out_of_range_and_unknown_settings_are_refused(
    tmp_path: Path, wrong: dict[str, object]
) -> None:
    with pytest.raises(ConfigError, match=str(next(iter(wrong.values())))):
        write(tmp_path, **wrong)
    assert not list(tmp_path.iterdir())


def test_an_odd_size_and_a_setting_of_ones_own_work(tmp_path: Path) -> None:
    own = dataclasses.replace(DUODENUM_A, name="mine")
    write(tmp_path, antibodies=1, patients=1, core_px=301, setting=own)
    assert truth_of(tmp_path, 900001)[0].shape == (301, 301)
