"""Every loss, on numbers worked out by hand; and the stain physics of the input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cacl import stain
from cacl.model import inputs, losses
from cacl.model.contrast import stands_out

BOTH = torch.tensor([True, False])


def test_commitment_is_a_mean_square_and_leaves_codes_alone() -> None:
    features = torch.zeros(1, 2, 1, 1, requires_grad=True)
    codes = torch.tensor([1.0, 3.0]).view(1, 2, 1, 1).requires_grad_()
    loss = losses.commitment(features, codes)
    loss.backward()
    assert loss.item() == 5.0
    assert codes.grad is None


def test_reconstruction_takes_r_p_for_positive_and_r_n_for_negative() -> None:
    image = torch.zeros(2, 3, 1, 1)
    found = losses.reconstruction(image, image + 1.0, image + 3.0, BOTH)
    assert found.item() == pytest.approx((1.0 + 9.0) / 2)


def test_discriminative_has_the_sign_of_the_label_and_sees_c_alone() -> None:
    e_n = torch.zeros(2, 2, 1, 1)
    e_p = torch.tensor([5.0, 2.0]).view(1, 2, 1, 1).repeat(2, 1, 1, 1)
    support = torch.tensor([False, True])
    assert losses.discriminative(e_n, e_p, BOTH, support).item() == pytest.approx((-4 + 4) / 2)
    negative = torch.tensor([False, False])
    assert losses.discriminative(e_n, e_p, negative, support).item() == 4.0


def test_mapping_wants_r_p_as_the_input_and_r_n_negative() -> None:
    sure = torch.full((2, 4), -20.0)
    as_input, negative = sure.clone(), sure.clone()
    as_input[0, losses.REAL_POSITIVE] = as_input[1, losses.REAL_NEGATIVE] = 20.0
    negative[:, losses.REAL_NEGATIVE] = 20.0
    assert losses.mapping(as_input, negative, BOTH).item() == pytest.approx(0.0, abs=1e-6)
    undecided = torch.zeros(2, 4)
    assert losses.mapping(undecided, undecided, BOTH).item() == pytest.approx(2 * math.log(4))


def test_classifier_is_the_cross_entropy_of_four_kinds() -> None:
    assert losses.classifier(torch.zeros(4, 4), torch.arange(4)).item() == pytest.approx(
        math.log(4)
    )


def test_avoid_takes_the_mean_and_the_highest_of_negative_tiles() -> None:
    logits = torch.zeros(2, 2, 2)
    logits[0] = 50.0
    logits[1, 0, 0] = 10.0
    mean, top = losses.avoid(logits, BOTH, 1)
    assert mean.item() == pytest.approx((3 * math.log(2) + 10.0) / 4, abs=1e-3)
    assert top.item() == pytest.approx(10.0, abs=1e-3)


def test_avoid_and_claim_of_the_other_class_alone_are_zero() -> None:
    logits = torch.ones(2, 2, 2)
    assert losses.avoid(logits, torch.ones(2, dtype=torch.bool), 3) == (0.0, 0.0)
    assert losses.claim(logits, torch.zeros(2, dtype=torch.bool), 0.5) == 0.0


def test_claim_is_satisfied_by_a_share_of_pixels() -> None:
    logits = torch.full((2, 2, 2), -50.0)
    logits[0, 0] = 50.0
    assert losses.claim(logits, BOTH, 0.5).item() == pytest.approx(0.0, abs=1e-6)
    assert losses.claim(logits, BOTH, 0.75).item() == pytest.approx(50.0 / 3)


def test_off_stain_counts_unstained_pixels_of_positive_tiles() -> None:
    logits = torch.zeros(2, 1, 2)
    stained = torch.tensor([[[1.0, 0.0]], [[0.0, 0.0]]])
    assert losses.off_stain(logits, BOTH, stained).item() == pytest.approx(math.log(2))


def test_input_agrees_with_the_stains_of_the_ground_floor() -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (3, 32, 32), dtype=np.uint8)
    seen = inputs.network_input(torch.from_numpy(rgb)[None])[0].numpy()
    hematoxylin, dab = stain.unmix(rgb)
    assert np.allclose(seen[inputs.HEMATOXYLIN], hematoxylin, atol=1e-5)
    assert np.allclose(seen[inputs.DAB], dab, atol=1e-5)


def test_mixing_undoes_unmixing() -> None:
    densities = torch.rand(2, 3, 4, 4)
    assert torch.allclose(inputs.mixed(inputs.unmixed(densities)), densities, atol=1e-6)


def test_restaining_with_nothing_changes_nothing() -> None:
    rgb = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    found = inputs.restained(rgb, None, 0.0, torch.Generator())
    assert torch.equal(found, rgb.float())


def test_restaining_adds_dab_alone() -> None:
    plain = torch.full((64, 3, 4, 4), 255, dtype=torch.uint8)
    brown = torch.tensor([150, 90, 60], dtype=torch.uint8).view(1, 3, 1, 1).expand(64, 3, 4, 4)
    found = inputs.restained(plain, brown, 0.0, torch.Generator().manual_seed(0))
    stains = inputs.unmixed(inputs.density(found))
    limit = inputs.unmixed(inputs.density(brown[:1]))[0, inputs.DAB_STAIN, 0, 0]
    added = stains[:, inputs.DAB_STAIN, 0, 0]
    assert added.max() <= limit + 1e-4
    assert (added < 1e-3).float().mean().item() == pytest.approx(0.5, abs=0.2)
    assert stains[:, 0].abs().max() < 1e-3


@pytest.mark.parametrize("number", range(8))
def test_each_symmetry_is_undone(number: int) -> None:
    image = torch.arange(12).view(1, 3, 4)
    assert torch.equal(inputs.unturn(inputs.turn(image, number), number), image)


def test_stain_stands_out_on_a_line_and_not_on_a_field() -> None:
    rgb = np.full((3, 64, 64), 230, dtype=np.uint8)
    brown = np.array([120, 70, 40], dtype=np.uint8)[:, None, None]
    rgb[:, 30:33, :] = brown
    mask = stands_out(rgb)
    assert mask[30:33].all()
    assert not mask[:28].any()
    assert not mask[35:].any()
    field = np.full((3, 64, 64), 230, dtype=np.uint8)
    field[:, 20:] = brown
    assert not stands_out(field)[40:].any()
