"""The phantom with rows of stained nuclei, packed stroma and the texture of real tissue."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg

from benchmarks.quality.texture import band_deviations
from cacl.phantom import write_phantom
from cacl.phantom.anatomy import Anatomy, draw_anatomy
from cacl.phantom.fields import generator
from cacl.phantom.imaging import ground_truth_png
from cacl.phantom.nucleus_rows import nuclei_in_rows
from cacl.phantom.render import render
from cacl.phantom.settings import DUODENUM_A, DUODENUM_F, Detail
from cacl.phantom.stain_maps import StainMaps, px_per_um
from cacl.phantom.staining import Staining, draw_staining
from cacl.phantom.stroma_cells import packed_cells, scattered_cells
from cacl.phantom.texture import PROBABILITIES, TEXTURES, texture_fields
from cacl.phantom.tissue_texture import apply_texture
from tests.fixtures.phantoms import read_mask

CORE_PX = 750
TABLE = Path(__file__).parents[2] / "benchmarks" / "results" / "texture.md"
# Mean levels (R, G, B) of an image of 500 px, and the pixels of its mask that are border: both of
# the first antibody of the pair that stains it, seed 5, before this setting was added.
UNCHANGED: dict[str, tuple[tuple[float, float, float], int]] = {
    "duodenum-a": ((186.94, 178.42, 178.39), 5588),
    "duodenum-b": ((199.40, 187.10, 198.19), 3980),
    "duodenum-c": ((211.04, 208.48, 205.80), 4860),
    "duodenum-d": ((208.92, 204.40, 206.44), 10612),
    "duodenum-e": ((213.88, 207.18, 209.33), 6376),
    "patterns-a": ((208.36, 201.42, 200.68), 5488),
}


@pytest.fixture(scope="module")
def anatomy() -> Anatomy:
    return draw_anatomy(generator("detail"), DUODENUM_F.geometry, CORE_PX)


def staining_of_nuclei(*, positive: bool) -> Staining:
    """Return an antibody that stains all nuclei of the epithelium, half of those of the stroma."""
    return dataclasses.replace(
        draw_staining(0, DUODENUM_F, 1),
        positive=positive,
        border_od=0.8,
        cytoplasm_od=0.0,
        stroma_od=0.0,
        mucus_od=0.0,
        debris_od=0.0,
        edge_od=0.0,
        nuclei_od=0.9,
        epithelial_nuclei=1.0,
        stroma_nuclei=0.5,
        background_od=0.0,
    )


def rendered(anatomy: Anatomy, *, positive: bool) -> StainMaps:
    staining = staining_of_nuclei(positive=positive)
    return render(generator("paint"), anatomy, DUODENUM_F, staining, coverage=0.9)


def write(folder: Path, setting: str) -> Path:
    write_phantom(
        folder / "host",
        folder / "truth",
        antibodies=2,
        patients=1,
        seed=5,
        jobs=2,
        setting=setting,
        core_px=500,
    )
    return folder


def levels_and_border(folder: Path) -> tuple[tuple[float, ...], int]:
    """Return the mean levels of the image with most border, and the pixels of border."""
    masks = {path: read_mask(path) for path in sorted((folder / "truth").rglob("*.png"))}
    best = max(masks, key=lambda path: int((masks[path] == 2).sum()))
    (image,) = (folder / "host" / "images").rglob(f"{best.stem}.jpg")
    rgb = simplejpeg.decode_jpeg(image.read_bytes())
    return tuple(rgb.mean(axis=(0, 1)).tolist()), int((masks[best] == 2).sum())


@pytest.mark.parametrize("name", sorted(UNCHANGED))
def test_the_other_settings_stay_as_they_were(tmp_path: Path, name: str) -> None:
    levels, border = levels_and_border(write(tmp_path, name))
    assert levels == pytest.approx(UNCHANGED[name][0], abs=0.05)
    assert border == pytest.approx(UNCHANGED[name][1], abs=5)


def test_equal_seed_gives_equal_bytes(tmp_path: Path) -> None:
    first, second = (write(tmp_path / name, "duodenum-f") for name in "ab")
    files = [path.relative_to(first) for path in sorted(first.rglob("*")) if path.is_file()]
    assert len(files) == 9
    for path in files:
        assert (first / path).read_bytes() == (second / path).read_bytes(), path


def test_both_classes_have_antibodies_with_strongly_stained_nuclei() -> None:
    stainings = [draw_staining(0, DUODENUM_F, number) for number in range(1, 201)]
    strong = [staining.positive for staining in stainings if staining.nuclei_od > 0.5]
    assert 0.35 < len(strong) / len(stainings) < 0.65
    assert 0.35 < np.mean(strong) < 0.65


def test_negative_antibody_has_a_row_of_stained_nuclei_outside_the_truth(anatomy: Anatomy) -> None:
    maps = rendered(anatomy, positive=False)
    encoded = np.frombuffer(ground_truth_png(maps, CORE_PX), np.uint8)
    truth = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED))
    assert set(np.unique(truth)) == {0, 1}
    nuclei = maps.nuclei & maps.epithelium
    assert np.median(maps.dab[nuclei]) > 0.5
    # Depth in cell heights: the row lies in the basal half, and almost fills it sideways.
    height = DUODENUM_F.geometry.epithelium_um[1] * maps.px
    assert np.median(anatomy.depth[nuclei]) > 0.45 * height
    in_row = maps.epithelium & (np.abs(anatomy.depth - np.median(anatomy.depth[nuclei])) < 1.5)
    assert maps.nuclei[in_row].mean() > 0.6
    apical = maps.epithelium & (anatomy.depth < 0.25 * height)
    assert maps.nuclei[apical].mean() < 0.02


def test_haematoxylin_remains_under_dab(anatomy: Anatomy) -> None:
    maps = rendered(anatomy, positive=False)
    nuclei = maps.nuclei & maps.epithelium
    beside = maps.epithelium & (maps.any_nucleus < 0.05)
    assert np.median(maps.hematoxylin[nuclei]) > np.median(maps.hematoxylin[beside]) + 0.05


def test_nuclei_of_the_stroma_are_partly_stained(anatomy: Anatomy) -> None:
    maps = rendered(anatomy, positive=True)
    nuclei = (maps.any_nucleus > 0.4) & ~maps.epithelium & maps.cell
    assert 0.3 < maps.nuclei[nuclei].mean() < 0.75
    assert not (maps.nuclei & maps.border).any()


def test_positive_core_differs_from_a_negative_one_only_at_the_border(anatomy: Anatomy) -> None:
    positive, negative = (rendered(anatomy, positive=positive) for positive in (True, False))
    assert positive.border.any()
    np.testing.assert_array_equal(positive.hematoxylin, negative.hematoxylin)
    near = cv2.dilate(positive.border.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert not (np.abs(positive.dab - negative.dab) > 0.1)[~near].any()


def test_stroma_is_packed(anatomy: Anatomy) -> None:
    stroma = rendered(anatomy, positive=False)
    mask = anatomy.solid & anatomy.tissue & ~stroma.epithelium & (anatomy.below < 0)
    pitch = Detail().stroma_pitch_um
    rng = generator("stroma")
    packed = packed_cells(rng, stroma, anatomy, mask, pitch)
    scattered = scattered_cells(rng, stroma, anatomy, mask)
    assert packed.level.size > 1.5 * scattered.level.size
    long, wide = packed.half_axes
    slender = long / wide > 2.5
    assert 0.1 < slender.mean() < 0.6
    # A spindle cell lies along its neighbours: the directions of near ones agree.
    centres, angle = packed.centres[slender], packed.angle[slender]
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    near = (apart < 12.0 * stroma.px) & (apart > 0)
    first, second = np.nonzero(near)
    assert np.cos(2.0 * (angle[first] - angle[second])).mean() > 0.6


def test_fraction_of_nuclei_in_the_stroma_exceeds_that_of_duodenum_a(anatomy: Anatomy) -> None:
    fractions = []
    for setting in (DUODENUM_A, DUODENUM_F):
        staining = draw_staining(0, setting, 1)
        maps = render(generator("paint"), anatomy, setting, staining, coverage=0.9)
        stroma = anatomy.solid & anatomy.tissue & ~maps.epithelium & (anatomy.below < 0)
        fractions.append(float((maps.any_nucleus > 0.4)[stroma].mean()))
    assert fractions[1] > 1.2 * fractions[0]


def test_rows_have_regular_distances(anatomy: Anatomy) -> None:
    rows, px = Detail().rows, px_per_um(DUODENUM_F)
    height = np.full(anatomy.depth.shape, 28.0 * px, np.float32)
    flat = dataclasses.replace(rows, depth_sd=0.0)
    nuclei = nuclei_in_rows(generator("rows"), anatomy, height, flat, px)
    x, y = np.rint(nuclei.centres).astype(int).T
    depth = anatomy.depth[y, x] / height[y, x]
    assert np.median(depth) == pytest.approx(rows.depth, abs=0.04)
    apart = np.linalg.norm(np.diff(nuclei.centres, axis=0), axis=1) / px
    assert np.mean((apart > 0.75 * rows.spacing_um[0]) & (apart < 1.1 * rows.spacing_um[1])) > 0.85


@pytest.mark.parametrize("name", sorted(TEXTURES))
def test_texture_has_the_measured_spectrum_and_distribution(name: str) -> None:
    texture = TEXTURES[name]
    field = texture_fields(generator("texture"))[name]
    np.testing.assert_allclose(
        band_deviations(field, np.ones(field.shape, bool)), texture.bands, rtol=0.06
    )
    np.testing.assert_allclose(np.quantile(field, PROBABILITIES), texture.quantiles, atol=0.01)


def test_textures_are_those_of_the_table() -> None:
    lines = re.findall(r"^\| ([a-z ]+) \| (-?\d.*) \|$", TABLE.read_text(encoding="utf-8"), re.M)
    measured = {name: tuple(map(float, numbers.split(" | "))) for name, numbers in lines}
    assert measured == {
        name: (*texture.bands, *texture.quantiles) for name, texture in TEXTURES.items()
    }


def test_each_structure_gets_its_texture(anatomy: Anatomy) -> None:
    maps = rendered(anatomy, positive=False)
    size = 2 * maps.size
    hematoxylin, dab = np.ones((size, size), np.float32), np.ones((size, size), np.float32)
    apply_texture(generator("texture"), maps, hematoxylin, dab)
    nucleus, epithelium = (
        cv2.resize(field.astype(np.float32), (size, size))
        for field in (maps.any_nucleus, maps.epithelium)
    )
    masks = {
        "nucleus": nucleus > 0.6,
        "cytoplasm": (nucleus == 0) & (epithelium == 1),
        "stroma": (nucleus == 0) & (epithelium == 0),
    }
    for name, mask in masks.items():
        quantiles = np.quantile(hematoxylin[mask] - 1.0, PROBABILITIES)
        np.testing.assert_allclose(quantiles, TEXTURES[name].quantiles, atol=0.03)
    stained = TEXTURES["stained nucleus"].quantiles
    quantiles = np.quantile(dab[masks["nucleus"]] - 1.0, PROBABILITIES)
    np.testing.assert_allclose(quantiles, stained, atol=0.03)
