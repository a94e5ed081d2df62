from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg

from cacl.image.cell_mask import background_od, cell_mask, remove_small_objects
from cacl.phantom.anatomy import draw_anatomy
from cacl.phantom.fields import generator
from cacl.phantom.imaging import render_image
from cacl.phantom.render import render
from cacl.phantom.settings import BRUSH_BORDER_SETTINGS, setting_by_name
from cacl.phantom.staining import draw_staining
from tests.fixtures.pictures import core_in_analysis_px, two_stains


def core(background: int = 245) -> np.ndarray:
    """Background with a square of tissue that has a square hole of lumen."""
    rgb = np.full((3, 300, 300), background, np.uint8)
    rgb[:, 50:250, 50:250] = two_stains(0.4, 0.1, 200)
    rgb[:, 120:180, 120:180] = background
    return rgb


@pytest.mark.parametrize("background", [215, 235, 255])
def test_cell_mask_excludes_background_and_lumen(background: int) -> None:
    mask = cell_mask(core(background))
    truth = np.zeros((300, 300), bool)
    truth[50:250, 50:250] = True
    truth[120:180, 120:180] = False
    dice = 2 * (mask & truth).sum() / (mask.sum() + truth.sum())
    assert dice > 0.97


def test_cell_mask_is_equivariant_to_rotation() -> None:
    rgb = core()
    rgb[:, 60:90, 60:160] = 30
    rotated = cell_mask(np.ascontiguousarray(np.rot90(rgb, axes=(1, 2))))
    np.testing.assert_array_equal(rotated, np.rot90(cell_mask(rgb)))


@pytest.mark.parametrize("level", [255, 230])
def test_empty_background_has_no_cells(level: int) -> None:
    assert not cell_mask(np.full((3, 128, 128), level, np.uint8)).any()


def test_image_without_background_is_all_cells() -> None:
    assert cell_mask(two_stains(0.5, 0.2, 128)).all()


def test_remove_small_objects_keeps_components_of_the_minimum_size() -> None:
    mask = np.zeros((20, 20), bool)
    mask[2, 2] = mask[10:14, 10:14] = True
    assert remove_small_objects(mask, 16).sum() == 16
    assert not remove_small_objects(mask, 17).any()
    assert not remove_small_objects(np.zeros((3, 3), bool), 1).any()
    np.testing.assert_array_equal(remove_small_objects(np.ones((3, 3), bool), 1), np.ones((3, 3)))


def test_pale_tissue_and_strong_dab_are_both_cells() -> None:
    rgb = np.full((3, 200, 300), 243, np.uint8)
    rgb[:, 40:160, 40:140] = two_stains(0.18, 0.02, 120)[:, :, :100]
    rgb[:, 40:160, 160:260] = two_stains(0.1, 1.4, 120)[:, :, :100]
    mask = cell_mask(rgb)
    assert mask[45:155, 45:135].all()
    assert mask[45:155, 165:255].all()
    assert mask.sum() == pytest.approx(2 * 120 * 100, rel=0.03)


@pytest.mark.parametrize("ink", [(20, 120, 60), (30, 60, 200), (200, 30, 40)])
def test_coloured_ink_is_excluded(ink: tuple[int, int, int]) -> None:
    rgb = core()
    rgb[:, 10:30, 20:280] = np.array(ink, np.uint8)[:, None, None]
    mask = cell_mask(rgb)
    assert not mask[5:35].any()
    assert mask[60:110, 60:240].all()


@pytest.mark.parametrize("ink", [(15, 15, 18), (50, 48, 46)])
def test_black_ink_is_excluded_and_a_dark_clump_is_kept(ink: tuple[int, int, int]) -> None:
    rgb = core()
    rgb[:, 10:40, 20:280] = rgb[:, 40:140, 195:220] = np.array(ink, np.uint8)[:, None, None]
    rgb[:, 200:220, 100:120] = 20
    mask = cell_mask(rgb)
    assert not mask[5:40].any()
    assert not mask[60:140, 195:220].any()
    assert mask[200:220, 100:120].all()
    assert mask[190:240, 130:240].all()


def test_brown_debris_is_excluded_and_a_small_piece_of_tissue_is_kept() -> None:
    rgb = np.full((3, 200, 300), 245, np.uint8)
    rgb[:, 80:105, 60:85] = two_stains(0.05, 0.6, 25)
    rgb[:, 80:105, 200:225] = two_stains(0.5, 0.2, 25)
    mask = cell_mask(rgb)
    assert not mask[:, :150].any()
    assert mask[82:103, 202:223].all()


def test_mucus_on_the_background_is_excluded() -> None:
    rgb = core()
    rgb[:, 5:40, :] = two_stains(0.09, 0.0, 300)[:, :35]
    assert not cell_mask(rgb)[:40].any()


@pytest.mark.parametrize("noise", [0.0, 4.0])
def test_background_od_is_unbiased_by_noise(noise: float) -> None:
    rng = np.random.default_rng(0)
    rgb = core(background=236)
    noisy = np.clip(rgb + rng.normal(0.0, noise, rgb.shape), 0, 255).astype(np.uint8)
    expected = -np.log10(237 / 256)
    assert background_od(noisy) == pytest.approx(expected, abs=0.003)


def test_field_of_view_inside_the_tissue_has_no_background() -> None:
    """Between separate stained nuclei lies pale tissue: as dim as dark glass, but uneven."""
    rng = np.random.default_rng(0)
    field = np.full((3, 256, 256), 205.0)
    texture = cv2.GaussianBlur(rng.normal(0.0, 1.0, (256, 256)), (0, 0), 3.0)
    pale = field + 5.0 * texture / texture.std()
    glass = field + rng.normal(0.0, 1.5, field.shape)
    masks = []
    for rgb in (pale, glass):
        for row in range(20, 240, 40):
            for column in range(20, 240, 40):
                rgb[:, row : row + 8, column : column + 8] = two_stains(0.05, 0.6, 8)
        masks.append(cell_mask(rgb.clip(0, 255).astype(np.uint8)))
    assert masks[0].mean() > 0.95
    assert masks[1].mean() < 0.05


@pytest.mark.parametrize("name", BRUSH_BORDER_SETTINGS)
def test_cell_mask_of_the_phantom(name: str) -> None:
    """More cores: `benchmarks/quality/cell_area.py`."""
    setting, core_px = setting_by_name(name), 1500
    rng = generator("test", name)
    anatomy = draw_anatomy(rng, setting.geometry, core_px)
    stain_maps = render(rng, anatomy, setting, draw_staining(0, setting, 1), 0.5)
    image = simplejpeg.decode_jpeg(render_image(rng, stain_maps, setting, core_px))

    def downsample(values: np.ndarray) -> np.ndarray:
        return cv2.resize(values, (512, 512), interpolation=cv2.INTER_AREA)

    truth = downsample(stain_maps.cell.astype(np.float32)) > 0.5
    mask = cell_mask(np.ascontiguousarray(downsample(image).transpose(2, 0, 1)))
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) >= 0.95


@pytest.mark.parametrize(
    ("name", "fraction", "tissue", "empty"),
    [
        ("55449_A_1_1", 0.42, (485, 323), (60, 60)),
        ("55449_A_1_2", 0.63, (330, 300), (60, 900)),
        ("55449_A_1_3", 0.65, (560, 700), (30, 850)),
        ("55449_A_1_4", 0.21, (300, 660), (60, 60)),
        ("7921_A_1_2", 0.16, (420, 430), (500, 700)),
    ],
)
def test_cell_mask_of_real_cores(
    shared_data: Path,
    name: str,
    fraction: float,
    tissue: tuple[int, int],
    empty: tuple[int, int],
) -> None:
    """Fractions of masks that were checked by eye: `benchmarks/quality/cell_area.py --pictures`.

    Stomach, appendix, pancreas, pale lung, torn appendix.
    """
    mask = cell_mask(core_in_analysis_px(shared_data / "cores" / f"{name}.jpg"))
    assert mask.mean() == pytest.approx(fraction, abs=0.03)
    around = {
        position: mask[position[0] - 8 : position[0] + 8, position[1] - 8 : position[1] + 8]
        for position in (tissue, empty)
    }
    assert around[tissue].mean() > 0.5
    assert not around[empty].any()
