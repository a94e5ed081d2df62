"""The class-aware codebook, on numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from cacl.model.networks.codebook import (
    ClassAwareCodebook,
    class_logit,
    kmeans,
    perplexity,
    squared_distances,
)
from cacl.model.networks.codes import revive
from cacl.model.training.objective import Batch, Breakdown


def book(**changes: object) -> ClassAwareCodebook:
    options = {"split_channels": False, "unit": False} | changes
    made = ClassAwareCodebook(2, 2, (1,), **options)  # type: ignore[arg-type]
    made.place(torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 3.0]]), torch.ones(3, dtype=torch.bool))
    return made


def batch(width: int = 4) -> Batch:
    """One positive tile of two rows, all of it possible."""
    everywhere = torch.ones(1, 1, 2, width, dtype=torch.bool)
    nowhere, yes = ~everywhere[:, 0], torch.ones(1, 1, dtype=torch.bool)
    told = torch.zeros(1, 0, 2, width, dtype=torch.uint8)
    rgb = torch.zeros(1, 3, 2, width)
    return Batch(rgb, everywhere, nowhere, nowhere, yes, ~yes, yes, ~yes, yes.float(), told)


def test_distances_are_squared_and_euclidean() -> None:
    found = squared_distances(torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 0.0], [3.0, 0.0]]))
    assert found.tolist() == [[25.0, 16.0]]


def test_soft_share_of_equally_near_codes_counts_codes() -> None:
    logit = class_logit(torch.ones(1, 4), torch.tensor([0, 0, 0, 1]), temperature=0.5)
    assert logit.item() == pytest.approx(math.log(1 / 3))


def test_hard_choice_is_the_difference_of_the_nearest() -> None:
    logit = class_logit(torch.tensor([[4.0, 1.0, 3.0]]), torch.tensor([0, 0, 1]), temperature=None)
    assert logit.item() == -2.0


def test_perplexity_counts_codes_in_use() -> None:
    assert perplexity(torch.tensor([5.0, 5.0, 5.0, 5.0])).item() == pytest.approx(4.0)
    assert perplexity(torch.tensor([7.0, 0.0])).item() == pytest.approx(1.0)


def test_split_channels_keep_books_apart() -> None:
    made = ClassAwareCodebook(64, 27, (5,), split_channels=True, unit=False)
    made.place(torch.ones(32, 64), torch.ones(32, dtype=torch.bool))
    assert made.codes[:27, :32].eq(1).all()
    assert made.codes[:27, 32:].eq(0).all()
    assert made.codes[27:, :32].eq(0).all()
    assert made.codes[27:, 32:].eq(1).all()
    made.follow(torch.full((1, 64), 2.0), torch.tensor([30]), 0.5)
    assert made.codes[30, :32].eq(0).all()
    assert made.codes[30, 32:].eq(1.5).all()


def test_several_classes_have_a_book_each() -> None:
    made = ClassAwareCodebook(9, 4, (2, 3), split_channels=True, unit=False)
    assert made.book.tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 2]
    assert made.support[8].tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 1]


def test_codes_follow_by_moving_average_from_a_count_of_one() -> None:
    made = book()
    used = made.follow(torch.tensor([[2.0, 2.0], [2.0, 4.0]]), torch.tensor([2, 2]), 0.98)
    assert used.tolist() == [0, 0, 2]
    count, total = 0.98 + 0.02 * 2, 0.98 * 3.0 + 0.02 * 6.0
    assert made.codes[2, 1].item() == pytest.approx(total / count)
    assert made.codes[2, 0].item() == pytest.approx(0.02 * 4.0 / count)


def test_an_unused_code_stays_where_it_is() -> None:
    made = book()
    for _ in range(2000):
        made.follow(torch.zeros(3, 2), torch.zeros(3, dtype=torch.long), 0.98)
    assert made.codes[1].tolist() == pytest.approx([4.0, 0.0])
    assert made.dead().tolist() == [False, True, True]


def test_codes_of_s_crowd_a_class_below_a_squared_distance() -> None:
    made = book()
    assert made.crowding(9.0).tolist() == [False, False, False]
    assert made.crowding(9.1).tolist() == [True, False, False]
    assert made.crowding(25.1).tolist() == [True, True, False]


@pytest.mark.parametrize("apart", [0.0, 9.1])
def test_dead_codes_and_those_that_crowd_are_set_anew(apart: float) -> None:
    """Of S, the second code is out of use and the first is at a distance of 3 from C."""
    made = book()
    made.counts[1] = 0.1
    features = torch.tensor([[[[7.0, 8.0]], [[7.0, 8.0]]]])
    none = torch.zeros(0)
    found = Breakdown({}, features, none, none, none, none)
    revive(made, batch(), found, torch.tensor([False, True]), apart, torch.Generator())
    first = [8.0, 8.0] if apart else [0.0, 0.0]
    assert made.codes.tolist() == [first, [8.0, 8.0], [0.0, 3.0]]
    assert made.counts.tolist() == [1.0, 1.0, 1.0]


def test_a_dead_code_of_a_class_goes_to_what_is_most_surely_the_class() -> None:
    made = book()
    made.counts[2] = 0.1
    features = torch.stack([torch.arange(100.0), torch.zeros(100)])[None, :, None]
    logits = torch.arange(100.0)[None, None, None]
    none = torch.zeros(0)
    found = Breakdown({}, features, logits, none, none, none)
    revive(made, batch(200), found, torch.ones(100, dtype=torch.bool), 0.0, torch.Generator())
    assert made.codes[2, 0] >= 50.0
    assert made.codes[:2].tolist() == [[0.0, 0.0], [4.0, 0.0]]


def test_unit_codes_stay_on_the_sphere() -> None:
    made = ClassAwareCodebook(2, 1, (1,), split_channels=False, unit=True)
    made.place(torch.tensor([[3.0, 4.0], [0.0, 9.0]]), torch.ones(2, dtype=torch.bool))
    assert made.codes.tolist() == [pytest.approx([0.6, 0.8]), [0.0, 1.0]]
    made.follow(torch.tensor([[1.0, 0.0]]), torch.tensor([0]), 0.5)
    assert made.codes[0].norm().item() == pytest.approx(1.0)


def test_negative_tiles_may_use_s_alone_and_gradients_pass_straight_through() -> None:
    made = book()
    features = torch.tensor([0.0, 2.9]).view(1, 2, 1, 1).repeat(2, 1, 1, 1).requires_grad_()
    distances = made.distances(features.permute(0, 2, 3, 1).flatten(0, 2))
    allowed = torch.tensor([[True, True, True], [True, True, False]])
    coded = made.encode(features, distances, allowed)
    assert coded.assignment.flatten().tolist() == [2, 0]
    assert coded.codes[0].flatten().tolist() == pytest.approx([0.0, 3.0])
    coded.codes.sum().backward()
    assert features.grad is not None
    assert features.grad.eq(1).all()


def test_kmeans_finds_separate_groups() -> None:
    rng = torch.Generator().manual_seed(0)
    groups = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = groups.repeat(50, 1) + 0.1 * torch.randn(150, 2, generator=rng)
    centres = kmeans(points, 3, rng)
    assert squared_distances(groups, centres).amin(1).max().item() < 0.01


def test_kmeans_with_fewer_points_than_centres_repeats_them() -> None:
    centres = kmeans(torch.tensor([[1.0, 2.0]]), 3, torch.Generator().manual_seed(0))
    assert centres.tolist() == [[1.0, 2.0]] * 3
