from __future__ import annotations

import numpy as np
import pytest

from cacl.image import stain
from cacl.phantom.settings import BRUSH_BORDER_SETTINGS


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
    kept = stain.remove_small_objects(mask, 16)
    assert kept.sum() == 16
    assert not stain.remove_small_objects(mask, 17).any()
    assert not stain.remove_small_objects(np.zeros((3, 3), bool), 1).any()
    np.testing.assert_array_equal(
        stain.remove_small_objects(np.ones((3, 3), bool), 1), np.ones((3, 3))
    )


def test_pale_tissue_and_strong_dab_are_both_cells() -> None:
    rgb = np.full((3, 200, 300), 243, np.uint8)
    rgb[:, 40:160, 40:140] = painted(0.18, 0.02, 120)[:, :, :100]
    rgb[:, 40:160, 160:260] = painted(0.1, 1.4, 120)[:, :, :100]
    mask = stain.cell_mask(rgb)
    assert mask[45:155, 45:135].all()
    assert mask[45:155, 165:255].all()
    assert mask.sum() == pytest.approx(2 * 120 * 100, rel=0.03)


@pytest.mark.parametrize("ink", [(20, 120, 60), (30, 60, 200), (200, 30, 40)])
def test_coloured_ink_is_no_cell(ink: tuple[int, int, int]) -> None:
    rgb = core()
    rgb[:, 10:30, 20:280] = np.array(ink, np.uint8)[:, None, None]
    mask = stain.cell_mask(rgb)
    assert not mask[5:35].any()
    assert mask[60:110, 60:240].all()


@pytest.mark.parametrize("ink", [(15, 15, 18), (50, 48, 46)])
def test_black_ink_is_no_cell_but_a_dark_clump_is(ink: tuple[int, int, int]) -> None:
    rgb = core()
    rgb[:, 10:40, 20:280] = rgb[:, 40:140, 195:220] = np.array(ink, np.uint8)[:, None, None]
    rgb[:, 200:220, 100:120] = 20
    mask = stain.cell_mask(rgb)
    assert not mask[5:40].any()
    assert not mask[60:140, 195:220].any()
    assert mask[200:220, 100:120].all()
    assert mask[190:240, 130:240].all()


def test_brown_debris_goes_and_a_small_piece_of_tissue_stays() -> None:
    rgb = np.full((3, 200, 300), 245, np.uint8)
    rgb[:, 80:105, 60:85] = painted(0.05, 0.6, 25)
    rgb[:, 80:105, 200:225] = painted(0.5, 0.2, 25)
    mask = stain.cell_mask(rgb)
    assert not mask[:, :150].any()
    assert mask[82:103, 202:223].all()


def test_mucus_on_the_glass_is_no_cell() -> None:
    rgb = core()
    rgb[:, 5:40, :] = painted(0.09, 0.0, 300)[:, :35]
    assert not stain.cell_mask(rgb)[:40].any()


@pytest.mark.parametrize("noise", [0.0, 4.0])
def test_glass_is_the_middle_of_its_noise(noise: float) -> None:
    rng = np.random.default_rng(0)
    rgb = core(glass=236)
    seen = np.clip(rgb + rng.normal(0.0, noise, rgb.shape), 0, 255).astype(np.uint8)
    expected = -np.log10(237 / 256)
    assert stain.background_od(seen) == pytest.approx(expected, abs=0.003)


@pytest.mark.parametrize("name", BRUSH_BORDER_SETTINGS)
def test_cell_area_of_the_phantom(name: str) -> None:
    """More cores: `benchmarks/cell_area.py`."""
    import cv2
    import simplejpeg

    from cacl.phantom.anatomy import draw_anatomy
    from cacl.phantom.fields import generator
    from cacl.phantom.imaging import render_image
    from cacl.phantom.render import render
    from cacl.phantom.settings import setting_by_name
    from cacl.phantom.staining import draw_staining

    setting, core_px = setting_by_name(name), 1500
    rng = generator("test", name)
    anatomy = draw_anatomy(rng, setting.geometry, core_px)
    canvas = render(rng, anatomy, setting, draw_staining(0, setting, 1), 0.5)
    picture = simplejpeg.decode_jpeg(render_image(rng, canvas, setting, core_px))

    def small(values: np.ndarray) -> np.ndarray:
        return cv2.resize(values, (512, 512), interpolation=cv2.INTER_AREA)

    truth = small(canvas.cell.astype(np.float32)) > 0.5
    mask = stain.cell_mask(np.ascontiguousarray(small(picture).transpose(2, 0, 1)))
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) >= 0.95


@pytest.mark.parametrize(
    ("name", "share", "tissue", "empty"),
    [
        ("55449_A_1_1", 0.42, (485, 323), (60, 60)),
        ("55449_A_1_2", 0.63, (330, 300), (60, 900)),
        ("55449_A_1_3", 0.65, (560, 700), (30, 850)),
        ("55449_A_1_4", 0.21, (300, 660), (60, 60)),
        ("7921_A_1_2", 0.16, (420, 430), (500, 700)),
    ],
)
def test_cell_area_of_real_cores(
    shared_data: object, name: str, share: float, tissue: tuple[int, int], empty: tuple[int, int]
) -> None:
    """Shares of masks whose overlays looked right: `benchmarks/cell_area.py --pictures`.

    Stomach, appendix, pancreas, pale lung, torn appendix.
    """
    from pathlib import Path

    import cv2

    picture = cv2.imread(str(Path(str(shared_data)) / "cores" / f"{name}.jpg"))
    small = cv2.resize(picture, (1024, 1024), interpolation=cv2.INTER_AREA)
    mask = stain.cell_mask(np.ascontiguousarray(small[..., ::-1].transpose(2, 0, 1)))
    assert mask.mean() == pytest.approx(share, abs=0.03)
    around = {
        where: mask[where[0] - 8 : where[0] + 8, where[1] - 8 : where[1] + 8]
        for where in (tissue, empty)
    }
    assert around[tissue].mean() > 0.5
    assert not around[empty].any()
