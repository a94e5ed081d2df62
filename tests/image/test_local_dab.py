"""Where a stain ends, on bands whose edges are known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cacl.image import stain
from cacl.image.local_dab import SHARP_PX, edge_blur_sigma, local_dab_mask

SHARP = SHARP_PX
BROWN = np.array([120, 70, 40], dtype=np.uint8)[:, None, None]
PALE = np.array([215, 195, 185], dtype=np.uint8)[:, None, None]


def band(width_px: int, *, beside: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Return a brown band from column 40 on, glass before it, and `beside` or glass behind it."""
    rgb = np.full((3, 96, 96), 240, dtype=np.uint8)
    if beside is not None:
        rgb[:, :, 40:] = beside
    rgb[:, :, 40 : 40 + width_px] = BROWN
    return rgb


def blurred(rgb: NDArray[np.uint8], sigma_px: float) -> NDArray[np.uint8]:
    soft = cv2.GaussianBlur(rgb.transpose(1, 2, 0), (0, 0), sigma_px)
    return np.ascontiguousarray(np.asarray(soft, np.uint8).transpose(2, 0, 1))


def test_stain_ends_where_half_of_the_light_is_absorbed() -> None:
    """A pixel half of which is stained absorbs half as much light, not half the density."""
    levels = np.full(64, 255.0)
    levels[30:34] = 255.0 * 0.1
    for share, expected in ((0.6, True), (0.4, False)):
        levels[29] = 255.0 * (1.0 - 0.9 * share)
        grey = np.tile(np.rint(levels), (64, 1)).astype(np.uint8)
        one_stain = np.stack([grey] * 3)
        dab = stain.separate_stains(one_stain)[1]
        if float(dab[5, 31]) <= 0.0:
            pytest.fail("the test's line is not stained")
        assert bool(local_dab_mask(one_stain, SHARP)[32, 29]) is expected


def test_stain_stands_out_on_a_line_and_not_on_a_field() -> None:
    rgb = np.full((3, 64, 64), 230, dtype=np.uint8)
    brown = np.array([120, 70, 40], dtype=np.uint8)[:, None, None]
    rgb[:, 30:33, :] = brown
    mask = local_dab_mask(rgb, SHARP)
    assert mask[30:33].all()
    assert not mask[:28].any()
    assert not mask[35:].any()
    field = np.full((3, 64, 64), 230, dtype=np.uint8)
    field[:, 20:] = brown
    assert not local_dab_mask(field, SHARP)[40:].any()


def test_beside_a_band_the_stain_of_its_cells_is_its_background() -> None:
    """Half-way between band and cytoplasm is more than half-way between band and glass."""
    rgb = band(4, beside=PALE)
    levels = np.linspace(0.0, 1.0, 6)[1:-1]
    rgb[:, :, 44:48] = np.rint(BROWN * (1.0 - levels) + PALE * levels)
    found = local_dab_mask(rgb, SHARP)[48]
    assert found[40:46].all()
    assert not found[46:].any()
    on_glass = local_dab_mask(band(4), SHARP)[48]
    assert on_glass.nonzero()[0].tolist() == [40, 41, 42, 43]


def test_what_is_wider_than_a_band_does_not_stand_out() -> None:
    assert local_dab_mask(band(6), SHARP)[:, 42].all()
    assert not local_dab_mask(band(30), SHARP)[:, 50:60].any()


def test_softness_is_that_of_the_edges_whatever_their_contrast() -> None:
    sharp = band(30)
    found = [
        edge_blur_sigma(sharp),
        *(edge_blur_sigma(blurred(sharp, sigma)) for sigma in (1.0, 1.5, 2.0)),
    ]
    assert found[0] < SHARP
    assert found[1:] == pytest.approx([1.25, 1.6, 2.1], abs=0.1)
    faint = blurred(np.rint(240 - (240 - sharp.astype(float)) / 3).astype(np.uint8), 1.5)
    assert edge_blur_sigma(faint) == pytest.approx(found[2], abs=0.15)
    assert edge_blur_sigma(np.full((3, 64, 64), 230, dtype=np.uint8)) == 0.0


@pytest.mark.parametrize(("width_px", "sigma_px"), [(3, 1.5), (4, 2.0)])
def test_a_blurred_band_is_not_wider_once_the_image_is_known_to_be_soft(
    width_px: int, sigma_px: float
) -> None:
    soft = blurred(band(width_px, beside=PALE), sigma_px)
    found = [int(local_dab_mask(soft, known)[48].sum()) for known in (SHARP, edge_blur_sigma(soft))]
    assert found == [width_px + 1, width_px]
