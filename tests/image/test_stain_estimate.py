"""Stain vectors given and estimated: known answers on images painted with other colours."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cacl.errors import StainError
from cacl.image import stain
from cacl.image.stain_estimate import (
    MIN_PX,
    estimate_vectors,
    extreme_directions,
    residual_fraction,
    stained_pixels,
)
from cacl.stain.vectors import REFERENCE, StainVectors
from tests.fixtures.pictures import painted_with, two_stains

OTHER = StainVectors.of((0.64, 0.63, 0.44), (0.40, 0.58, 0.71))
"""As real cores of the Human Protein Atlas have them."""

EOSIN = (0.09, 0.95, 0.30)


def mixtures(vectors: StainVectors, dab: float = 0.8, size: int = 30_000) -> NDArray[np.uint8]:
    """Return pixels (3, 1, n): a fifth of each stain alone, the rest mixtures."""
    rng = np.random.default_rng(0)
    amounts = rng.uniform(0.2, 0.8, (2, size))
    amounts[1] *= dab / 0.8
    amounts[1, : size // 5] = amounts[0, size // 5 : 2 * size // 5] = 0.0
    density = stain.unit_vectors(vectors)[:2].T @ amounts
    levels = np.rint(256 * 10.0**-density - 1).clip(0, 255).astype(np.uint8)
    return levels[:, None]


def density_of(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    return stain.optical_density(stained_pixels(rgb)).astype(np.float64)


def test_vectors_with_the_directions_of_the_reference_are_the_reference() -> None:
    assert StainVectors.of(stain.HEMATOXYLIN_OD, stain.DAB_OD) is REFERENCE
    doubled = [2.0 * value for value in stain.DAB_OD]
    assert StainVectors.of(stain.HEMATOXYLIN_OD, doubled) is REFERENCE
    assert OTHER != REFERENCE
    assert OTHER.difference(REFERENCE) == pytest.approx(9.8, abs=0.1)


@pytest.mark.parametrize(("hematoxylin", "dab"), [(0.5, 0.0), (0.0, 0.6), (0.4, 0.5)])
def test_given_vectors_recover_the_amounts_of_other_colours(hematoxylin: float, dab: float) -> None:
    rgb = two_stains(hematoxylin, dab, vectors=OTHER)
    separated = stain.separate_with_residual(rgb, OTHER)
    assert [float(each.mean()) for each in separated] == pytest.approx(
        [hematoxylin, dab, 0.0], abs=0.02
    )


@pytest.mark.parametrize("vectors", [REFERENCE, OTHER])
def test_estimate_finds_the_vectors_of_an_image(vectors: StainVectors) -> None:
    """The estimate knows neither the vectors nor which of them is which."""
    estimated = estimate_vectors(density_of(mixtures(vectors)))
    assert estimated.difference(vectors) < 1.5
    assert residual_fraction(density_of(mixtures(vectors)), estimated) < 0.01
    blue, brown = (two_stains(*amounts, vectors=vectors) for amounts in ((0.8, 0.0), (0.1, 0.5)))
    assert not stain.dab_mask(blue, vectors=estimated).any()
    assert stain.dab_mask(brown, vectors=estimated).all()


def test_other_colours_are_separated_wrongly_with_the_reference() -> None:
    """The known answer of the previous test is not that of the fixed vectors."""
    blue = two_stains(0.8, 0.0, vectors=OTHER)
    assert stain.dab_density(blue).mean() > 0.1
    assert abs(stain.dab_density(blue, OTHER).mean()) < 0.02


def test_colours_are_repainted_without_a_change_of_the_densities() -> None:
    rgb = two_stains(0.4, 0.5)
    separated = stain.separate_stains(painted_with(rgb, OTHER), OTHER)
    for before, after in zip(stain.separate_stains(rgb), separated, strict=True):
        assert after.mean() == pytest.approx(before.mean(), abs=0.02)


def test_order_of_the_directions_follows_from_the_reference() -> None:
    density = density_of(mixtures(OTHER))
    hematoxylin, dab = extreme_directions(density)
    assert hematoxylin @ np.array(OTHER.hematoxylin) > 0.999
    assert dab @ np.array(OTHER.dab) > 0.999
    rising = np.argsort(density[2] / density.sum(axis=0))  # from blue to brown, or from brown
    for order in (rising, rising[::-1]):
        assert extreme_directions(density[:, order])[1] @ np.array(OTHER.dab) > 0.999


def test_too_few_stained_pixels_are_refused() -> None:
    white = np.full((3, 300, 300), 245, np.uint8)
    assert stained_pixels(white).shape == (3, 0)
    few = density_of(mixtures(OTHER))[:, : MIN_PX - 1]
    with pytest.raises(StainError, match=r"19,999 stained pixels, expected at least 20,000; set"):
        estimate_vectors(few)


def test_one_stain_alone_is_refused() -> None:
    with pytest.raises(StainError, match=r"there is too little of one stain; set stain.vectors"):
        estimate_vectors(density_of(mixtures(REFERENCE, dab=0.02)))


def test_eosin_is_not_taken_for_dab() -> None:
    h_and_e = StainVectors.of(REFERENCE.hematoxylin, EOSIN)
    with pytest.raises(StainError, match=r"differ by \d+ degrees .* or another one; set"):
        estimate_vectors(density_of(mixtures(h_and_e)))
