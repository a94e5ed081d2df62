from __future__ import annotations

import numpy as np
import pytest

from cacl.image import stain
from cacl.image.tile_stats import compute_row_stats
from cacl.stats.ratios import h_score, intensity_fractions, mean_stained_od

TILE = 32
BROWN = (120, 70, 30)


def test_known_areas_of_a_row_of_tiles() -> None:
    cell = np.zeros((TILE, 2 * TILE), dtype=bool)
    cell[:16] = True
    stained = np.zeros_like(cell)
    stained[:24, :8] = True
    rgb = np.full((3, *cell.shape), 250, dtype=np.uint8)
    rgb[:, :4, :8] = np.array(BROWN)[:, None, None]
    rgb[:, 2:4, 40:44] = np.array(BROWN)[:, None, None]
    rgb[:, 20:24, :8] = np.array(BROWN)[:, None, None]
    stats = compute_row_stats(rgb, cell, stained)
    assert stats.cell.tolist() == [16 * TILE, 16 * TILE]
    assert stats.stained.tolist() == [16 * 8, 0]
    assert stats.dab.tolist() == [4 * 8, 2 * 4]
    assert stats.stained_dab.tolist() == [4 * 8, 0]


def test_known_intensities_of_a_row_of_tiles() -> None:
    cell = np.ones((TILE, TILE), dtype=bool)
    cell[:, 24:] = False
    direction = np.array(stain.DAB_OD) / np.linalg.norm(stain.DAB_OD)
    rgb = np.full((3, TILE, TILE), 255, dtype=np.uint8)
    for column, od in enumerate((0.1, 0.3, 0.5, 0.8)):
        level = np.rint(256 * 10 ** (-od * direction) - 1)
        rgb[:, :, 8 * column : 8 * column + 8] = level[:, None, None]
    stained = np.zeros_like(cell)
    stained[:, 8:24] = True
    stats = compute_row_stats(rgb, cell, stained)
    assert stats.intensity_counts.tolist() == [[8 * TILE], [8 * TILE], [0]]
    mean = mean_stained_od(float(stats.stained_od_sum.sum()), int(stats.stained.sum()))
    assert mean == pytest.approx(0.4, abs=0.01)
    fractions = intensity_fractions(stats.intensity_counts[:, 0], int(stats.cell[0]))
    assert fractions[:2] == pytest.approx((1 / 3, 1 / 3))
    assert fractions[2] == 0.0
    assert h_score(*fractions) == pytest.approx(100 / 3 + 200 / 3)
