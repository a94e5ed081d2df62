"""The apical border: epithelium that faces a lumen, and no other edge of tissue."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cacl.image.apical_border import apical_border
from cacl.image.cell_mask import cell_mask
from tests.fixtures.epithelium import LUMEN, facing_epithelia
from tests.fixtures.pictures import core_in_analysis_px


def test_both_surfaces_of_a_lumen_are_found_where_they_are() -> None:
    rgb = facing_epithelia()
    border = apical_border(rgb, cell_mask(rgb), 1.0)
    columns = np.flatnonzero(border.surface.any(axis=0))
    assert set(columns.tolist()) == {86, 87, 168, 169}
    assert border.surface[64:-64, [86, 169]].mean() > 0.95
    assert border.lumen[:, LUMEN].mean() > 0.95
    assert border.length_um == pytest.approx(2 * 512, rel=0.1)


def test_tear_in_tissue_without_layers_is_no_apical_border() -> None:
    rgb = facing_epithelia(layered=False)
    border = apical_border(rgb, cell_mask(rgb), 1.0)
    assert border.lumen.any()
    assert not border.surface.any()


def test_narrow_gap_is_no_lumen() -> None:
    rgb = facing_epithelia()
    rgb[:, :, 91:165] = rgb[:, :, 10:84]
    border = apical_border(rgb, cell_mask(rgb), 1.0)
    assert not border.lumen.any()
    assert not border.surface.any()


def test_sizes_follow_the_pixel_size() -> None:
    rgb = facing_epithelia()
    fine = apical_border(rgb, cell_mask(rgb), 1.0)
    coarse = apical_border(rgb, cell_mask(rgb), 2.0)
    assert fine.surface.any()
    assert not coarse.surface.any()  # the nuclei would lie 30 um below the surface
    assert fine.surface[:, 87].any()


def test_image_without_tissue_has_none() -> None:
    rgb = np.full((3, 128, 128), 245, np.uint8)
    border = apical_border(rgb, np.zeros((128, 128), bool), None)
    assert border.length_um == 0.0


@pytest.mark.parametrize(("name", "at_most_um"), [("55449_A_1_1", 150.0), ("55449_A_1_4", 150.0)])
def test_real_core_without_columnar_epithelium_has_almost_none(
    shared_data: Path, name: str, at_most_um: float
) -> None:
    rgb = core_in_analysis_px(shared_data / "cores" / f"{name}.jpg")
    assert apical_border(rgb, cell_mask(rgb), None).length_um <= at_most_um
