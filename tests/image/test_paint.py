"""Painted bands: area, density, place; a dose of 0 changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from cacl.image.apical_border import ApicalBorder
from cacl.image.local_dab import SHARP_EDGE_SIGMA_PX
from cacl.image.paint import band_fraction, paint_dab, stretches
from cacl.image.stain import DAB_OD, dab_density, dab_direction, separate_stains

HEIGHT, WIDTH, EDGE = 96, 700, 60


def straight_border(mpp: float = 1.0) -> ApicalBorder:
    """Return a border along column `EDGE`: glass before it, tissue from it on."""
    lumen = np.zeros((HEIGHT, WIDTH), bool)
    lumen[:, :EDGE] = True
    surface = np.zeros_like(lumen)
    surface[:, EDGE : EDGE + 2] = True
    return ApicalBorder(lumen, surface, mpp)


def fraction_of(width_um: float, mpp: float = 1.0, sigma_px: float = 0.0) -> np.ndarray:
    border = straight_border(mpp)
    return band_fraction(border, border.surface, ~border.lumen, width_um, sigma_px)


@pytest.mark.parametrize("width_um", [1.0, 2.5, 3.0, 6.25])
@pytest.mark.parametrize("mpp", [0.5, 1.0, 1.17])
def test_band_has_the_area_of_its_width(width_um: float, mpp: float) -> None:
    fraction = fraction_of(width_um, mpp)
    assert fraction[10:-10].sum(axis=1) == pytest.approx(width_um / mpp, abs=0.26)
    assert (fraction[:, :EDGE] == 0.0).all()
    assert fraction.min() >= 0.0
    assert fraction.max() <= 1.0


def test_last_pixel_of_a_band_is_partly_covered() -> None:
    assert fraction_of(2.5)[50, EDGE : EDGE + 4].tolist() == [1.0, 1.0, 0.5, 0.0]


def test_band_crosses_the_blocks_of_the_computation() -> None:
    border = straight_border()
    turned = ApicalBorder(border.lumen.T.copy(), border.surface.T.copy(), 1.0)
    fraction = band_fraction(turned, turned.surface, ~turned.lumen, 3.0, 0.0)
    assert np.array_equal(fraction, fraction_of(3.0).T)
    wide = ApicalBorder(np.zeros((8, 1200), bool), np.zeros((8, 1200), bool), 1.0)
    wide.lumen[:3] = True
    wide.surface[3:5] = True
    across = band_fraction(wide, wide.surface, ~wide.lumen, 3.0, 0.0)
    assert across[5].min() == across[5].max() == 1.0
    assert across[6].max() == 0.0


def test_blur_beyond_that_of_a_sharp_edge_spreads_the_band_and_keeps_its_area() -> None:
    sharp, blurred = fraction_of(3.0, 1.0, SHARP_EDGE_SIGMA_PX), fraction_of(3.0, 1.0, 1.6)
    assert np.array_equal(sharp, fraction_of(3.0))
    assert blurred[50].sum() == pytest.approx(sharp[50].sum(), rel=1e-4)
    assert blurred[50].max() < 1.0


def test_dose_of_0_returns_an_equal_image() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (3, HEIGHT, WIDTH)).astype(np.uint8)
    assert np.array_equal(paint_dab(rgb, fraction_of(3.0), 0.0), rgb)


@pytest.mark.parametrize("dose", [0.1, 0.4, 0.8])
def test_dose_is_the_added_density_of_dab_and_adds_no_haematoxylin(dose: float) -> None:
    rgb = np.full((3, HEIGHT, WIDTH), 225, np.uint8)
    painted = paint_dab(rgb, fraction_of(3.0), dose)
    before, after = separate_stains(rgb), separate_stains(painted)
    inside = np.s_[20:-20, EDGE : EDGE + 3]
    assert after[1][inside] - before[1][inside] == pytest.approx(dose, abs=0.015)
    assert after[0][inside] - before[0][inside] == pytest.approx(0.0, abs=0.015)
    assert np.array_equal(painted[:, :, : EDGE - 1], rgb[:, :, : EDGE - 1])


def test_half_covered_pixel_absorbs_half_of_the_light() -> None:
    rgb = np.full((3, HEIGHT, WIDTH), 240, np.uint8)
    painted = paint_dab(rgb, fraction_of(2.5), 0.8).astype(float)
    full, half = painted[:, 50, EDGE], painted[:, 50, EDGE + 2]
    assert half == pytest.approx((240.0 + full) / 2.0, abs=1.0)


def test_colour_of_the_paint_is_the_direction_of_dab() -> None:
    rgb = np.full((3, HEIGHT, WIDTH), 250, np.uint8)
    painted = paint_dab(rgb, np.ones((HEIGHT, WIDTH), np.float32), 0.8, (0.37, 0.56, 0.74))
    direction = dab_direction(painted.reshape(3, -1))
    assert direction == pytest.approx((0.37, 0.56, 0.74), abs=0.02)
    assert dab_direction(rgb.reshape(3, -1)) is None


def test_direction_ignores_nuclei() -> None:
    brown = 256.0 * 10.0 ** -(0.8 * np.array(DAB_OD) / np.linalg.norm(DAB_OD))
    pixels = np.repeat(np.rint(brown)[:, None], 1000, axis=1).astype(np.uint8)
    nuclei = np.tile(np.array([[110], [100], [165]], np.uint8), (1, 4000))
    direction = dab_direction(np.concatenate([pixels, nuclei], axis=1))
    assert direction == pytest.approx(np.array(DAB_OD) / np.linalg.norm(DAB_OD), abs=0.01)


@pytest.mark.parametrize("coverage", [0.3, 0.9])
def test_painted_stretches_cover_their_fraction_of_the_border(coverage: float) -> None:
    border = straight_border()
    painted = stretches(border, coverage, np.random.default_rng(1))
    assert painted.sum() / border.surface.sum() == pytest.approx(coverage, abs=0.02)
    assert not (painted & ~border.surface).any()
    again = stretches(border, coverage, np.random.default_rng(1))
    assert np.array_equal(painted, again)
    assert not np.array_equal(painted, stretches(border, coverage, np.random.default_rng(2)))


def test_border_without_surface_stays_unpainted() -> None:
    border = ApicalBorder(np.zeros((32, 32), bool), np.zeros((32, 32), bool), 1.0)
    painted = stretches(border, 0.5, np.random.default_rng(0))
    assert not painted.any()
    assert not band_fraction(border, painted, border.lumen, 3.0, 1.0).any()


def test_dab_of_the_paint_exceeds_the_local_background_by_the_dose() -> None:
    brown = np.full((3, HEIGHT, WIDTH), 225, np.uint8)
    brown = paint_dab(brown, np.ones((HEIGHT, WIDTH), np.float32), 0.3)
    painted = paint_dab(brown, fraction_of(3.0), 0.2)
    difference = dab_density(painted) - dab_density(brown)
    assert difference[50, EDGE] == pytest.approx(0.2, abs=0.02)
