from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg

from cacl.image import qc, stain, tile_stats, tissue_folds
from cacl.image.qc import Flag
from cacl.image.tile_grid import TileGrid
from cacl.phantom.anatomy import draw_anatomy
from cacl.phantom.fields import generator
from cacl.phantom.imaging import render_image
from cacl.phantom.render import render
from cacl.phantom.settings import setting_by_name
from cacl.phantom.staining import draw_staining

TILE = 128
FINE = ("fine_cell", "fine_hematoxylin", "fine_dab")


def analysed(picture: np.ndarray, side: int) -> np.ndarray:
    """A picture (y, x, 3) in analysis pixels, (3, side, side)."""
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small.transpose(2, 0, 1))


def drawn(name: str) -> np.ndarray:
    """A synthetic core of 512 analysis px with every pattern of its setting."""
    setting, rng = setting_by_name(name), generator("folds", name)
    anatomy = draw_anatomy(rng, setting.geometry, 1500)
    canvas = render(rng, anatomy, setting, draw_staining(0, setting, 1), 0.5)
    return analysed(simplejpeg.decode_jpeg(render_image(rng, canvas, setting, 1500)), 512)


def with_fold(rgb: np.ndarray, width: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Lay the tissue on itself, out of focus, along a slanted strip through the middle."""
    side = rgb.shape[1]
    rows, columns = np.indices((side, side)) - side / 2
    along, across = 0.8 * columns + 0.6 * rows, 0.8 * rows - 0.6 * columns
    strip = (np.abs(along) < length / 2) & (np.abs(across) < width / 2)
    density = stain.optical_density(rgb)
    second = np.maximum(np.roll(density, (37, 23), (1, 2)) - stain.background_od(rgb), 0.0)
    second = np.stack([cv2.GaussianBlur(part, (0, 0), 1.5) for part in second])
    soft = cv2.GaussianBlur(strip.astype(np.float32), (0, 0), 2.0)
    levels = np.rint(256 * 10.0 ** -(density + soft * second) - 1)
    return np.clip(levels, 0, 255).astype(np.uint8), strip


def bands(rgb: np.ndarray) -> list[tile_stats.TileRowStats]:
    cell = stain.cell_mask(rgb)
    tops = range(0, rgb.shape[1], TILE)
    return [
        tile_stats.compute_row_stats(rgb[:, y : y + TILE], cell[y : y + TILE], cell[y : y + TILE])
        for y in tops
    ]


def fine(rgb: np.ndarray) -> list[np.ndarray]:
    found = bands(rgb)
    return [np.concatenate([getattr(band, name) for band in found]) for name in FINE]


@pytest.mark.parametrize(
    ("name", "width", "length"),
    [
        ("duodenum-a", 40, 300),
        ("duodenum-b", 40, 300),
        ("duodenum-c", 40, 300),
        ("duodenum-b", 16, 300),
        ("duodenum-c", 6, 450),
    ],
)
def test_a_fold_is_found_where_it_is_and_nothing_without(
    name: str, width: int, length: int
) -> None:
    """Narrower folds are found in some cores only: `benchmarks/artefacts.py`."""
    plain = drawn(name)
    assert tissue_folds.fold_share(*fine(plain)) < tissue_folds.MAX_SHARE
    folded, strip = with_fold(plain, width, length)
    maps = fine(folded)
    assert tissue_folds.fold_share(*maps) > tissue_folds.MAX_SHARE
    found = (
        cv2.resize(tissue_folds.fold_map(*maps).astype(np.uint8), (512, 512), interpolation=0) > 0
    )
    near = cv2.dilate(strip.astype(np.uint8), np.ones((17, 17))) > 0
    assert (found & near).sum() > 0.8 * found.sum()


def squares(blue: np.ndarray, brown: np.ndarray) -> tuple[np.ndarray, ...]:
    cell = np.zeros(blue.shape, np.float16)
    cell[10:-10, 10:-10] = 1.0
    return cell, (blue * cell).astype(np.float16), (brown * cell).astype(np.float16)


def test_two_layers_are_darker_in_both_stains() -> None:
    rng = np.random.default_rng(0)
    blue, brown = rng.normal(0.3, 0.03, (2, 100, 100)).clip(0.05)
    assert tissue_folds.fold_share(*squares(blue, brown)) == 0.0
    strip = np.s_[40:48, 30:70]
    for stained in ((brown,), (blue,)):
        one = [part.copy() for part in stained]
        one[0][strip] *= 4.0
        maps = squares(blue, one[0]) if stained[0] is brown else squares(one[0], brown)
        assert tissue_folds.fold_share(*maps) == 0.0
    both_blue, both_brown = blue.copy(), brown.copy()
    both_blue[strip] *= 2.5
    both_brown[strip] *= 2.5
    inside = (80 - 2 * tissue_folds.RIM) ** 2
    expected = 8 * 40 / inside
    found = tissue_folds.fold_share(*squares(both_blue, both_brown))
    assert found == pytest.approx(expected, rel=0.3)


def test_dark_rims_and_clumps_are_no_folds() -> None:
    rng = np.random.default_rng(0)
    blue, brown = rng.normal(0.3, 0.03, (2, 100, 100)).clip(0.05)
    for place in (np.s_[10:14, :], np.s_[50:53, 50:53]):
        one, two = blue.copy(), brown.copy()
        one[place] *= 3.0
        two[place] *= 3.0
        assert tissue_folds.fold_share(*squares(one, two)) == 0.0


def test_nothing_and_unstained_tissue_have_no_fold() -> None:
    empty = np.zeros((40, 40), np.float16)
    assert tissue_folds.fold_share(empty, empty, empty) == 0.0
    assert not tissue_folds.fold_map(empty, empty, empty).any()
    full = np.ones((40, 40), np.float16)
    assert tissue_folds.fold_share(full, full, empty) == 0.0


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
def test_of_the_real_cores_the_folded_one_is_flagged(
    shared_data: Path, name: str, flags: list[Flag]
) -> None:
    picture = cv2.imread(str(shared_data / "cores" / f"{name}.jpg"))
    rgb = analysed(picture[..., ::-1], 1024)
    assert qc.quality(bands(rgb), TileGrid(3000, 3000, 375, TILE)) == flags
    if flags:
        found = tissue_folds.fold_map(*fine(rgb))
        knots = [(50, 74), (61, 87), (124, 92), (152, 41), (182, 33)]
        for row, column in knots:
            assert found[row - 4 : row + 5, column - 4 : column + 5].any()
        assert not found[60:180, 110:170].any()
