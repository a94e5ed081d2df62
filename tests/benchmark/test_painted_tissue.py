"""Lumens, counterstain and painted stain on drawn glands with known answers, and on a real one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from benchmarks._lib import counterstain, gland_lumens, painted_cores, painted_tissue
from benchmarks._lib.painted_cores import MPP
from benchmarks.quality.real_tissue import check_split, inversions
from cacl.image.stain import Bool, Float32, UInt8
from cacl.tables.selection import Split

SIDE_PX, CENTRE = 320, (160, 160)
GLAND_PX, LUMEN_PX, VACUOLE_PX = 90, 20, 10
NUCLEUS_OD, CYTOPLASM_OD, VACUOLE_OD = 0.5, 0.25, 0.08


def disc(centre: tuple[int, int], radius_px: int) -> Bool:
    mask = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    cv2.circle(mask, centre, radius_px, 1, cv2.FILLED)
    return np.asarray(mask > 0)


def vacuoles(distance_px: int = 50) -> Bool:
    angles = np.linspace(0, 2 * np.pi, 6, endpoint=False)
    centres = [
        (round(160 + distance_px * np.cos(angle)), round(160 + distance_px * np.sin(angle)))
        for angle in angles
    ]
    return np.asarray(np.any([disc(centre, VACUOLE_PX) for centre in centres], axis=0))


def he_image(hematoxylin: Float32, eosin: Float32) -> UInt8:
    vectors = np.array([counterstain.HEMATOXYLIN_IN_HE, counterstain.EOSIN])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    density = np.stack([hematoxylin, eosin], axis=-1) @ vectors
    return np.asarray(np.rint(256.0 * 10.0**-density - 1.0).clip(0, 255), np.uint8)


def drawn_gland(*, lumen: bool = True) -> tuple[UInt8, Bool, Bool]:
    """Return image, gland and lumen: basal nuclei, six vacuoles, a lumen if asked for."""
    gland, core = disc(CENTRE, GLAND_PX), disc(CENTRE, GLAND_PX - 10)
    opening = disc(CENTRE, LUMEN_PX) if lumen else np.zeros_like(gland)
    hematoxylin = np.where(gland & ~core, NUCLEUS_OD, 0.05).astype(np.float32)
    eosin = np.full(gland.shape, CYTOPLASM_OD, np.float32)
    for pale in (vacuoles(), opening):
        hematoxylin[pale] = 0.0
        eosin[pale] = VACUOLE_OD if pale is not opening else 0.01
    return he_image(hematoxylin, eosin), gland, opening


def drawn_tissue() -> painted_tissue.Tissue:
    rgb, gland, _ = drawn_gland()
    return painted_cores.find_tissue(rgb, gland, MPP)


def antibody(*, positive: bool) -> painted_tissue.Antibody:
    numbers = (painted_tissue.draw_antibody(0, number) for number in (1, 2))
    return next(one for one in numbers if one.staining.positive == positive)


def test_lumen_is_found_and_vacuoles_are_no_lumen() -> None:
    rgb, gland, opening = drawn_gland()
    lumen, pale = gland_lumens.crypt_lumens(gland_lumens.smooth_density(rgb, MPP), gland, MPP)
    assert (lumen & opening).sum() > 0.93 * (lumen | opening).sum()
    assert not (lumen & vacuoles()).any()
    assert (pale & vacuoles()).sum() > 0.8 * vacuoles().sum()


def test_gland_without_lumen_has_none() -> None:
    rgb, gland, _ = drawn_gland(lumen=False)
    lumen, _ = gland_lumens.crypt_lumens(gland_lumens.smooth_density(rgb, MPP), gland, MPP)
    assert not lumen.any()


def test_depth_of_gland_at_the_edge_of_the_image_counts_from_its_outline() -> None:
    gland = np.zeros((100, 100), bool)
    gland[:, :60] = True
    depth, ridge = gland_lumens.gland_depth(gland, 1.0)
    assert depth[50, 10] == pytest.approx(50.0, rel=0.02)
    assert ridge[50, 40] == pytest.approx(45.0, rel=0.05)


@pytest.mark.parametrize(
    ("radius_px", "relative_depth", "expected"),
    [(8, 0.95, True), (3, 0.95, False), (8, 0.8, False), (25, 0.9, True), (25, 0.6, False)],
)
def test_is_lumen_by_size_and_place(radius_px: int, relative_depth: float, expected: bool) -> None:
    component = disc(CENTRE, radius_px)
    depth = np.full(component.shape, relative_depth, np.float32)
    depth[CENTRE] = max(relative_depth, gland_lumens.MIN_RIDGE_DEPTH + 0.01)
    assert gland_lumens.is_lumen(component, depth, MPP) == expected


def test_vacuole_that_opens_into_the_lumen_is_cut_off() -> None:
    lumen, vacuole = disc((160, 160), 14), disc((187, 160), 10)
    neck = np.zeros_like(lumen)
    neck[157:164, 165:185] = True
    depth = np.where(lumen, 0.95, 0.75).astype(np.float32)
    part = gland_lumens.without_vacuoles(lumen | neck | vacuole, depth, MPP)
    assert (part & lumen).sum() > 0.95 * lumen.sum()
    assert not part[:, 182:].any()


def test_he_densities_are_recovered() -> None:
    rng = np.random.default_rng(0)
    hematoxylin, eosin = rng.uniform(0.0, 0.5, (2, 60, 60)).astype(np.float32)
    hematoxylin[:6], eosin[:6] = 0.0, 0.0
    he = counterstain.separate_he(he_image(hematoxylin, eosin))
    assert np.abs(he.hematoxylin - hematoxylin).max() < 0.02
    assert np.abs(he.eosin - eosin).max() < 0.02


def test_counterstain_has_the_densities_of_nuclei_and_cytoplasm_that_are_asked_for() -> None:
    hematoxylin = np.zeros((100, 100), np.float32)
    hematoxylin[:20] = 0.8
    eosin = np.full((100, 100), 0.4, np.float32)
    eosin[:20] = 0.0
    he = counterstain.HeDensities(hematoxylin, eosin)
    density = counterstain.counterstain(he, nucleus_od=0.5, cytoplasm_od=0.1)
    assert density[:20] == pytest.approx(0.5)
    assert density[20:] == pytest.approx(0.1)


def test_glass_stays_white() -> None:
    camera = counterstain.draw_camera(np.random.default_rng(0))
    empty = np.zeros((50, 50), np.float32)
    image = counterstain.render(empty, empty, camera, np.random.default_rng(1))
    assert image.mean() == pytest.approx(np.mean(camera.white), abs=0.2)


@pytest.mark.parametrize("coverage", [1.0, 0.5])
def test_band_lies_around_the_lumen_on_the_covered_fraction(coverage: float) -> None:
    tissue = drawn_tissue()
    apical, lumen = tissue.glands.apical, tissue.glands.lumen
    band, level = painted_tissue.apical_band(np.random.default_rng(0), tissue, coverage)
    low, high = painted_tissue.BORDER_UM
    distance = MPP * cv2.distanceTransform((~lumen).astype(np.uint8), cv2.DIST_L2, 5)
    assert not band[lumen].any()
    assert distance[band > 0.5].max() <= high + MPP
    assert (band[apical] > 0).mean() == pytest.approx(coverage, abs=0.02)
    mean_width = band.sum() * MPP / (apical.sum() * coverage)
    assert low <= mean_width <= 1.3 * high
    assert level.min() >= 0.6
    assert level.max() <= 1.0


@pytest.mark.parametrize("positive", [True, False])
def test_only_a_positive_antibody_stains_the_border(positive: bool) -> None:
    tissue = drawn_tissue()
    dab, truth = painted_tissue.paint(
        np.random.default_rng(0), tissue, antibody(positive=positive), 1.0
    )
    assert set(np.unique(truth)) == ({0, 1, 2} if positive else {0, 1})
    assert not truth[tissue.glands.lumen].any()
    ring = tissue.glands.apical
    stained = antibody(positive=positive).staining.border_od
    assert (dab[ring].mean() > 0.7 * stained) == positive


def test_nuclei_are_stained_where_the_antibody_stains_them() -> None:
    tissue = drawn_tissue()
    plain = antibody(positive=False)
    staining = dataclasses.replace(plain.staining, nuclei_od=0.6, stroma_od=0.0, edge_od=0.0)
    basal = disc(CENTRE, GLAND_PX - 3) & ~disc(CENTRE, GLAND_PX - 8)
    means = {}
    for place in painted_tissue.NUCLEI_IN:
        stained = dataclasses.replace(plain, staining=staining, nuclei_in=place)
        dab, _ = painted_tissue.paint(np.random.default_rng(0), tissue, stained, 1.0)
        means[place] = dab[basal].mean()
    assert means["all"] == pytest.approx(means["epithelium"])
    assert means["epithelium"] > means["stroma"] + 0.4


def test_debris_lies_outside_the_cells() -> None:
    cell = ~disc(CENTRE, 40)
    clumps = [painted_tissue.debris(np.random.default_rng(seed), cell, MPP) for seed in range(5)]
    assert all(not density[cell].any() for density in clumps)
    assert max(density.max() for density in clumps) > 0.3


def test_test_antibodies_have_patients_of_their_own_and_pairs_share_their_sections() -> None:
    positive = {number: number % 2 == 1 for number in range(1, 33)}
    sections = [(f"{patient}_{index}", patient) for patient in ("1", "9") for index in range(5)]
    cores = painted_cores.plan_cores(positive, sections, cores=3, seed=4)
    splits = painted_cores.splits_of(positive, 4)
    sections_of: dict[int, list[str]] = {}
    for core in cores:
        sections_of.setdefault(core.number, []).append(core.section)
        is_test = splits[core.antibody_id] == Split.TEST
        assert core.section.startswith("9" if is_test else "1")
    assert sum(split == Split.TEST for split in splits.values()) == 8
    assert all(len(set(names)) == 3 for names in sections_of.values())
    by_label = [
        sorted(sections_of[number] for number in positive if positive[number] == label)
        for label in (True, False)
    ]
    assert by_label[0] == by_label[1]


def test_too_few_sections_are_refused() -> None:
    with pytest.raises(ValueError, match="3 cores need as many sections, found 1 of training"):
        painted_cores.plan_cores({1: True, 2: False}, [("a", "1")], cores=3, seed=0)


def test_missing_glas_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no readable image; expected the folder of GlaS"):
        painted_cores.read_image(tmp_path / "a.png")


def test_shared_patients_are_refused() -> None:
    rows = pd.DataFrame({"antibody_id": ["a", "b"], "split": [Split.TRAIN, Split.TEST]})
    check_split(rows, pd.Series({"a": "1", "b": "2"}))
    with pytest.raises(ValueError, match=r"share the patients \['1'\]"):
        check_split(rows, pd.Series({"a": "1", "b": "1"}))


def test_inversions_count_unstained_antibodies_at_or_above_the_lowest_stained_one() -> None:
    frame = pd.DataFrame(
        {
            "method": ["m"] * 5,
            "cores": [2.0] * 5,
            "predicted_sum": [0.2, 0.1, 0.15, 0.1, 0.0],
            "true_sum": [0.3, 0.2, 0.0, 0.0, 0.0],
        }
    )
    assert inversions(frame) == {"m": 2}


def test_real_crypts_are_painted_around_their_lumens(shared_data: Path) -> None:
    """A dilated crypt, two crypts with a narrow lumen, a vacuole and a cleft, found by eye."""
    folder = shared_data / "glas"
    if not folder.is_dir():
        pytest.skip("real material is missing: no folder glas in shared/data")
    rgb = painted_cores.read_image(folder / "images" / "train_53.png")
    gland = painted_cores.read_image(folder / "masks" / "train_53.png")[..., 0] > 0
    tissue = painted_cores.find_tissue(rgb, gland, MPP)
    for x, y in ((170, 368), (414, 221), (480, 471)):
        assert tissue.glands.lumen[y, x]
    for x, y in ((394, 196), (445, 222)):
        assert tissue.glands.vacuole[y, x]
    core = painted_cores.paint_core(tissue, antibody(positive=True), (0, 1, 1))
    again = painted_cores.paint_core(tissue, antibody(positive=True), (0, 1, 1))
    assert np.array_equal(core[0], again[0])
    assert np.array_equal(core[1], again[1])
    assert sorted(core[1].shape) == [2 * 242, 3 * 242]
    assert core[0].shape == (*core[1].shape, 3)
    _, truth = painted_tissue.paint(
        np.random.default_rng(0), tissue, antibody(positive=True), coverage=1.0
    )
    stained = truth == 2
    near = cv2.dilate(tissue.glands.lumen.astype(np.uint8), np.ones((23, 23), np.uint8)) > 0
    assert not (stained & ~near).any()
    assert not stained[20:60, 395:440].any()  # a cleft beside a crypt
    assert 0.008 < stained.mean() < 0.03
