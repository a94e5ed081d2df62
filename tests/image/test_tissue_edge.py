from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

from cacl.image.pixel_flags import EDGE_PX, MAX_CORE_PX, interior_mask
from cacl.image.tissue_edge import edge_distance


def disc(size: int, radius: int) -> np.ndarray:
    """A disc in the middle of a square."""
    mask = np.zeros((size, size), np.uint8)
    return cv2.circle(mask, (size // 2, size // 2), radius, 1, -1) > 0


def test_distance_is_measured_from_the_closed_outline() -> None:
    core = disc(201, 80)
    core[90:111, 100:] = False  # a lumen, open at one side, lies inside
    distance = edge_distance(core, 30)
    assert distance[100, 100] > 75
    assert abs(distance[100, 30] - 10) < 1.5
    assert distance[100, 150] > 25
    assert distance[0, 0] == 0
    assert distance.dtype == np.float32
    small_radius = edge_distance(core, 8)
    assert small_radius[100, 150] == 0
    assert abs(small_radius[80, 130] - 10) < 1.5


def test_hole_lies_inside_the_outline() -> None:
    core = disc(301, 120) & ~disc(301, 60)
    assert edge_distance(core, 10)[150, 150] > 110


def test_distance_is_the_exact_root_of_an_integer() -> None:
    core = disc(301, 80)
    margin = 32
    outside = np.pad(~core, margin, constant_values=True)
    closed = ndimage.distance_transform_edt(
        ndimage.binary_fill_holes(ndimage.distance_transform_edt(outside) <= 30)
    )
    expected = np.maximum(closed[margin:-margin, margin:-margin].astype(np.float32) - 30, 0)
    np.testing.assert_array_equal(edge_distance(core, 30), expected)


def test_debris_is_ignored() -> None:
    core = disc(301, 80)
    expected = edge_distance(core, 30)
    core[5:10, 5:10] = True
    np.testing.assert_array_equal(edge_distance(core, 30), expected)
    core[5:40, 5:40] = True
    assert edge_distance(core, 30)[20, 20] > 0


def test_distance_is_0_without_tissue() -> None:
    assert not edge_distance(np.zeros((40, 30), bool), 20).any()


def test_tissue_at_the_image_border_has_its_edge_there() -> None:
    assert edge_distance(np.ones((60, 60), bool), 20)[0, 30] == 1


def test_core_has_a_tissue_edge_and_a_section_has_none() -> None:
    core = disc(201, 80)
    interior = interior_mask(core.astype(np.uint8))
    assert not interior[100, 100 - 80 + EDGE_PX - 2]
    assert interior[100, 100 - 80 + EDGE_PX + 2]
    section = np.zeros((1, MAX_CORE_PX + 1), np.uint8)
    assert interior_mask(section).all()
