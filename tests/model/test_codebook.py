"""Class-aware codebook, on small numbers with results worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from cacl.model.networks.codebook import (
    ClassAwareCodebook,
    class_logit,
    kmeans,
    perplexity,
    replace_dead_codes,
    squared_distances,
)


def make_codebook() -> ClassAwareCodebook:
    """Two codes of S, (0, 0) and (4, 0), and one of C_1, (0, 3)."""
    codebook = ClassAwareCodebook(2, 2, (1,), split_channels=False, unit=False)
    every_code = torch.ones(3, dtype=torch.bool)
    codebook.set_codes(torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 3.0]]), every_code)
    return codebook


def replace_codes(
    codebook: ClassAwareCodebook,
    features: Tensor,
    logits: Tensor,
    shared_positions: Tensor,
    min_separation: float,
) -> None:
    """Replace dead codes on one positive tile that may show the class everywhere."""
    replace_dead_codes(
        codebook,
        features,
        logits,
        class_positions=torch.ones(1, 1, *features.shape[2:], dtype=torch.bool),
        positive=torch.ones(1, 1, dtype=torch.bool),
        shared_positions=shared_positions,
        min_separation=min_separation,
        rng=torch.Generator(),
    )


def test_distances_are_squared_and_euclidean() -> None:
    distances = squared_distances(
        torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 0.0], [3.0, 0.0]])
    )
    assert distances.tolist() == [[25.0, 16.0]]


def test_class_probability_at_equal_distances_is_the_fraction_of_codes() -> None:
    logit = class_logit(torch.ones(1, 4), torch.tensor([0, 0, 0, 1]), temperature=0.5)
    assert logit.item() == pytest.approx(math.log(1 / 3))


def test_hard_logit_is_the_difference_between_nearest_distances() -> None:
    logit = class_logit(torch.tensor([[4.0, 1.0, 3.0]]), torch.tensor([0, 0, 1]), temperature=None)
    assert logit.item() == -2.0


def test_perplexity_is_the_number_of_equally_used_codes() -> None:
    assert perplexity(torch.tensor([5.0, 5.0, 5.0, 5.0])).item() == pytest.approx(4.0)
    assert perplexity(torch.tensor([7.0, 0.0])).item() == pytest.approx(1.0)


def test_split_channels_give_each_codebook_its_own_channels() -> None:
    codebook = ClassAwareCodebook(64, 27, (5,), split_channels=True, unit=False)
    codebook.set_codes(torch.ones(32, 64), torch.ones(32, dtype=torch.bool))
    assert codebook.codes[:27, :32].eq(1).all()
    assert codebook.codes[:27, 32:].eq(0).all()
    assert codebook.codes[27:, :32].eq(0).all()
    assert codebook.codes[27:, 32:].eq(1).all()
    codebook.update_ema(torch.full((1, 64), 2.0), torch.tensor([30]), 0.5)
    assert codebook.codes[30, :32].eq(0).all()
    assert codebook.codes[30, 32:].eq(1.5).all()


def test_each_class_has_its_own_codebook() -> None:
    codebook = ClassAwareCodebook(9, 4, (2, 3), split_channels=True, unit=False)
    assert codebook.codebook_id.tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 2]
    assert codebook.channel_mask[8].tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 1]


def test_ema_update_starts_from_a_cluster_size_of_one() -> None:
    codebook = make_codebook()
    used = codebook.update_ema(torch.tensor([[2.0, 2.0], [2.0, 4.0]]), torch.tensor([2, 2]), 0.98)
    assert used.tolist() == [0, 0, 2]
    cluster_size, code_sum = 0.98 + 0.02 * 2, 0.98 * 3.0 + 0.02 * 6.0
    assert codebook.codes[2, 1].item() == pytest.approx(code_sum / cluster_size)
    assert codebook.codes[2, 0].item() == pytest.approx(0.02 * 4.0 / cluster_size)


def test_unused_code_does_not_move_and_becomes_dead() -> None:
    codebook = make_codebook()
    for _ in range(2000):
        codebook.update_ema(torch.zeros(3, 2), torch.zeros(3, dtype=torch.long), 0.98)
    assert codebook.codes[1].tolist() == pytest.approx([4.0, 0.0])
    assert codebook.dead().tolist() == [False, True, True]


def test_shared_codes_are_too_close_below_a_squared_distance() -> None:
    codebook = make_codebook()
    assert codebook.too_close(9.0).tolist() == [False, False, False]
    assert codebook.too_close(9.1).tolist() == [True, False, False]
    assert codebook.too_close(25.1).tolist() == [True, True, False]


@pytest.mark.parametrize("min_separation", [0.0, 9.1])
def test_replaces_dead_codes_and_shared_codes_too_close_to_the_class(min_separation: float) -> None:
    """The second code of S is dead, and the first has a distance of 3 to the code of C_1."""
    codebook = make_codebook()
    codebook.cluster_size[1] = 0.1
    features = torch.tensor([[[[7.0, 8.0]], [[7.0, 8.0]]]])
    shared_positions = torch.tensor([False, True])
    replace_codes(codebook, features, torch.zeros(0), shared_positions, min_separation)
    first = [8.0, 8.0] if min_separation else [0.0, 0.0]
    assert codebook.codes.tolist() == [first, [8.0, 8.0], [0.0, 3.0]]
    assert codebook.cluster_size.tolist() == [1.0, 1.0, 1.0]


def test_dead_class_code_moves_to_an_embedding_with_a_high_class_logit() -> None:
    codebook = make_codebook()
    codebook.cluster_size[2] = 0.1
    features = torch.stack([torch.arange(100.0), torch.zeros(100)])[None, :, None]
    logits = torch.arange(100.0)[None, None, None]
    replace_codes(codebook, features, logits, torch.ones(100, dtype=torch.bool), 0.0)
    assert codebook.codes[2, 0] >= 50.0
    assert codebook.codes[:2].tolist() == [[0.0, 0.0], [4.0, 0.0]]


def test_unit_codes_keep_length_one() -> None:
    codebook = ClassAwareCodebook(2, 1, (1,), split_channels=False, unit=True)
    codebook.set_codes(torch.tensor([[3.0, 4.0], [0.0, 9.0]]), torch.ones(2, dtype=torch.bool))
    assert codebook.codes.tolist() == [pytest.approx([0.6, 0.8]), [0.0, 1.0]]
    codebook.update_ema(torch.tensor([[1.0, 0.0]]), torch.tensor([0]), 0.5)
    assert codebook.codes[0].norm().item() == pytest.approx(1.0)


def test_negative_tiles_use_shared_codes_only_and_gradients_pass_straight_through() -> None:
    codebook = make_codebook()
    features = torch.tensor([0.0, 2.9]).view(1, 2, 1, 1).repeat(2, 1, 1, 1).requires_grad_()
    distances = codebook.distances(features.permute(0, 2, 3, 1).flatten(0, 2))
    allowed = torch.tensor([[True, True, True], [True, True, False]])
    quantized = codebook.quantize(features, distances, allowed)
    assert quantized.indices.flatten().tolist() == [2, 0]
    assert quantized.straight_through[0].flatten().tolist() == pytest.approx([0.0, 3.0])
    torch.autograd.backward(quantized.straight_through.sum())
    assert features.grad is not None
    assert features.grad.eq(1).all()


def test_kmeans_finds_separate_clusters() -> None:
    rng = torch.Generator().manual_seed(0)
    clusters = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = clusters.repeat(50, 1) + 0.1 * torch.randn(150, 2, generator=rng)
    centres = kmeans(points, 3, rng)
    assert squared_distances(clusters, centres).amin(1).max().item() < 0.01


def test_kmeans_with_fewer_points_than_centres_repeats_points() -> None:
    centres = kmeans(torch.tensor([[1.0, 2.0]]), 3, torch.Generator().manual_seed(0))
    assert centres.tolist() == [[1.0, 2.0]] * 3
