"""Agreement of the views of an image: confidence and spread of the ratio."""

from __future__ import annotations

import numpy as np
import pytest

from cacl.model.inference.masks import BlockMasks
from cacl.model.inference.uncertainty import ViewAgreement


def pack(cell: list[int], *views: list[int]) -> np.ndarray:
    """Return a packed block of one row whose class mask is full."""
    cells, *masks = (np.array([row], bool) for row in (cell, *views))
    return BlockMasks(cells, (np.ones_like(cells),), tuple(masks)).pack()


def test_confidence_of_two_views_is_their_dice() -> None:
    agreement = ViewAgreement(2)
    block = pack([1] * 8, [1, 1, 1, 0, 0, 0, 0, 0], [0, 1, 1, 1, 1, 0, 0, 0])
    assert agreement.count(block) is block
    assert agreement.confidence == pytest.approx(2 * 2 / (3 + 4))
    assert agreement.ratio_sd == pytest.approx(np.std([3 / 8, 4 / 8], ddof=1))


def test_confidence_averages_all_pairs_of_views_over_all_blocks() -> None:
    first, second, third = [1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 0]
    agreement = ViewAgreement(3)
    for block in (slice(0, 2), slice(2, 4)):
        agreement.count(pack([1, 1], first[block], second[block], third[block]))
    shared = 1 + 2 + 2
    assert agreement.confidence == pytest.approx(2 * shared / ((2 + 2) + (2 + 3) + (2 + 3)))


def test_equal_views_have_full_confidence() -> None:
    agreement = ViewAgreement(2)
    agreement.count(pack([1, 1], [1, 0], [1, 0]))
    assert (agreement.confidence, agreement.ratio_sd) == (1.0, 0.0)


def test_no_confidence_without_stain_cells_or_a_second_view() -> None:
    unstained = ViewAgreement(2)
    unstained.count(pack([1, 1], [0, 0], [0, 0]))
    assert (unstained.confidence, unstained.ratio_sd) == (None, 0.0)
    without_cells = ViewAgreement(2)
    without_cells.count(pack([0, 0], [0, 0], [0, 0]))
    assert (without_cells.confidence, without_cells.ratio_sd) == (None, None)
    single_view = ViewAgreement(1)
    single_view.count(pack([1, 1], [1, 0]))
    assert (single_view.confidence, single_view.ratio_sd) == (None, None)
