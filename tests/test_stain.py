from __future__ import annotations

import numpy as np
import pytest

from cacl import stain


def painted(hematoxylin: float, dab: float, size: int = 64) -> np.ndarray:
    """A square of two stains mixed by Beer and Lambert's law, as (3, size, size) uint8."""
    unit = [np.array(v) / np.linalg.norm(v) for v in (stain.HEMATOXYLIN_OD, stain.DAB_OD)]
    density = hematoxylin * unit[0] + dab * unit[1]
    level = np.round(256 * 10**-density - 1).clip(0, 255).astype(np.uint8)
    return np.broadcast_to(level[:, None, None], (3, size, size)).copy()


def test_optical_density_of_white_and_black() -> None:
    rgb = np.array([255, 0, 24], np.uint8).reshape(3, 1, 1)
    density = stain.optical_density(rgb).ravel()
    np.testing.assert_allclose(density, [0.0, np.log10(256), np.log10(256 / 25)], rtol=1e-6)


@pytest.mark.parametrize(("hematoxylin", "dab"), [(0, 0), (0.5, 0), (0, 0.6), (0.4, 0.5)])
def test_unmixing_gives_back_what_was_mixed(hematoxylin: float, dab: float) -> None:
    found = stain.unmix(painted(hematoxylin, dab))
    assert found[0].mean() == pytest.approx(hematoxylin, abs=0.02)
    assert found[1].mean() == pytest.approx(dab, abs=0.02)


def test_dab_is_told_from_haematoxylin() -> None:
    blue, brown = painted(0.8, 0.0), painted(0.1, 0.5)
    rgb = np.concatenate([blue, brown], axis=2)
    mask = stain.dab_mask(rgb)
    assert not mask[:, :64].any()
    assert mask[:, 64:].all()


def core(glass: int = 245) -> np.ndarray:
    """Glass with a square of tissue that has a hole of lumen."""
    rgb = np.full((3, 300, 300), glass, np.uint8)
    rgb[:, 50:250, 50:250] = painted(0.4, 0.1, 200)
    rgb[:, 120:180, 120:180] = glass
    return rgb


@pytest.mark.parametrize("glass", [215, 235, 255])
def test_cell_area_is_tissue_without_glass_and_lumen(glass: int) -> None:
    mask = stain.cell_mask(core(glass))
    truth = np.zeros((300, 300), bool)
    truth[50:250, 50:250] = True
    truth[120:180, 120:180] = False
    dice = 2 * (mask & truth).sum() / (mask.sum() + truth.sum())
    assert dice > 0.97


def test_cell_area_turns_with_the_image() -> None:
    rgb = core()
    rgb[:, 60:90, 60:160] = 30
    turned = stain.cell_mask(np.ascontiguousarray(np.rot90(rgb, axes=(1, 2))))
    np.testing.assert_array_equal(turned, np.rot90(stain.cell_mask(rgb)))


@pytest.mark.parametrize("level", [255, 230])
def test_empty_glass_has_no_cells(level: int) -> None:
    assert not stain.cell_mask(np.full((3, 128, 128), level, np.uint8)).any()


def test_an_image_without_glass_is_all_cells() -> None:
    assert stain.cell_mask(painted(0.5, 0.2, 128)).all()


def test_specks_go_and_the_rest_stays() -> None:
    mask = np.zeros((20, 20), bool)
    mask[2, 2] = mask[10:14, 10:14] = True
    kept = stain.drop_specks(mask, 16)
    assert kept.sum() == 16
    assert not stain.drop_specks(mask, 17).any()
    assert not stain.drop_specks(np.zeros((3, 3), bool), 1).any()
    np.testing.assert_array_equal(stain.drop_specks(np.ones((3, 3), bool), 1), np.ones((3, 3)))
