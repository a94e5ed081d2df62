from __future__ import annotations

import numpy as np
import pytest

from cacl.image import stain
from tests.fixtures.pictures import two_stains


def test_optical_density_of_white_and_black() -> None:
    rgb = np.array([255, 0, 24], np.uint8).reshape(3, 1, 1)
    density = stain.optical_density(rgb).ravel()
    np.testing.assert_allclose(density, [0.0, np.log10(256), np.log10(256 / 25)], rtol=1e-6)


@pytest.mark.parametrize(("hematoxylin", "dab"), [(0, 0), (0.5, 0), (0, 0.6), (0.4, 0.5)])
def test_separation_recovers_the_amounts_of_both_stains(hematoxylin: float, dab: float) -> None:
    separated = stain.separate_stains(two_stains(hematoxylin, dab))
    assert separated[0].mean() == pytest.approx(hematoxylin, abs=0.02)
    assert separated[1].mean() == pytest.approx(dab, abs=0.02)


def test_dab_mask_excludes_hematoxylin() -> None:
    blue, brown = two_stains(0.8, 0.0), two_stains(0.1, 0.5)
    rgb = np.concatenate([blue, brown], axis=2)
    mask = stain.dab_mask(rgb)
    assert not mask[:, :64].any()
    assert mask[:, 64:].all()
