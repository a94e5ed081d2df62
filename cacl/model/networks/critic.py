"""Critic: separates real from reconstructed and positive from negative tiles (eqs. 5 and 6)."""

from __future__ import annotations

import torch
from monai.networks.nets.resnet import resnet18
from torch import Tensor, nn
from torch.nn import functional as F

N_KINDS = 4
REAL_NEGATIVE, REAL_POSITIVE, FAKE_NEGATIVE, FAKE_POSITIVE = range(N_KINDS)


class Critic(nn.Module):
    """ResNet-18 that classifies an image as real or reconstructed, and negative or positive."""

    def __init__(self) -> None:
        super().__init__()
        self.network = resnet18(
            spatial_dims=2,
            n_input_channels=3,
            num_classes=N_KINDS,
            conv1_t_size=7,
            conv1_t_stride=2,
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return (b, 4) logits of (b, 3, y, x) images from 0 to 1."""
        logits: Tensor = self.network(images)
        return logits


class ImagePool:
    """The last reconstructed images of one label, for the training of the critic.

    The pool keeps the critic from forgetting earlier reconstructions (Shrivastava et al. 2017);
    the paper keeps 64 images.

    Parameters
    ----------
    size
        Maximum number of images.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []

    def add(self, images: Tensor) -> None:
        """Add (b, 3, y, x) images and drop the oldest ones beyond `size`."""
        self.images = [*self.images, *images.detach().unbind(0)][-self.size :]

    def sample(self, generator: torch.Generator) -> Tensor | None:
        """Return a random image (1, 3, y, x); None if the pool is empty."""
        if not self.images:
            return None
        return self.images[int(torch.randint(len(self.images), (1,), generator=generator))][None]


def critic_loss(
    critic: Critic,
    real: Tensor,
    positive: Tensor,
    pools: tuple[ImagePool, ImagePool],
    rng: torch.Generator,
) -> Tensor:
    """Return the cross entropy over the four kinds of images, eq. (5).

    The images are the real tiles and one past reconstruction of each label.

    Parameters
    ----------
    critic
        The critic.
    real
        (b, 3, y, x) from 0 to 1.
    positive
        (b,) bool.
    pools
        Past reconstructions with a negative and with a positive label.
    rng
        Selects the past reconstructions.
    """
    kinds = [torch.where(positive, REAL_POSITIVE, REAL_NEGATIVE)]
    images = [real]
    for pool, kind in zip(pools, (FAKE_NEGATIVE, FAKE_POSITIVE), strict=True):
        fake = pool.sample(rng)
        if fake is not None:
            images.append(fake.to(real.device))
            kinds.append(torch.full((1,), kind, device=real.device))
    return F.cross_entropy(critic.train()(torch.cat(images)), torch.cat(kinds))
