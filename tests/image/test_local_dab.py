"""Local DAB threshold: edges of bands of known width, background and blur."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cacl.image import stain
from cacl.image.local_dab import SHARP_EDGE_SIGMA_PX as SHARP
from cacl.image.local_dab import edge_blur_sigma, local_dab_mask

BROWN = np.array([120, 70, 40], dtype=np.uint8)[:, None, None]
PALE = np.array([215, 195, 185], dtype=np.uint8)[:, None, None]


def band(width_px: int, *, beside: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Return a brown band from column 40 on; glass before it, and `beside` or glass after it."""
    rgb = np.full((3, 96, 96), 240, dtype=np.uint8)
    if beside is not None:
        rgb[:, :, 40:] = beside
    rgb[:, :, 40 : 40 + width_px] = BROWN
    return rgb


def blur(rgb: NDArray[np.uint8], sigma_px: float) -> NDArray[np.uint8]:
    blurred = cv2.GaussianBlur(rgb.transpose(1, 2, 0), (0, 0), sigma_px)
    return np.ascontiguousarray(np.asarray(blurred, np.uint8).transpose(2, 0, 1))


def test_edge_is_where_half_of_the_light_is_absorbed() -> None:
    """A half-stained pixel absorbs half as much light, but has less than half the density."""
    levels = np.full(64, 255.0)
    levels[30:34] = 255.0 * 0.1
    for stained_fraction, expected in ((0.6, True), (0.4, False)):
        levels[29] = 255.0 * (1.0 - 0.9 * stained_fraction)
        grey = np.tile(np.rint(levels), (64, 1)).astype(np.uint8)
        rgb = np.stack([grey] * 3)
        dab = stain.separate_stains(rgb)[1]
        if float(dab[5, 31]) <= 0.0:
            pytest.fail("the line of the test has no DAB")
        assert bool(local_dab_mask(rgb, SHARP)[32, 29]) is expected


def test_mask_contains_a_line_and_not_a_wide_area() -> None:
    rgb = np.full((3, 64, 64), 230, dtype=np.uint8)
    rgb[:, 30:33, :] = BROWN
    mask = local_dab_mask(rgb, SHARP)
    assert mask[30:33].all()
    assert not mask[:28].any()
    assert not mask[35:].any()
    wide = np.full((3, 64, 64), 230, dtype=np.uint8)
    wide[:, 20:] = BROWN
    assert not local_dab_mask(wide, SHARP)[40:].any()


def test_background_of_a_band_is_the_stain_of_the_cells_beside_it() -> None:
    """Half-way from the band to stained cytoplasm is more than half-way to glass."""
    rgb = band(4, beside=PALE)
    levels = np.linspace(0.0, 1.0, 6)[1:-1]
    rgb[:, :, 44:48] = np.rint(BROWN * (1.0 - levels) + PALE * levels)
    row = local_dab_mask(rgb, SHARP)[48]
    assert row[40:46].all()
    assert not row[46:].any()
    on_glass = local_dab_mask(band(4), SHARP)[48]
    assert on_glass.nonzero()[0].tolist() == [40, 41, 42, 43]


def test_mask_excludes_structures_wider_than_the_opening() -> None:
    assert local_dab_mask(band(6), SHARP)[:, 42].all()
    assert not local_dab_mask(band(30), SHARP)[:, 50:60].any()


def test_edge_blur_does_not_depend_on_contrast() -> None:
    sharp = band(30)
    estimates = [
        edge_blur_sigma(sharp),
        *(edge_blur_sigma(blur(sharp, sigma)) for sigma in (1.0, 1.5, 2.0)),
    ]
    assert estimates[0] < SHARP
    assert estimates[1:] == pytest.approx([1.25, 1.6, 2.1], abs=0.1)
    faint = blur(np.rint(240 - (240 - sharp.astype(float)) / 3).astype(np.uint8), 1.5)
    assert edge_blur_sigma(faint) == pytest.approx(estimates[2], abs=0.15)
    assert edge_blur_sigma(np.full((3, 64, 64), 230, dtype=np.uint8)) == 0.0


@pytest.mark.parametrize(("width_px", "sigma_px"), [(3, 1.5), (4, 2.0)])
def test_sharpening_restores_the_width_of_a_blurred_band(width_px: int, sigma_px: float) -> None:
    rgb = blur(band(width_px, beside=PALE), sigma_px)
    widths = [int(local_dab_mask(rgb, sigma)[48].sum()) for sigma in (SHARP, edge_blur_sigma(rgb))]
    assert widths == [width_px + 1, width_px]
