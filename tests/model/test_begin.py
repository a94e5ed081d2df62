"""Initialisation of the codes, and the critic with its image pools."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from cacl.model.data.batches import Batch
from cacl.model.networks import critic as critic_module
from cacl.model.networks.autoencoder import AutoEncoder
from cacl.model.networks.codebook import init_kmeans, init_random
from cacl.model.networks.critic import N_KINDS, Critic, ImagePool, critic_loss
from cacl.model.presets import TEACHER


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def autoencoder() -> AutoEncoder:
    """Two codes of S and one of C, of two channels, of any length."""
    architecture = dataclasses.replace(
        TEACHER.network, embedding_channels=2, shared_codes=2, class_codes=(1,), unit_length=False
    )
    return AutoEncoder(architecture)


def batch(candidate: Tensor) -> Batch:
    """A negative tile and a positive one, of candidates (2, 1, y, x)."""
    label = torch.tensor([[False], [True]])
    nowhere = torch.zeros_like(candidate[:, 0])
    pseudo_label = torch.zeros(2, 0, *candidate.shape[2:], dtype=torch.uint8)
    rgb = torch.zeros(2, 3, *candidate.shape[2:])
    fraction = torch.full((2, 1), 0.1)
    return Batch(
        rgb, candidate, nowhere, nowhere, label, ~label, label, ~label, fraction, pseudo_label
    )


def embeddings() -> Tensor:
    """Both tiles hold (0, 0) and (10, 0); a quarter of the positive one is (0, 20) or (0, 24)."""
    negative = torch.tensor([[0.0, 0.0]] * 8 + [[10.0, 0.0]] * 8)
    positive = torch.tensor(
        [[0.0, 0.0]] * 6 + [[10.0, 0.0]] * 6 + [[0.0, 20.0]] * 2 + [[0.0, 24.0]] * 2
    )
    return torch.stack([negative, positive]).view(2, 4, 4, 2).permute(0, 3, 1, 2)


def start_codes(model: AutoEncoder, tiles: Batch) -> None:
    positive = tiles.positive.any(1)
    positions = tiles.class_positions, tiles.other_class_positions
    init_kmeans(model.codebook, embeddings(), positive, *positions, rng())


def test_initialises_s_from_negative_tiles_and_c_from_embeddings_of_positive_tiles_alone() -> None:
    model = autoencoder()
    everywhere = torch.ones(2, 1, 8, 8, dtype=torch.bool)
    start_codes(model, batch(everywhere))
    codes = model.codebook.codes
    assert sorted(codes[:2].tolist()) == [[0.0, 0.0], [10.0, 0.0]]
    assert codes[2].tolist() == [0.0, 22.0]
    assert model.codebook.cluster_size.gt(0).all()


def test_initialises_c_at_class_positions_only() -> None:
    model = autoencoder()
    upper = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    upper[:, :, :6] = True
    start_codes(model, batch(upper))
    assert model.codebook.codes[2, 1].item() == 0.0


def test_random_codes_are_embeddings_of_the_batch() -> None:
    model = autoencoder()
    features = torch.arange(64.0).view(2, 2, 4, 4)
    init_random(model.codebook, features, rng())
    known = features.permute(0, 2, 3, 1).flatten(0, 2).tolist()
    assert all(code in known for code in model.codebook.codes.tolist())


def test_image_pool_keeps_the_last_images_in_order() -> None:
    pool = ImagePool(64)
    assert pool.sample(rng()) is None
    for number in range(35):
        pool.add(torch.full((2, 3, 1, 1), float(number), requires_grad=True))
    assert [int(image[0, 0, 0]) for image in pool.images] == [
        number for number in range(3, 35) for _ in range(2)
    ]
    image = pool.sample(rng())
    assert image is not None
    assert image.shape == (1, 3, 1, 1)
    assert not image.requires_grad
    sampling_rng = rng()
    images = [
        image for image in (pool.sample(sampling_rng) for _ in range(500)) if image is not None
    ]
    assert {int(image[0, 0, 0, 0]) for image in images} == set(range(3, 35))


@pytest.mark.parametrize("filled", [0, 1, 2])
def test_critic_loss_uses_real_tiles_and_one_reconstruction_per_label(filled: int) -> None:
    torch.manual_seed(0)
    critic, pools = Critic(), (ImagePool(64), ImagePool(64))
    real, fakes = torch.rand(2, 3, 32, 32), torch.rand(2, 1, 3, 32, 32)
    for pool, fake in zip(pools[:filled], fakes[:filled], strict=True):
        pool.add(fake)
    kinds = [critic_module.REAL_NEGATIVE, critic_module.REAL_POSITIVE]
    kinds += [critic_module.FAKE_NEGATIVE, critic_module.FAKE_POSITIVE][:filled]
    assert len(set(kinds)) == 2 + filled <= N_KINDS
    with torch.no_grad():
        seen = torch.cat([real, *fakes[:filled]])
        expected = F.cross_entropy(critic.train()(seen), torch.tensor(kinds))
    loss = critic_loss(critic, real, torch.tensor([False, True]), pools, rng())
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
