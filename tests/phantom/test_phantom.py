"""The phantom: files, determinism, reruns, ground truth, agreement of annotation and images."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import TypedDict, Unpack

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
from cacl.phantom.settings import DUODENUM_A, Setting
from cacl.phantom.staining import annotate, draw_staining, staining_level
from tests.fixtures.phantoms import read_mask, text_of, tissue_cell

CORE_PX = 750


class PhantomOptions(TypedDict, total=False):
    """Options of `write_phantom` that a test sets."""

    antibodies: int
    patients: int
    seed: int
    jobs: int
    core_px: int
    setting: str | Setting


SMALL: PhantomOptions = {"antibodies": 1, "patients": 1, "core_px": 300}


def write(folder: Path, **options: Unpack[PhantomOptions]) -> Path:
    defaults: PhantomOptions = {
        "antibodies": 4,
        "patients": 2,
        "seed": 0,
        "jobs": 2,
        "core_px": CORE_PX,
    }
    write_phantom(folder / "host", folder / "truth", **(defaults | options))
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


def masks_of(atlas: Path, number: int) -> list[np.ndarray]:
    masks = sorted((atlas / "truth" / f"HPA{number}").glob("*.png"))
    return [read_mask(path) for path in masks]


def test_every_image_url_has_an_image_and_a_mask_of_equal_size(atlas: Path) -> None:
    pages = sorted((atlas / "host").glob("ENSG*.xml"))
    assert [page.stem for page in pages] == [f"ENSG00000{n}" for n in range(900001, 900005)]
    urls = [url.text or "" for page in pages for url in etree.parse(page).iter("imageUrl")]
    assert urls[0] == "https://images.proteinatlas.org/900001/900001_A_7_2.jpg"
    assert len(urls) == len(list((atlas / "host" / "images").rglob("*.jpg"))) == 8
    for url in urls:
        number, name = url.split("/")[-2:]
        image = (atlas / "host" / "images" / number / name).read_bytes()
        height, width, *_ = simplejpeg.decode_jpeg_header(image)
        truth = read_mask(atlas / "truth" / f"HPA{number}" / name.replace(".jpg", ".png"))
        assert (height, width) == truth.shape == (CORE_PX, CORE_PX)
        assert truth.dtype == np.uint8
        assert set(np.unique(truth)) <= {0, 1, 2}


def test_one_antibody_of_each_pair_stains_the_border(atlas: Path) -> None:
    has_border = [any((mask == 2).any() for mask in masks_of(atlas, n)) for n in numbers(atlas)]
    assert sum(has_border[:2]) == sum(has_border[2:]) == 1


def test_microvilli_annotation_agrees_with_ground_truth(atlas: Path) -> None:
    for number in numbers(atlas):
        path = atlas / "host" / f"ENSG00000{number}.xml"
        cell = tissue_cell(path, "Enterocytes - Microvilli")
        staining = text_of(cell, "level[@type='staining']")
        border = any((mask == 2).any() for mask in masks_of(atlas, number))
        assert (staining != "not detected") == border
        assert (text_of(cell, "location") == "none") != border


def test_bulk_table_has_columns_of_release_23_and_agrees_with_xml(atlas: Path) -> None:
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
        gene, symbol, tissue, cell_type, staining, _ = row.split("\t")
        path = atlas / "host" / f"{gene}.xml"
        cell = tissue_cell(path, cell_type)
        assert tissue == "duodenum"
        assert etree.parse(path).findtext("entry/name") == symbol
        assert text_of(cell, "level[@type='staining']").capitalize() == staining


def test_output_is_independent_of_jobs_and_number_of_antibodies(
    atlas: Path, tmp_path: Path
) -> None:
    fewer = digests(write(tmp_path, antibodies=2, jobs=1))
    more = digests(atlas)
    shared = {name: digest for name, digest in more.items() if name in fewer}
    del fewer["host/download/normal_tissue.tsv.zip"]
    del shared["host/download/normal_tissue.tsv.zip"]
    assert shared == fewer


def test_seed_and_setting_change_the_image(tmp_path: Path) -> None:
    name = "host/images/900001/900001_A_7_2.jpg"
    image_digests = {
        digests(write(tmp_path / "a", **SMALL))[name],
        digests(write(tmp_path / "b", **(SMALL | {"seed": 1})))[name],
        digests(write(tmp_path / "c", **(SMALL | {"setting": "duodenum-b"})))[name],
    }
    assert len(image_digests) == 3


def test_rerun_keeps_matching_files_and_rewrites_others(tmp_path: Path) -> None:
    options: PhantomOptions = {"antibodies": 3, "patients": 1, "core_px": 300}
    write(tmp_path, **options)
    before = digests(tmp_path)
    images = sorted((tmp_path / "host").rglob("*.jpg"))
    kept_time = images[0].stat().st_mtime_ns
    images[1].write_bytes(b"damaged")
    sorted((tmp_path / "truth").rglob("*.png"))[2].unlink()
    write(tmp_path, **options)
    assert digests(tmp_path) == before
    assert images[0].stat().st_mtime_ns == kept_time


def test_rerun_rewrites_after_changed_parameters_or_damaged_record(tmp_path: Path) -> None:
    write(tmp_path, **SMALL)
    before = digests(tmp_path)
    write(tmp_path, **(SMALL | {"seed": 1}))
    assert digests(tmp_path) != before
    (record,) = (tmp_path / "truth").rglob("*.json")
    record.write_text("[")
    write(tmp_path, **SMALL)
    assert digests(tmp_path) == before
    assert set(json.loads(record.read_text())) == {"digest", "image_sha256", "truth_sha256"}


def test_leaves_no_temporary_file(atlas: Path) -> None:
    assert {path.suffix for path in atlas.rglob("*") if path.is_file()} == {
        ".jpg",
        ".json",
        ".png",
        ".xml",
        ".zip",
    }


def test_stained_border_has_more_dab_than_adjacent_cells(atlas: Path) -> None:
    for number in numbers(atlas):
        images = sorted((atlas / "host" / "images" / str(number)).glob("*.jpg"))
        for image, truth in zip(images, masks_of(atlas, number), strict=True):
            border = truth == 2
            if border.sum() < 500:
                continue
            rgb = simplejpeg.decode_jpeg(image.read_bytes()).transpose(2, 0, 1)
            _, dab = stain.separate_stains(np.ascontiguousarray(rgb))
            near = cv2.dilate(border.astype(np.uint8), np.ones((31, 31), np.uint8)) > 0
            beside = near & (truth == 1)
            assert np.median(dab[border]) > np.median(dab[beside]) + 0.08


def test_cell_mask_matches_optical_density(atlas: Path) -> None:
    (image,) = (atlas / "host" / "images" / "900001").glob("*_7_2.jpg")
    rgb = simplejpeg.decode_jpeg(image.read_bytes()).transpose(2, 0, 1)
    density = stain.optical_density(np.ascontiguousarray(rgb)).mean(axis=0)
    truth = masks_of(atlas, 900001)[0]
    assert np.median(density[truth > 0]) > 0.1
    assert np.median(density[truth == 0]) < 0.04


def test_negative_core_differs_only_at_the_border() -> None:
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


def test_border_has_configured_width_and_coverage() -> None:
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
def test_positive_and_negative_antibodies_share_confounder_distributions(name: str) -> None:
    stainings = [draw_staining(3, SETTINGS[name], number) for number in range(1, 801)]
    positive = [staining for staining in stainings if staining.positive]
    negative = [staining for staining in stainings if not staining.positive]
    assert len(positive) == len(negative) == 400
    for field in ("cytoplasm_od", "stroma_od", "mucus_od", "nuclei_od", "debris_od", "edge_od"):
        there = [
            np.array([getattr(staining, field) for staining in group])
            for group in (positive, negative)
        ]
        fractions = [(values > 0).mean() for values in there]
        assert 0.1 < fractions[0] < 0.9
        assert fractions[0] == pytest.approx(fractions[1], abs=0.12)
        assert np.mean(there[0]) == pytest.approx(np.mean(there[1]), abs=0.12)
    assert {staining.grade for staining in positive} == {"weak", "moderate", "strong"}
    assert all(staining.cytoplasm_od < 0.5 * staining.border_od for staining in stainings)


def test_annotation_follows_the_staining() -> None:
    plain = dataclasses.replace(
        draw_staining(0, DUODENUM_A, 1),
        positive=True,
        grade="strong",
        coverage=0.8,
        cytoplasm_od=0.3,
        nuclei_od=0.0,
        mucus_od=0.0,
    )
    annotations = {line.cell_type: line for line in annotate(plain)}
    microvilli = annotations["Enterocytes - Microvilli"]
    assert (microvilli.staining, microvilli.intensity, microvilli.quantity) == (
        "high",
        "strong",
        ">75%",
    )
    assert annotations["Enterocytes"].staining == "medium"
    assert annotations["Enterocytes"].location == "cytoplasmic/membranous"
    assert annotations["Goblet cells"].staining == "not detected"
    nuclear = dataclasses.replace(plain, nuclei_od=0.5, positive=False)
    annotations = {line.cell_type: line for line in annotate(nuclear)}
    assert annotations["Enterocytes - Microvilli"].location == "none"
    assert annotations["Enterocytes"].location == "cytoplasmic/membranous,nuclear"
    assert annotations["Goblet cells"].location == "nuclear"


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
def test_staining_level_follows_intensity_and_quantity(
    intensity: str, quantity: str, expected: str
) -> None:
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
def test_rejects_values_out_of_range_and_unknown_settings(
    tmp_path: Path, wrong: PhantomOptions
) -> None:
    with pytest.raises(ConfigError, match=str(next(iter(wrong.values())))):
        write(tmp_path, **wrong)
    assert not list(tmp_path.iterdir())


def test_accepts_odd_size_and_custom_setting(tmp_path: Path) -> None:
    custom = dataclasses.replace(DUODENUM_A, name="mine")
    write(tmp_path, antibodies=1, patients=1, core_px=301, setting=custom)
    assert masks_of(tmp_path, 900001)[0].shape == (301, 301)
