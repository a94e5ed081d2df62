"""The released code's training step and test loop, written anew so that they run.

What is kept of it: its network (two convolutions to half resolution, two residual blocks, 128
channels and an embedding of 64, one decoder with a transposed convolution), both codings of every
tile and both decoded, a ResNet-18 critic asked four times a step and trained every tenth, batch 1,
Adam, one optimiser step a tile; and in the test loop one tile at a time, coded, decoded and judged
twice, the codes' map enlarged by the nearest neighbour and dilated. What had to be mended: the
critic's weights are changed after the generator's gradient, not before it.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from monai.networks.nets.resnet import resnet18
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH, INNER, EMBEDDING = 128, 32, 64
SHARED, OWN = 27, 5
DECAY = 0.98
KINDS = 4
CRITIC_EVERY = 10
POOL = 32


class Block(nn.Module):
    """A residual block of VQ-VAE-2."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(WIDTH, INNER, 3, padding=1)
        self.narrow = nn.Conv2d(INNER, WIDTH, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map (b, WIDTH, y, x) to the same shape."""
        return features + self.narrow(F.relu(self.wide(F.relu(features))))


class Released(nn.Module):
    """Encoder, codes and decoder."""

    codes: Tensor
    counts: Tensor
    sums: Tensor
    support: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, WIDTH // 2, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(WIDTH // 2, WIDTH, 3, padding=1),
            Block(),
            Block(),
            nn.ReLU(),
            nn.Conv2d(WIDTH, EMBEDDING, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(EMBEDDING, WIDTH, 3, padding=1),
            Block(),
            Block(),
            nn.ReLU(),
            nn.ConvTranspose2d(WIDTH, 3, 4, stride=2, padding=1),
        )
        support = torch.zeros(SHARED + OWN, EMBEDDING)
        support[:SHARED, : EMBEDDING // 2] = 1.0
        support[SHARED:, EMBEDDING // 2 :] = 1.0
        self.register_buffer("support", support)
        self.register_buffer("codes", torch.randn(SHARED + OWN, EMBEDDING) * support)
        self.register_buffer("counts", torch.zeros(SHARED + OWN))
        self.register_buffer("sums", self.codes.clone())

    def coded(self, features: Tensor, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """Replace (n, d) embeddings by the nearest of the first codes: straight, raw, index."""
        codes = self.codes[:number]
        distance = features.square().sum(1, keepdim=True) - 2 * features @ codes.T
        index = (distance + codes.square().sum(1)).argmin(1)
        raw = codes[index]
        if self.training and number == SHARED + OWN:
            self.follow(features.detach(), index)
        return features + (raw - features).detach(), raw, index

    @torch.no_grad()
    def follow(self, features: Tensor, index: Tensor) -> None:
        """Move the codes."""
        chosen = F.one_hot(index, SHARED + OWN).to(features.dtype)
        self.counts.mul_(DECAY).add_(chosen.sum(0), alpha=1 - DECAY)
        self.sums.mul_(DECAY).add_(chosen.T @ features, alpha=1 - DECAY)
        self.codes = self.sums / (self.counts[:, None] + 1e-5) * self.support

    def forward(self, rgb: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor], Tensor]:
        """Return for S and for S with C: reconstructions, commitments, codes; and the index map."""
        features = self.encoder(rgb).permute(0, 2, 3, 1)
        pictures, commitments, maps = [], [], []
        for number in (SHARED, SHARED + OWN):
            straight, raw, index = self.coded(features.flatten(0, 2), number)
            commitments.append(F.mse_loss(features.flatten(0, 2), raw.detach()))
            maps.append(straight.view_as(features).permute(0, 3, 1, 2))
            pictures.append(self.decoder(maps[-1]))
        return pictures, commitments, maps, index.view(features.shape[:3])


def critic() -> nn.Module:
    """Return a ResNet-18 over four kinds of images."""
    return resnet18(
        spatial_dims=2, n_input_channels=3, num_classes=KINDS, conv1_t_size=7, conv1_t_stride=2
    )


class Trainer:
    """The training loop, a tile at a time."""

    def __init__(self) -> None:
        self.network, self.critic = Released().train(), critic().train()
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=3e-4)
        self.critic_optimiser = torch.optim.Adam(self.critic.parameters(), lr=1e-4)
        self.fakes: list[Tensor] = []
        self.done = 0

    def step(self, rgb: Tensor, positive: bool) -> float:
        """Learn from one tile (1, 3, y, x), 0 to 1; return the loss."""
        self.done += 1
        label = torch.tensor([int(positive)])
        (without, with_c), commitments, (e_n, e_p), _ = self.network(rgb)
        own = slice(EMBEDDING // 2, None)
        pooled = [F.avg_pool2d(codes, SHARED + OWN)[:, own] for codes in (e_n, e_p)]
        sign = -1.0 if positive else 1.0
        self.fakes = [*self.fakes, (with_c if positive else without).detach()][-POOL:]

        self.critic.requires_grad_(True)
        judged = F.cross_entropy(self.critic(self.fakes[self.done % len(self.fakes)]), label + 2)
        judged = judged + F.cross_entropy(self.critic(rgb), label)
        self.critic.requires_grad_(False)
        mapped = F.cross_entropy(self.critic(with_c), label) * (1 if positive else 3)
        mapped = mapped + F.cross_entropy(self.critic(without), torch.zeros_like(label))
        loss = 100 * F.mse_loss(with_c if positive else without, rgb)
        loss = loss + 0.25 * commitments[int(positive)] + mapped
        loss = loss + 50 * sign * F.mse_loss(pooled[1], pooled[0])
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        if self.done % CRITIC_EVERY == 0:
            self.critic_optimiser.zero_grad()
            judged.backward()
            self.critic_optimiser.step()
        return float(loss.detach())


@torch.no_grad()
def masks(network: Released, judge: nn.Module, tiles: Tensor) -> np.ndarray:
    """Return the masks (n, y, x) of tiles (n, 3, y, x), 0 to 1, one tile at a time."""
    network.eval()
    judge.eval()
    found = []
    for tile in tiles:
        pictures, _, _, index = network(tile[None])
        for picture in pictures:
            judge(picture).argmax(1)
        hard = (index >= SHARED).float()[None]
        large = F.interpolate(hard, size=tile.shape[1:], mode="nearest")[0, 0]
        found.append(cv2.dilate(large.numpy().astype(np.uint8), np.ones((3, 3), np.uint8)))
    return np.stack(found)
