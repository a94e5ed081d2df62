from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg

from cacl.image import qc
from cacl.image.cell_mask import cell_mask
from cacl.image.qc import Flag
from cacl.image.tile_grid import TileGrid
from cacl.image.tile_stats import TileRowStats, compute_row_stats
from cacl.image.tissue_folds import EDGE_SQUARES, MAX_FOLD_FRACTION, fold_fraction, fold_mask
from cacl.phantom.anatomy import draw_anatomy
from cacl.phantom.fields import generator
from cacl.phantom.imaging import render_image
from cacl.phantom.render import render
from cacl.phantom.settings import setting_by_name
from cacl.phantom.staining import draw_staining
from tests.fixtures.pictures import core_in_analysis_px, with_fold

TILE = 128
MAPS = ("cell_map", "hematoxylin_map", "dab_map")


def phantom(name: str) -> np.ndarray:
    """A synthetic core with every stain pattern of its setting, (3, 512, 512) in analysis px."""
    setting, rng = setting_by_name(name), generator("folds", name)
    anatomy = draw_anatomy(rng, setting.geometry, 1500)
    stain_maps = render(rng, anatomy, setting, draw_staining(0, setting, 1), 0.5)
    image = simplejpeg.decode_jpeg(render_image(rng, stain_maps, setting, 1500))
    small = cv2.resize(image, (512, 512), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small.transpose(2, 0, 1))


def row_stats(rgb: np.ndarray) -> list[TileRowStats]:
    cell = cell_mask(rgb)
    rows = (slice(top, top + TILE) for top in range(0, rgb.shape[1], TILE))
    return [compute_row_stats(rgb[:, row], cell[row], cell[row]) for row in rows]


def maps(rgb: np.ndarray) -> list[np.ndarray]:
    stats = row_stats(rgb)
    return [np.concatenate([getattr(row, name) for row in stats]) for name in MAPS]


@pytest.mark.parametrize(
    ("name", "width", "length"),
    [
        ("duodenum-a", 40, 300),
        ("duodenum-b", 40, 300),
        ("duodenum-c", 40, 300),
        ("duodenum-c", 16, 300),
        ("duodenum-c", 6, 450),
    ],
)
def test_fold_is_detected_at_its_position_and_only_if_present(
    name: str, width: int, length: int
) -> None:
    """Narrower folds are detected in some cores only: `benchmarks/quality/artefacts.py`."""
    plain = phantom(name)
    assert fold_fraction(*maps(plain)) < MAX_FOLD_FRACTION
    folded, strip = with_fold(plain, width, length)
    folded_maps = maps(folded)
    assert fold_fraction(*folded_maps) > MAX_FOLD_FRACTION
    folds = fold_mask(*folded_maps).astype(np.uint8)
    mask = cv2.resize(folds, (512, 512), interpolation=cv2.INTER_NEAREST) > 0
    near_strip = cv2.dilate(strip.astype(np.uint8), np.ones((17, 17))) > 0
    assert (mask & near_strip).sum() > 0.8 * mask.sum()


def square_tissue(hematoxylin: np.ndarray, dab: np.ndarray) -> tuple[np.ndarray, ...]:
    cell = np.zeros(hematoxylin.shape, np.float16)
    cell[10:-10, 10:-10] = 1.0
    return cell, (hematoxylin * cell).astype(np.float16), (dab * cell).astype(np.float16)


def test_fold_must_be_darker_in_both_stains() -> None:
    rng = np.random.default_rng(0)
    hematoxylin, dab = rng.normal(0.3, 0.03, (2, 100, 100)).clip(0.05)
    assert fold_fraction(*square_tissue(hematoxylin, dab)) == 0.0
    strip = np.s_[40:48, 30:70]
    dark_hematoxylin, dark_dab = hematoxylin.copy(), dab.copy()
    dark_hematoxylin[strip] *= 4.0
    dark_dab[strip] *= 4.0
    assert fold_fraction(*square_tissue(dark_hematoxylin, dab)) == 0.0
    assert fold_fraction(*square_tissue(hematoxylin, dark_dab)) == 0.0
    folded = hematoxylin.copy(), dab.copy()
    for density in folded:
        density[strip] *= 2.5
    expected = 8 * 40 / (80 - 2 * EDGE_SQUARES) ** 2
    assert fold_fraction(*square_tissue(*folded)) == pytest.approx(expected, rel=0.3)


def test_packed_nuclei_are_not_a_fold_but_two_layers_of_them_are() -> None:
    """A tenth of the tissue is nuclei, stained by both; in the strip they are packed."""
    rng = np.random.default_rng(0)
    stains = rng.normal(0.3, 0.03, (2, 100, 100)).clip(0.05)
    stains[:, rng.random((100, 100)) < 0.1] *= 2.5
    stains[:, 40:48, 30:70] = rng.normal(0.75, 0.03, (2, 8, 40))
    assert fold_fraction(*square_tissue(*stains)) == 0.0
    stains[:, 40:48, 30:70] *= 2.0
    expected = 8 * 40 / (80 - 2 * EDGE_SQUARES) ** 2
    assert fold_fraction(*square_tissue(*stains)) == pytest.approx(expected, rel=0.5)


@pytest.mark.parametrize("window", [np.s_[10:14, :], np.s_[50:53, 50:53]])
def test_dark_tissue_edge_and_clump_are_not_folds(window: tuple[slice, slice]) -> None:
    rng = np.random.default_rng(0)
    hematoxylin, dab = rng.normal(0.3, 0.03, (2, 100, 100)).clip(0.05)
    for density in (hematoxylin, dab):
        density[window] *= 3.0
    assert fold_fraction(*square_tissue(hematoxylin, dab)) == 0.0


def test_empty_image_and_tissue_without_dab_have_no_fold() -> None:
    empty = np.zeros((40, 40), np.float16)
    assert fold_fraction(empty, empty, empty) == 0.0
    assert not fold_mask(empty, empty, empty).any()
    full = np.ones((40, 40), np.float16)
    assert fold_fraction(full, full, empty) == 0.0


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("55449_A_1_1", []),
        ("55449_A_1_2", []),
        ("55449_A_1_3", [Flag.FOLD]),
        ("55449_A_1_4", []),
        ("7921_A_1_2", []),
    ],
)
def test_only_the_folded_one_of_the_real_cores_is_flagged(
    shared_data: Path, name: str, flags: list[Flag]
) -> None:
    rgb = core_in_analysis_px(shared_data / "cores" / f"{name}.jpg")
    assert (
        qc.quality_flags(row_stats(rgb), TileGrid(3000, 3000, 375, TILE), core_um=1000.0) == flags
    )
    if flags:
        mask = fold_mask(*maps(rgb))
        knots = [(50, 74), (61, 87), (124, 92), (152, 41), (182, 33)]
        for row, column in knots:
            assert mask[row - 4 : row + 5, column - 4 : column + 5].any()
        assert not mask[60:180, 110:170].any()
