"""Polygons are filled by centres of pixels: exact along pixel edges, once along common edges."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.measure import points_in_poly

from cacl.export.geojson import polygons
from cacl.image import polygon_fill
from cacl.image.polygon_fill import fill_polygons

Float64 = NDArray[np.float64]


def ring(*points: tuple[float, float]) -> Float64:
    return np.array(points, np.float64)


def box(left: float, top: float, right: float, bottom: float) -> Float64:
    return ring((left, top), (right, top), (right, bottom), (left, bottom))


def block(left: int, top: int, right: int, bottom: int) -> NDArray[np.bool_]:
    mask = np.zeros((8, 9), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def fill(*shapes: list[Float64]) -> NDArray[np.bool_]:
    return fill_polygons(shapes, 8, 9)


def test_polygon_along_pixel_edges_gives_exactly_these_pixels() -> None:
    expected = block(2, 1, 5, 4)
    for outline in (box(2, 1, 5, 4), box(2, 1, 5, 4)[::-1], ring(*box(2, 1, 5, 4), (2, 1))):
        assert np.array_equal(fill([outline]), expected)
    assert np.array_equal(fill([box(1.6, 0.6, 5.4, 4.4)]), expected)
    assert np.array_equal(fill([box(1.4, 0.4, 4.4, 3.4)]), block(1, 0, 4, 3))


def test_holes_are_left_out_in_either_orientation_also_where_they_overlap() -> None:
    expected = block(0, 0, 8, 8) & ~block(2, 2, 4, 4)
    for hole in (box(2, 2, 4, 4), box(2, 2, 4, 4)[::-1]):
        assert np.array_equal(fill([box(0, 0, 8, 8), hole]), expected)
    both = fill([box(0, 0, 8, 8), box(2, 2, 4, 4), box(3, 3, 5, 5)[::-1]])
    assert np.array_equal(both, expected & ~block(3, 3, 5, 5))
    island = fill([box(0, 0, 8, 8), box(2, 2, 4, 4)], [box(2, 2, 4, 4)])
    assert np.array_equal(island, block(0, 0, 8, 8))


def test_union_of_polygons_that_overlap() -> None:
    expected = block(0, 0, 4, 4) | block(2, 2, 6, 6)
    assert np.array_equal(fill([box(0, 0, 4, 4)], [box(2, 2, 6, 6)[::-1]]), expected)


def test_polygons_with_a_common_edge_have_no_gap_and_no_common_pixel() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        x, y = rng.uniform(0, 9), rng.uniform(0, 8)
        upper = fill([ring((0, 0), (9, 0), (9, y), (x, 4), (0, 8 - y))])
        lower = fill([ring((0, 8), (9, 8), (9, y), (x, 4), (0, 8 - y))])
        assert (upper ^ lower).all()


def test_ring_that_crosses_itself_encloses_what_it_winds_around() -> None:
    twice = ring((0, 0), (6, 0), (6, 6), (2, 6), (2, 2), (4, 2), (4, 7), (0, 7))
    assert fill([twice])[:6, :6].all()
    bow = fill([ring((0, 0), (8, 8), (8, 0), (0, 8))])
    assert bow[4, 1]
    assert bow[4, 7]
    assert not bow[1, 4]


def test_agrees_with_points_in_polygon() -> None:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:40, :50] + 0.5
    centres = np.stack([x.ravel(), y.ravel()], axis=1)
    for _ in range(30):
        angle, radius = np.sort(rng.uniform(0, 2 * np.pi, 12)), rng.uniform(3, 35, 12)
        star = np.stack([25 + radius * np.cos(angle), 20 + radius * np.sin(angle)], axis=1)
        expected = points_in_poly(centres, star).reshape(40, 50)
        assert np.array_equal(fill_polygons([[star]], 40, 50), expected)


def test_restores_the_mask_that_the_export_traced() -> None:
    rng = np.random.default_rng(2)
    mask = rng.random((30, 40)) < 0.5
    assert np.array_equal(fill_polygons(polygons(mask), 30, 40), mask)


def test_bands_of_rows_give_the_same_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    star = ring((20, 0), (25, 39), (0, 10), (40, 12), (8, 38))
    expected = fill_polygons([[star]], 40, 41)
    monkeypatch.setattr(polygon_fill, "BAND_CROSSINGS", 7)
    monkeypatch.setattr(polygon_fill, "BAND_PX", 200)
    assert np.array_equal(fill_polygons([[star]], 40, 41), expected)
    assert 200 < expected.sum() < 900


def test_nothing_or_flat_polygons_give_an_empty_mask() -> None:
    assert not fill().any()
    assert not fill([ring((0, 1), (8, 1), (4, 1))]).any()
    assert not fill([box(-50, -50, -10, -10)]).any()


def test_refuses_outlines_that_take_too_long() -> None:
    zigzag = np.zeros((10_100, 2))
    zigzag[:, 0], zigzag[1::2, 1] = np.linspace(0, 50, len(zigzag)), 2000
    with pytest.raises(ValueError, match="20,200,000 times, expected at most 20,000,000"):
        fill_polygons([[zigzag]], 2000, 50)
