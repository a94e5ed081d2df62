from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from cacl.image import qc, stain
from cacl.image.cell_mask import cell_mask
from cacl.image.qc import Flag
from cacl.image.tile_grid import TileGrid
from cacl.image.tile_stats import TileRowStats, compute_row_stats
from tests.fixtures.pictures import core_in_analysis_px

TILE = 32
SIDE = 8 * TILE
BLUE = (110, 110, 170)


def core(seed: int = 0, *, radius: float = 0.45) -> tuple[np.ndarray, np.ndarray]:
    """A sharp blue core on white background: (3, y, x) and its cell mask."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    cell = np.hypot(y - SIDE / 2, x - SIDE / 2) < radius * SIDE
    rgb = np.full((3, SIDE, SIDE), 245.0)
    rgb[:, cell] = np.array(BLUE)[:, None] + rng.normal(0, 25, cell.sum())
    return np.clip(rgb, 0, 255).astype(np.uint8), cell


def row_stats(rgb: np.ndarray, cell: np.ndarray, tile_px: int = TILE) -> list[TileRowStats]:
    unstained = np.zeros_like(cell)
    rows = (slice(top, top + tile_px) for top in range(0, cell.shape[0], tile_px))
    return [compute_row_stats(rgb[:, row], cell[row], unstained[row]) for row in rows]


def flags(rgb: np.ndarray, cell: np.ndarray) -> list[Flag]:
    height, width = cell.shape
    grid = TileGrid(height, width, TILE, TILE)
    return qc.quality_flags(row_stats(rgb, cell), grid, core_um=1000.0)


@pytest.mark.parametrize("radius", [0.3, 0.4, 0.45])
def test_diameter_of_a_round_core(radius: float) -> None:
    diameter = qc.core_diameter(row_stats(*core(radius=radius)))
    assert diameter == pytest.approx(2 * radius * SIDE, abs=1.5)


def test_diameter_is_robust_to_missing_tissue_and_debris() -> None:
    rgb, cell = core(radius=0.4)
    cell[: SIDE // 3, : SIDE // 2] = False
    cell[126:132, 240:248] = True
    diameter = qc.core_diameter(row_stats(rgb, cell))
    assert diameter == pytest.approx(0.8 * SIDE, rel=0.03)


def test_tissue_that_is_not_round_has_no_diameter() -> None:
    rgb, _ = core()
    cell = np.zeros((SIDE, SIDE), dtype=bool)
    assert qc.core_diameter(row_stats(rgb, cell)) is None
    cell[20:240, 100:140] = True
    assert qc.core_diameter(row_stats(rgb, cell)) is None


@pytest.mark.parametrize(
    ("stated", "diameter", "core_um", "default", "expected"),
    [
        (1.2, 500.0, 1000.0, 1.17, (1.2, "given")),
        (None, 800.0, 1000.0, 1.17, (1.25, "core diameter")),
        (None, 800.0, 600.0, None, (0.75, "core diameter")),
        (None, None, 1000.0, 1.17, (1.17, "HPA default")),
        (None, 800.0, None, None, (None, "")),
        (None, None, None, None, (None, "")),
    ],
)
def test_pixel_size_is_stated_or_that_of_a_core_or_the_default(
    stated: float | None,
    diameter: float | None,
    core_um: float | None,
    default: float | None,
    expected: tuple[float | None, str],
) -> None:
    assert qc.pixel_size(stated, diameter, core_um, default) == qc.PixelSize(*expected)


@pytest.mark.parametrize(
    ("mpp", "core_um", "flagged"),
    [(4.3, 1000.0, False), (2.0, 1000.0, True), (8.0, 1000.0, True), (2.6, 600.0, False)],
)
def test_core_of_another_size_than_the_punch_is_flagged(
    mpp: float, core_um: float, flagged: bool
) -> None:
    rgb, cell = core()
    grid = TileGrid(SIDE, SIDE, TILE, TILE)
    flags = qc.quality_flags(row_stats(rgb, cell), grid, mpp, core_um)
    assert flags == ([Flag.UNUSUAL_SIZE] if flagged else [])


def test_good_core_has_no_flag() -> None:
    assert flags(*core()) == []


def test_blurred_core_is_flagged() -> None:
    rgb, cell = core()
    coarse = np.stack([cv2.resize(channel[::8, ::8], (SIDE, SIDE)) for channel in rgb])
    blurred = np.stack([cv2.GaussianBlur(channel, (0, 0), 4) for channel in coarse])
    assert flags(blurred, cell) == [Flag.BLUR]


def test_little_tissue_is_flagged() -> None:
    rgb, cell = core()
    ring = cell.copy()
    ring[12:-12, 12:-12] = False
    assert ring.sum() < qc.MIN_TISSUE_TILES * TILE**2
    assert Flag.LITTLE_TISSUE in flags(rgb, ring)


def test_saturated_pixels_in_the_cell_area_are_flagged() -> None:
    rgb, cell = core()
    rgb[2, 120:140, 100:160] = 0
    assert Flag.SATURATED in flags(rgb, cell)
    rgb, cell = core()
    rgb[:, :20, :20] = 0
    assert Flag.SATURATED not in flags(rgb, cell)


@pytest.mark.parametrize(("residual_od", "flagged"), [(0.0, False), (0.1, True), (-0.1, True)])
def test_colours_that_are_no_mixture_of_the_two_stains_are_flagged(
    residual_od: float, flagged: bool
) -> None:
    """Tissue of 0.4 OD of haematoxylin, and a third colour at right angles to both stains."""
    rgb, cell = core()
    third, hematoxylin = (
        np.array(vector) / np.linalg.norm(vector)
        for vector in (np.cross(stain.HEMATOXYLIN_OD, stain.DAB_OD), stain.HEMATOXYLIN_OD)
    )
    darker = rgb.copy()
    for density in (0.4, 0.2):
        levels = 256 * 10 ** -(density * hematoxylin + residual_od * third) - 1
        pixels = cell & (np.indices(cell.shape).sum(0) // 4 % 2 == round(density * 5 - 1))
        darker[:, pixels] = np.rint(levels)[:, None]
    rows = row_stats(darker, cell)
    expected = abs(residual_od) / np.sqrt((0.4**2 + 0.2**2) / 2 + residual_od**2)
    assert qc.residual_fraction(rows) == pytest.approx(expected, abs=0.01)
    assert flags(darker, cell) == ([Flag.STAIN_VECTORS] if flagged else [])


def test_small_core_and_oblong_image_are_flagged() -> None:
    assert flags(*core(radius=0.25)) == [Flag.UNUSUAL_SIZE]
    rgb, cell = core()
    twice = np.concatenate([rgb, rgb], axis=2)
    assert flags(twice, np.concatenate([cell, cell], axis=1)) == [Flag.UNUSUAL_SIZE]


def test_size_is_judged_only_where_a_core_is_expected() -> None:
    rgb, cell = core(radius=0.25)
    assert qc.quality_flags(row_stats(rgb, cell), TileGrid(SIDE, SIDE, TILE, TILE), 20.0) == []


def test_empty_image_is_flagged_for_tissue_only() -> None:
    rgb = np.full((3, SIDE, SIDE), 250, dtype=np.uint8)
    assert flags(rgb, np.zeros((SIDE, SIDE), dtype=bool)) == [Flag.LITTLE_TISSUE]


@pytest.mark.parametrize(("sigma", "expected"), [(0, []), (3, [Flag.BLUR])])
def test_real_core_is_flagged_only_if_blurred(
    shared_data: Path, sigma: int, expected: list[Flag]
) -> None:
    rgb = core_in_analysis_px(shared_data / "cores" / "55449_A_1_2.jpg")
    if sigma:
        rgb = np.stack([cv2.GaussianBlur(channel, (0, 0), sigma) for channel in rgb])
    stats = row_stats(rgb, cell_mask(rgb), tile_px=128)
    assert qc.quality_flags(stats, TileGrid(3000, 3000, 375, 128), core_um=1000.0) == expected
