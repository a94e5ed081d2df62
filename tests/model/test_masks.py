"""Masks from logits: hysteresis, edge threshold, image gate, morphology and packing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import apply_hysteresis_threshold

from cacl.errors import ConfigError
from cacl.model.inference.masks import (
    CELL_BIT,
    FIRST_VIEW_BIT,
    MASKED_LOGIT,
    BlockMasks,
    Morphology,
    Thresholds,
    block_mask,
    can_have_mask,
    hysteresis_mask,
)
from cacl.model.presets import PAPER, TEACHER


def square(logit: float) -> NDArray[np.float32]:
    """Return logits (40, 40) of -9 with a square of 100 px of another logit."""
    logits = np.full((40, 40), -9.0, np.float32)
    logits[4:14, 4:14] = logit
    return logits


def test_hysteresis_mask_equals_that_of_scikit_image() -> None:
    rng = np.random.default_rng(0)
    logits = ndimage.gaussian_filter(rng.normal(size=(200, 200)), 1.5).astype(np.float32)
    thresholds = Thresholds(low=0.1, high=0.4, edge_high=0.4, min_area_fraction=0.0)
    expected = apply_hysteresis_threshold(logits, 0.1, 0.4)
    assert 0 < expected.sum() < (logits > 0.1).sum()
    np.testing.assert_array_equal(hysteresis_mask(logits, thresholds, PAPER.post), expected)
    assert hysteresis_mask(logits, thresholds, TEACHER.post).sum() < expected.sum()
    assert not hysteresis_mask(logits - 1.0, thresholds, PAPER.post).any()


@pytest.mark.parametrize(("core_px", "kept"), [(24, False), (25, True)])
def test_component_needs_enough_pixels_above_the_high_threshold(core_px: int, kept: bool) -> None:
    logits = square(0.0)
    logits[4:14, 4:14].flat[:core_px] = 3.0
    thresholds = Thresholds(low=-1.0, high=2.0, edge_high=2.0, min_area_fraction=0.0)
    for fraction, sufficient_px in ((0.25, 10**6), (1.0, 25)):
        post = replace(TEACHER.post, min_core_fraction=fraction, min_core_px=sufficient_px)
        assert hysteresis_mask(logits, thresholds, post).sum() == (100 if kept else 0)


def test_mask_is_empty_if_too_little_cell_area_exceeds_the_high_threshold() -> None:
    logits = square(0.0)
    logits[8, 8] = 3.0
    thresholds = Thresholds(low=-1.0, high=1.0, edge_high=1.0, min_area_fraction=0.01)
    no_gate = replace(thresholds, min_area_fraction=0.0)
    interior, post = np.ones(logits.shape, bool), replace(TEACHER.post, min_core_fraction=None)
    assert block_mask(logits, interior, 100, thresholds, post).sum() == 100
    assert not block_mask(logits, interior, 101, thresholds, post).any()
    assert block_mask(logits, interior, 10**9, no_gate, post).sum() == 100
    interior[:9] = False
    assert not block_mask(logits, interior, 100, thresholds, post).any()
    logits[12, 12] = 3.0
    assert block_mask(logits, interior, 100, thresholds, post).sum() == 100


def test_edge_of_a_core_has_a_higher_threshold_and_does_not_count_for_the_gate() -> None:
    logits, post = square(3.0), TEACHER.post
    thresholds = Thresholds(low=-1.0, high=1.0, edge_high=4.0, min_area_fraction=0.0)
    interior = np.zeros(logits.shape, bool)
    assert not block_mask(logits, interior, 100, thresholds, post).any()
    assert block_mask(logits + 2.0, interior, 100, thresholds, post).sum() == 100
    gated = replace(thresholds, min_area_fraction=0.01)
    assert not block_mask(logits + 2.0, interior, 100, gated, post).any()
    interior[13] = True
    assert block_mask(logits + 2.0, interior, 100, gated, post).sum() == 100


@pytest.mark.parametrize("operation", ["opening", "closing"])
def test_opening_removes_specks_and_closing_fills_holes(operation: str) -> None:
    mask = np.zeros((9, 9), dtype=bool)
    mask[2:7, 2:7] = True
    mask[4, 4] = False
    mask[0, 0] = True
    changed = Morphology(operation, 1).apply(mask)
    assert changed[4, 4] == (operation == "closing")
    assert changed[0, 0] == (operation == "closing")


def test_rejects_unknown_morphology_and_negative_radius() -> None:
    with pytest.raises(ConfigError, match="one of none, dilation, opening, closing, got 'swirl'"):
        Morphology("swirl", 0)
    with pytest.raises(ConfigError, match="at least 0, got -1"):
        Morphology("dilation", -1)


def test_packed_masks_have_one_bit_per_mask() -> None:
    cell, first, second, view = np.eye(4, dtype=bool)[:, None]
    packed = BlockMasks(cell, (first, second), (view,)).pack()
    assert packed.tolist() == [[1 << CELL_BIT, 1 << 0, 1 << 1, 1 << FIRST_VIEW_BIT]]


@pytest.mark.parametrize(("interior_px", "possible"), [(0, False), (9, False), (10, True)])
def test_mask_needs_enough_interior_candidates(interior_px: int, possible: bool) -> None:
    candidate, interior = np.zeros((2, 40, 40), bool)
    candidate[:5] = True
    interior[:5].flat[:interior_px] = True
    thresholds = Thresholds(low=0.0, high=0.0, edge_high=0.0, min_area_fraction=0.1)
    assert can_have_mask(candidate, interior, 100, thresholds) == possible
    best = np.where(candidate, np.float32(99.0), MASKED_LOGIT)
    assert block_mask(best, interior, 100, thresholds, TEACHER.post).any() == possible
    no_gate = replace(thresholds, min_area_fraction=0.0)
    assert can_have_mask(candidate, interior, 100, no_gate)
    assert not can_have_mask(np.zeros_like(candidate), interior, 100, no_gate)
