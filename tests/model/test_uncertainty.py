"""How well the views of an image agree."""

from __future__ import annotations

import numpy as np
import pytest

from cacl.model.inference.uncertainty import CELL_BIT, FIRST_VIEW_BIT, ViewAgreement


def bits(cell: list[int], *views: list[int]) -> np.ndarray:
    found = np.array([cell], np.uint32) << CELL_BIT
    for number, view in enumerate(views):
        found |= np.array([view], np.uint32) << (FIRST_VIEW_BIT + number)
    return found | 1


def test_two_views_agree_as_their_dice_says() -> None:
    votes = ViewAgreement(2)
    block = bits([1] * 8, [1, 1, 1, 0, 0, 0, 0, 0], [0, 1, 1, 1, 1, 0, 0, 0])
    assert votes.take(block) is block
    assert votes.confidence == pytest.approx(2 * 2 / (3 + 4))
    assert votes.ratio_sd == pytest.approx(np.std([3 / 8, 4 / 8], ddof=1))


def test_three_views_are_compared_in_pairs_and_blocks_add_up() -> None:
    one, two, three = [1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 0]
    votes = ViewAgreement(3)
    for part in (slice(0, 2), slice(2, 4)):
        votes.take(bits([1, 1], one[part], two[part], three[part]))
    shared = 1 + 2 + 2
    assert votes.confidence == pytest.approx(2 * shared / ((2 + 2) + (2 + 3) + (2 + 3)))


def test_views_that_are_the_same_are_sure() -> None:
    votes = ViewAgreement(2)
    votes.take(bits([1, 1], [1, 0], [1, 0]))
    assert (votes.confidence, votes.ratio_sd) == (1.0, 0.0)


def test_where_nothing_is_stained_there_is_no_confidence() -> None:
    votes = ViewAgreement(2)
    votes.take(bits([1, 1], [0, 0], [0, 0]))
    assert (votes.confidence, votes.ratio_sd) == (None, 0.0)
    nothing = ViewAgreement(2)
    nothing.take(bits([0, 0], [0, 0], [0, 0]))
    assert (nothing.confidence, nothing.ratio_sd) == (None, None)
    alone = ViewAgreement(1)
    alone.take(bits([1, 1], [1, 0]))
    assert (alone.confidence, alone.ratio_sd) == (None, None)
