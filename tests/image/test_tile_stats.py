from __future__ import annotations

import cv2
import numpy as np
import pytest

from cacl.image import qc, stain, tile_stats
from cacl.image.qc import Flag
from cacl.image.tile_grid import TileGrid

TILE = 32
SIDE = 8 * TILE
BROWN = (120, 70, 30)
BLUE = (110, 110, 170)


def core(seed: int = 0, *, radius: float = 0.45) -> tuple[np.ndarray, np.ndarray]:
    """A sharp blue core on white glass: (3, y, x) and its cell mask."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    cell = np.hypot(y - SIDE / 2, x - SIDE / 2) < radius * SIDE
    rgb = np.full((3, SIDE, SIDE), 245.0)
    rgb[:, cell] = np.array(BLUE)[:, None] + rng.normal(0, 25, cell.sum())
    return np.clip(rgb, 0, 255).astype(np.uint8), cell


def scan(rgb: np.ndarray, cell: np.ndarray, stained: np.ndarray | None = None) -> list:
    mask = np.zeros_like(cell) if stained is None else stained
    return [
        tile_stats.compute_row_stats(
            rgb[:, top : top + TILE], cell[top : top + TILE], mask[top : top + TILE]
        )
        for top in range(0, cell.shape[0], TILE)
    ]


def flags(rgb: np.ndarray, cell: np.ndarray) -> list[Flag]:
    height, width = cell.shape
    return qc.quality(scan(rgb, cell), TileGrid(height, width, TILE, TILE))


def test_areas_of_a_known_band() -> None:
    cell = np.zeros((TILE, 2 * TILE), dtype=bool)
    cell[:16] = True
    stained = np.zeros_like(cell)
    stained[:24, :8] = True
    rgb = np.full((3, *cell.shape), 250, dtype=np.uint8)
    rgb[:, :4, :8] = np.array(BROWN)[:, None, None]
    rgb[:, 2:4, 40:44] = np.array(BROWN)[:, None, None]
    rgb[:, 20:24, :8] = np.array(BROWN)[:, None, None]
    band = tile_stats.compute_row_stats(rgb, cell, stained)
    assert band.cell.tolist() == [16 * TILE, 16 * TILE]
    assert band.stained.tolist() == [16 * 8, 0]
    assert band.dab.tolist() == [4 * 8, 2 * 4]
    assert band.both.tolist() == [4 * 8, 0]


def test_intensities_of_a_known_band() -> None:
    cell = np.ones((TILE, TILE), dtype=bool)
    cell[:, 24:] = False
    direction = np.array(stain.DAB_OD) / np.linalg.norm(stain.DAB_OD)
    rgb = np.full((3, TILE, TILE), 255, dtype=np.uint8)
    for column, od in enumerate((0.1, 0.3, 0.5, 0.8)):
        level = np.rint(256 * 10 ** (-od * direction) - 1)
        rgb[:, :, 8 * column : 8 * column + 8] = level[:, None, None]
    stained = np.zeros_like(cell)
    stained[:, 8:24] = True
    band = tile_stats.compute_row_stats(rgb, cell, stained)
    assert band.levels.tolist() == [[8 * TILE], [8 * TILE], [0]]
    mean = tile_stats.stained_od(float(band.stained_od.sum()), int(band.stained.sum()))
    assert mean == pytest.approx(0.4, abs=0.01)
    shares = tile_stats.intensity_fractions(band.levels[:, 0], int(band.cell[0]))
    assert shares == (pytest.approx(1 / 3), pytest.approx(1 / 3), 0.0)
    assert tile_stats.h_score(*shares) == pytest.approx(100 / 3 + 200 / 3)


def test_h_score_is_0_to_300_or_unknown() -> None:
    assert tile_stats.h_score(0.0, 0.0, 0.0) == 0.0
    assert tile_stats.h_score(0.0, 0.0, 1.0) == 300.0
    assert tile_stats.h_score(0.2, 0.3, 0.1) == pytest.approx(110.0)
    assert tile_stats.intensity_fractions(np.zeros(3, dtype=np.int64), 0) == (None, None, None)
    assert tile_stats.h_score(None, None, None) is None
    assert tile_stats.stained_od(0.0, 0) is None


@pytest.mark.parametrize("radius", [0.3, 0.4, 0.45])
def test_diameter_of_a_round_core(radius: float) -> None:
    found = qc.core_diameter(scan(*core(radius=radius)))
    assert found == pytest.approx(2 * radius * SIDE, abs=1.5)


def test_diameter_of_a_torn_core_with_debris_beside_it() -> None:
    rgb, cell = core(radius=0.4)
    cell[: SIDE // 3, : SIDE // 2] = False
    cell[126:132, 240:248] = True
    found = qc.core_diameter(scan(rgb, cell))
    assert found == pytest.approx(0.8 * SIDE, rel=0.03)


def test_what_is_not_round_has_no_diameter() -> None:
    rgb, _ = core()
    cell = np.zeros((SIDE, SIDE), dtype=bool)
    assert qc.core_diameter(scan(rgb, cell)) is None
    cell[20:240, 100:140] = True
    assert qc.core_diameter(scan(rgb, cell)) is None


def test_scale_is_given_or_that_of_a_core_of_1_mm() -> None:
    assert qc.pixel_size_of(1.2, 500.0) == qc.Scale(1.2, "given")
    assert qc.pixel_size_of(None, 800.0) == qc.Scale(1.25, "core diameter")
    assert qc.pixel_size_of(None, None) == qc.Scale(None, "")


@pytest.mark.parametrize(("mpp", "flagged"), [(4.3, False), (2.0, True), (8.0, True)])
def test_a_core_of_another_size_than_1_mm_is_flagged(mpp: float, flagged: bool) -> None:
    rgb, cell = core()
    found = qc.quality(scan(rgb, cell), TileGrid(SIDE, SIDE, TILE, TILE), mpp)
    assert found == ([Flag.UNUSUAL_SIZE] if flagged else [])


def test_ratio_and_border_share() -> None:
    assert tile_stats.ratio(25, 100) == 0.25
    assert tile_stats.ratio(0, 100) == 0.0
    assert tile_stats.ratio(0, 0) is None
    assert tile_stats.border_share(32, 40) == 0.8
    assert tile_stats.border_share(0, 0) is None


def test_words_are_joined_in_a_fixed_order() -> None:
    assert tile_stats.joined(["nuclear", "", "cytoplasmic", "nuclear"]) == "cytoplasmic; nuclear"
    assert tile_stats.joined([]) == ""


def test_a_good_core_has_no_flag() -> None:
    assert flags(*core()) == []


def test_blurred_core_is_flagged() -> None:
    rgb, cell = core()
    coarse = np.stack([cv2.resize(part[::8, ::8], (SIDE, SIDE)) for part in rgb])
    blurred = np.stack([cv2.GaussianBlur(part, (0, 0), 4) for part in coarse])
    assert flags(blurred, cell) == [Flag.BLUR]


def test_little_tissue_is_flagged() -> None:
    rgb, cell = core()
    ring = cell.copy()
    ring[12:-12, 12:-12] = False
    found = flags(rgb, ring)
    assert ring.sum() < qc.MIN_TISSUE_TILES * TILE**2
    assert Flag.LITTLE_TISSUE in found


def test_black_pixels_are_flagged() -> None:
    rgb, cell = core()
    rgb[2, 120:140, 100:160] = 0
    assert Flag.SATURATED in flags(rgb, cell)
    rgb, cell = core()
    rgb[:, :20, :20] = 0
    assert Flag.SATURATED not in flags(rgb, cell)


def test_small_core_and_oblong_image_are_flagged() -> None:
    assert flags(*core(radius=0.25)) == [Flag.UNUSUAL_SIZE]
    rgb, cell = core()
    twice = np.concatenate([rgb, rgb], axis=2)
    assert flags(twice, np.concatenate([cell, cell], axis=1)) == [Flag.UNUSUAL_SIZE]


def test_empty_image_is_flagged_for_tissue_only() -> None:
    rgb = np.full((3, SIDE, SIDE), 250, dtype=np.uint8)
    assert flags(rgb, np.zeros((SIDE, SIDE), dtype=bool)) == [Flag.LITTLE_TISSUE]


def test_real_cores_are_sharp_and_turn_blurred(shared_data: object) -> None:
    from pathlib import Path

    path = Path(str(shared_data)) / "cores" / "55449_A_1_2.jpg"
    picture = cv2.resize(cv2.imread(str(path)), (1024, 1024), interpolation=cv2.INTER_AREA)
    rgb = np.ascontiguousarray(picture[..., ::-1].transpose(2, 0, 1))
    grid = TileGrid(3000, 3000, 375, 128)
    for sigma, expected in ((0, []), (3, [Flag.BLUR])):
        seen = np.stack([cv2.GaussianBlur(part, (0, 0), sigma) for part in rgb]) if sigma else rgb
        cell = stain.cell_mask(seen)
        bands = [
            tile_stats.compute_row_stats(seen[:, y : y + 128], cell[y : y + 128], cell[y : y + 128])
            for y in range(0, 1024, 128)
        ]
        assert qc.quality(bands, grid) == expected
