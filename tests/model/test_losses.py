"""Every loss, on numbers worked out by hand; and the stain physics of the input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cacl.image import stain
from cacl.model.networks import critic, preprocess
from cacl.model.training import losses

BOTH = torch.tensor([True, False])


def test_commitment_is_a_mean_square_without_gradient_to_the_codes() -> None:
    features = torch.zeros(1, 2, 1, 1, requires_grad=True)
    codes = torch.tensor([1.0, 3.0]).view(1, 2, 1, 1).requires_grad_()
    loss = losses.commitment(features, codes)
    torch.autograd.backward(loss)
    assert loss.item() == 5.0
    assert codes.grad is None


def test_reconstruction_uses_r_p_for_positive_and_r_n_for_negative_tiles() -> None:
    image = torch.zeros(2, 3, 1, 1)
    loss = losses.reconstruction(image, image + 1.0, image + 3.0, BOTH)
    assert loss.item() == pytest.approx((1.0 + 9.0) / 2)


def test_discriminative_has_the_sign_of_the_label_and_uses_channels_of_c_only() -> None:
    e_n = torch.zeros(2, 2, 1, 1)
    e_p = torch.tensor([5.0, 2.0]).view(1, 2, 1, 1).repeat(2, 1, 1, 1)
    support = torch.tensor([False, True])
    assert losses.discriminative(e_n, e_p, BOTH, support).item() == pytest.approx((-4 + 4) / 2)
    negative = torch.tensor([False, False])
    assert losses.discriminative(e_n, e_p, negative, support).item() == 4.0


def test_mapping_is_lowest_for_r_p_of_the_input_label_and_negative_r_n() -> None:
    confident = torch.full((2, 4), -20.0)
    as_input, negative = confident.clone(), confident.clone()
    as_input[0, critic.REAL_POSITIVE] = as_input[1, critic.REAL_NEGATIVE] = 20.0
    negative[:, critic.REAL_NEGATIVE] = 20.0
    assert losses.mapping(as_input, negative, BOTH).item() == pytest.approx(0.0, abs=1e-6)
    uniform = torch.zeros(2, 4)
    assert losses.mapping(uniform, uniform, BOTH).item() == pytest.approx(2 * math.log(4))


def test_negative_bce_is_the_mean_and_the_hardest_of_negative_positions() -> None:
    logits = torch.zeros(2, 2, 2)
    logits[0] = 50.0
    logits[1, 0, 0] = 10.0
    negative = torch.zeros(2, 2, 2, dtype=torch.bool)
    negative[1] = True
    mean, top = losses.negative_bce(logits, negative, 1)
    assert mean.item() == pytest.approx((3 * math.log(2) + 10.0) / 4, abs=1e-3)
    assert top.item() == pytest.approx(10.0 / 2, abs=1e-3)


def test_losses_without_positions_are_zero() -> None:
    logits, none = torch.ones(2, 2, 2), torch.zeros(2, 2, 2, dtype=torch.bool)
    assert [loss.item() for loss in losses.negative_bce(logits, none, 3)] == [0.0, 0.0]
    assert losses.topk_positive(logits, none, torch.ones(2)) == 0.0
    assert losses.self_training(logits, none, -1.0) == 0.0
    assert losses.background_bce(logits, ~none) == 0.0


def test_topk_positive_is_zero_once_the_fraction_of_each_tile_is_positive() -> None:
    logits = torch.full((2, 2, 2), -50.0)
    logits[0, 0] = 50.0
    allowed = torch.ones(2, 2, 2, dtype=torch.bool)
    allowed[1] = False
    reached, more = torch.tensor([0.5, 1.0]), torch.tensor([0.75, 1.0])
    assert losses.topk_positive(logits, allowed, reached).item() == pytest.approx(0.0, abs=1e-6)
    assert losses.topk_positive(logits, allowed, more).item() == pytest.approx(50.0 / 3)


def test_topk_positive_uses_allowed_positions_only() -> None:
    logits = torch.tensor([[[50.0, -7.0]]])
    allowed = torch.tensor([[[False, True]]])
    loss = losses.topk_positive(logits, allowed, torch.tensor([1.0]))
    assert loss.item() == pytest.approx(7.0, abs=1e-2)


def test_self_training_has_a_gradient_at_confident_positions_only() -> None:
    logits = torch.tensor([[[-0.5, -2.0, 3.0]]], requires_grad=True)
    allowed = torch.tensor([[[True, True, False]]])
    loss = losses.self_training(logits, allowed, -1.0)
    assert loss.item() == pytest.approx(math.log1p(math.exp(0.5)))
    torch.autograd.backward(loss)
    assert logits.grad is not None
    assert (logits.grad != 0).tolist() == [[[True, False, False]]]


def test_pseudo_label_bce_is_the_mean_over_labelled_pixels() -> None:
    logits = torch.tensor([[[2.0, -1.0], [0.5, 9.0]]])
    positive = torch.tensor([[[True, False], [False, False]]])
    negative = torch.tensor([[[False, True], [True, False]]])
    expected = (math.log1p(math.exp(-2.0)) + math.log1p(math.exp(-1.0))) / 3
    expected += math.log1p(math.exp(0.5)) / 3
    assert losses.pseudo_label_bce(logits, positive, negative).item() == pytest.approx(
        expected, rel=1e-5
    )
    nowhere = torch.zeros_like(positive)
    assert losses.pseudo_label_bce(logits, nowhere, nowhere).item() == 0.0


def test_background_bce_uses_positions_without_stain_only() -> None:
    logits = torch.tensor([[[0.0, 9.0]]])
    candidate = torch.tensor([[[False, True]]])
    assert losses.background_bce(logits, candidate).item() == pytest.approx(math.log(2))


def test_input_agrees_with_the_stains_of_the_ground_floor() -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (3, 32, 32), dtype=np.uint8)
    seen = preprocess.preprocess(torch.from_numpy(rgb)[None], representation="stains")[0].numpy()
    hematoxylin, dab = stain.separate_stains(rgb)
    assert np.allclose(seen[0], rgb.mean(0) / 255.0, atol=1e-6)
    assert np.allclose(seen[1], hematoxylin, atol=1e-5)
    assert np.allclose(seen[2], dab, atol=1e-5)
    inner = dab[16, 16] - dab[9:24, 9:24].mean()
    assert seen[3, 16, 16] == pytest.approx(inner, abs=1e-4)


def test_relief_shows_dab_between_its_local_least_and_most() -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (3, 48, 48), dtype=np.uint8)
    seen = preprocess.preprocess(torch.from_numpy(rgb)[None], representation="stain_contrast")[
        0
    ].numpy()
    assert len(seen) == preprocess.CHANNELS["stain_contrast"]
    hematoxylin, dab = stain.separate_stains(rgb)
    absorbed = 1.0 - 10.0 ** -np.clip(dab, 0.0, None)
    assert np.allclose(seen[1], hematoxylin, atol=1e-5)
    here, least = absorbed[24, 24], absorbed[14:35, 14:35].min()
    most = absorbed[20:29, 20:29].max()
    assert seen[2, 24, 24] == pytest.approx((here - least) / (most - least + 0.15), abs=1e-4)
    assert seen[3, 24, 24] == pytest.approx(here - absorbed[17:32, 17:32].mean(), abs=1e-4)
    assert seen[4, 24, 24] == pytest.approx(here - absorbed[9:40, 9:40].mean(), abs=1e-4)


def test_mixing_undoes_unmixing() -> None:
    densities = torch.rand(2, 3, 4, 4)
    assert torch.allclose(
        preprocess.combine_stains(preprocess.separate_stains(densities)), densities, atol=1e-6
    )


def test_restaining_with_nothing_changes_nothing() -> None:
    rgb = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    jittered = preprocess.jitter_stain(rgb, 0.0, torch.Generator())
    assert torch.equal(jittered, rgb.float())


def test_restaining_keeps_glass_and_scales_stains() -> None:
    plain = torch.full((64, 3, 4, 4), 255, dtype=torch.uint8)
    brown = torch.tensor([150, 90, 60], dtype=torch.uint8).view(1, 3, 1, 1).expand(64, 3, 4, 4)
    before = preprocess.separate_stains(preprocess.optical_density(brown[:1]))[0, 1, 0, 0]
    jittered = preprocess.jitter_stain(brown, 0.2, torch.Generator().manual_seed(0))
    dab = preprocess.separate_stains(preprocess.optical_density(jittered))[:, 1, 0, 0]
    assert (dab / before).log().std().item() == pytest.approx(0.2, abs=0.08)
    glass = preprocess.jitter_stain(plain, 0.2, torch.Generator().manual_seed(0))
    assert preprocess.separate_stains(preprocess.optical_density(glass)).abs().max() < 0.1


def test_softening_spreads_a_point_and_keeps_the_whole() -> None:
    point = torch.zeros(32, 3, 9, 9)
    point[:, :, 4, 4] = 256.0
    assert preprocess.random_blur(point, 0.0, torch.Generator()) is point
    blurred = preprocess.random_blur(point, 1.0, torch.Generator().manual_seed(0))
    assert torch.allclose(blurred.sum((2, 3)), point.sum((2, 3)), rtol=1e-5)
    part = 1.0 - (blurred[:, 0, 4, 4] - 36.0) / 220.0
    assert part.min() >= 0.0
    assert part.max() <= 1.0
    assert part.std() > 0.2
    assert torch.allclose(blurred[:, 0, 2, 2], part)


@pytest.mark.parametrize("number", range(8))
def test_each_symmetry_is_undone(number: int) -> None:
    image = torch.arange(12).view(1, 3, 4)
    assert torch.equal(
        preprocess.inverse_dihedral(preprocess.dihedral(image, number), number), image
    )
