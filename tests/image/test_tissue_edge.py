from __future__ import annotations

import cv2
import numpy as np

from cacl.image import tissue_edge
from cacl.image.pixel_flags import EDGE_PX, MAX_CORE_PX, interior_mask


def disc(size: int, radius: int) -> np.ndarray:
    """A disc in the middle of a square."""
    mask = np.zeros((size, size), np.uint8)
    return cv2.circle(mask, (size // 2, size // 2), radius, 1, -1) > 0


def test_depth_is_the_distance_from_the_outline() -> None:
    core = disc(201, 80)
    core[90:111, 100:] = False  # a lumen that opens to the side is not outside
    depth = tissue_edge.depth(core, 30)
    assert depth[100, 100] > 75
    assert abs(depth[100, 30] - 10) < 1.5
    assert depth[100, 150] > 25
    assert depth[0, 0] == 0
    assert depth.dtype == np.float32
    wide = tissue_edge.depth(core, 8)
    assert wide[100, 150] == 0
    assert abs(wide[80, 130] - 10) < 1.5


def test_a_hole_is_not_outside() -> None:
    core = disc(301, 120) & ~disc(301, 60)
    assert tissue_edge.depth(core, 10)[150, 150] > 110


def test_debris_is_no_tissue() -> None:
    core = disc(301, 80)
    alone = tissue_edge.depth(core, 30)
    core[5:10, 5:10] = True
    np.testing.assert_array_equal(tissue_edge.depth(core, 30), alone)
    core[5:40, 5:40] = True
    assert tissue_edge.depth(core, 30)[20, 20] > 0


def test_nothing_has_no_depth() -> None:
    assert not tissue_edge.depth(np.zeros((40, 30), bool), 20).any()


def test_tissue_at_the_picture_s_border_has_a_rim_there() -> None:
    assert tissue_edge.depth(np.ones((60, 60), bool), 20)[0, 30] == 1


def test_a_core_has_a_rim_and_a_section_has_none() -> None:
    core = disc(201, 80)
    inner = interior_mask(core.astype(np.uint8))
    assert not inner[100, 100 - 80 + EDGE_PX - 2]
    assert inner[100, 100 - 80 + EDGE_PX + 2]
    section = np.zeros((1, MAX_CORE_PX + 1), np.uint8)
    assert interior_mask(section).all()
