"""The critic: tells real from reconstructed and positive from negative tiles (eqs. 5 and 6)."""

from __future__ import annotations

import torch
from monai.networks.nets.resnet import resnet18
from torch import Tensor, nn

from cacl.model.training import losses

KINDS = 4


class Critic(nn.Module):
    """ResNet-18 over the four kinds of images; see `losses.classifier`."""

    def __init__(self) -> None:
        super().__init__()
        self.network = resnet18(
            spatial_dims=2, n_input_channels=3, num_classes=KINDS, conv1_t_size=7, conv1_t_stride=2
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return (b, 4) logits for (b, 3, y, x) images from 0 to 1."""
        logits: Tensor = self.network(images)
        return logits


class Pool:
    """The last fakes of one kind, from which the critic learns (the paper keeps 64).

    Parameters
    ----------
    size
        How many to keep.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []

    def add(self, images: Tensor) -> None:
        """Keep (b, 3, y, x) images; the oldest go."""
        self.images = [*self.images, *images.detach().unbind(0)][-self.size :]

    def draw(self, generator: torch.Generator) -> Tensor | None:
        """Return one past image as (1, 3, y, x); None while there is none."""
        if not self.images:
            return None
        return self.images[int(torch.randint(len(self.images), (1,), generator=generator))][None]


def critic_loss(
    critic: Critic, real: Tensor, positive: Tensor, pools: tuple[Pool, Pool], rng: torch.Generator
) -> Tensor:
    """Return eq. (5) over real tiles and one past fake of each kind.

    Parameters
    ----------
    critic
        The critic.
    real
        (b, 3, y, x) from 0 to 1.
    positive
        (b,) bool.
    pools
        Past fakes, negative and positive.
    rng
        Which of them is taken.
    """
    kinds = [torch.where(positive, losses.REAL_POSITIVE, losses.REAL_NEGATIVE)]
    images = [real]
    for pool, kind in zip(pools, (losses.FAKE_NEGATIVE, losses.FAKE_POSITIVE), strict=True):
        fake = pool.draw(rng)
        if fake is not None:
            images.append(fake.to(real.device))
            kinds.append(torch.full((1,), kind, device=real.device))
    return losses.classifier(critic.train()(torch.cat(images)), torch.cat(kinds))
