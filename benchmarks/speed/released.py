"""The training step and the test loop of the released code, reimplemented so that they run.

Kept from the released code: the network (two convolutions to half resolution, two residual blocks,
128 channels and an embedding of 64, one decoder with a transposed convolution); quantisation and
decoding of every tile with S alone and with S and C; a ResNet-18 critic that is evaluated four
times per step and trained every tenth; batch size 1; Adam. The test loop encodes, decodes and
classifies one tile at a time, enlarges the index map by nearest neighbour and dilates it. Fixed:
the critic's weights are updated after the backward pass of the generator, not before it.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from monai.networks.nets.resnet import resnet18
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH, INNER, EMBEDDING = 128, 32, 64
SHARED, CLASS = 27, 5
DECAY = 0.98
IMAGE_KINDS = 4
CRITIC_EVERY = 10
FAKE_POOL_SIZE = 32


class Block(nn.Module):
    """A residual block of VQ-VAE-2."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(WIDTH, INNER, 3, padding=1)
        self.narrow = nn.Conv2d(INNER, WIDTH, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map (b, WIDTH, y, x) to the same shape."""
        output: Tensor = features + self.narrow(F.relu(self.wide(F.relu(features))))
        return output


class Released(nn.Module):
    """Encoder, codebooks S and C, and decoder."""

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
        support = torch.zeros(SHARED + CLASS, EMBEDDING)
        support[:SHARED, : EMBEDDING // 2] = 1.0
        support[SHARED:, EMBEDDING // 2 :] = 1.0
        self.register_buffer("support", support)
        self.register_buffer("codes", torch.randn(SHARED + CLASS, EMBEDDING) * support)
        self.register_buffer("counts", torch.zeros(SHARED + CLASS))
        self.register_buffer("sums", self.codes.clone())

    def quantize(self, features: Tensor, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return straight-through codes, codes and indices of (n, d) embeddings.

        Only the first `number` codes are used.
        """
        codes = self.codes[:number]
        distance = features.square().sum(1, keepdim=True) - 2 * features @ codes.T
        index = (distance + codes.square().sum(1)).argmin(1)
        nearest = codes[index]
        if self.training and number == SHARED + CLASS:
            self.update_ema(features.detach(), index)
        return features + (nearest - features).detach(), nearest, index

    @torch.no_grad()
    def update_ema(self, features: Tensor, index: Tensor) -> None:
        """Update the codes by exponential moving averages."""
        chosen = F.one_hot(index, SHARED + CLASS).to(features.dtype)
        self.counts.mul_(DECAY).add_(chosen.sum(0), alpha=1 - DECAY)
        self.sums.mul_(DECAY).add_(chosen.T @ features, alpha=1 - DECAY)
        self.codes = self.sums / (self.counts[:, None] + 1e-5) * self.support

    def forward(self, rgb: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor], Tensor]:
        """Return reconstructions, commitment losses and codes by S and by S with C; and indices."""
        features = self.encoder(rgb).permute(0, 2, 3, 1)
        reconstructions, commitments, code_maps = [], [], []
        for number in (SHARED, SHARED + CLASS):
            straight_through, nearest, index = self.quantize(features.flatten(0, 2), number)
            commitments.append(F.mse_loss(features.flatten(0, 2), nearest.detach()))
            code_maps.append(straight_through.view_as(features).permute(0, 3, 1, 2))
            reconstructions.append(self.decoder(code_maps[-1]))
        return reconstructions, commitments, code_maps, index.view(features.shape[:3])


def make_critic() -> nn.Module:
    """Return a ResNet-18 that classifies four kinds of images: real or not, positive or not."""
    return resnet18(
        spatial_dims=2,
        n_input_channels=3,
        num_classes=IMAGE_KINDS,
        conv1_t_size=7,
        conv1_t_stride=2,
    )


class Trainer:
    """The training loop with batch size 1."""

    def __init__(self) -> None:
        self.network, self.critic = Released().train(), make_critic().train()
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=3e-4)
        self.critic_optimiser = torch.optim.Adam(self.critic.parameters(), lr=1e-4)
        self.fakes: list[Tensor] = []
        self.steps = 0

    def step(self, rgb: Tensor, positive: bool) -> float:
        """Train on one tile (1, 3, y, x), 0 to 1; return the loss."""
        self.steps += 1
        label = torch.tensor([int(positive)])
        (without_c, with_c), commitments, code_maps, _ = self.network(rgb)
        class_channels = slice(EMBEDDING // 2, None)
        pooled = [F.avg_pool2d(codes, SHARED + CLASS)[:, class_channels] for codes in code_maps]
        sign = -1.0 if positive else 1.0
        self.fakes = [*self.fakes, (with_c if positive else without_c).detach()][-FAKE_POOL_SIZE:]

        self.critic.requires_grad_(True)
        critic_loss = F.cross_entropy(
            self.critic(self.fakes[self.steps % len(self.fakes)]), label + 2
        )
        critic_loss = critic_loss + F.cross_entropy(self.critic(rgb), label)
        self.critic.requires_grad_(False)
        mapping_loss = F.cross_entropy(self.critic(with_c), label) * (1 if positive else 3)
        mapping_loss = mapping_loss + F.cross_entropy(
            self.critic(without_c), torch.zeros_like(label)
        )
        loss = 100 * F.mse_loss(with_c if positive else without_c, rgb)
        loss = loss + 0.25 * commitments[int(positive)] + mapping_loss
        loss = loss + 50 * sign * F.mse_loss(pooled[1], pooled[0])
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        self.optimiser.step()
        if self.steps % CRITIC_EVERY == 0:
            self.critic_optimiser.zero_grad()
            torch.autograd.backward(critic_loss)
            self.critic_optimiser.step()
        return float(loss.detach())


@torch.no_grad()
def masks(network: Released, critic: nn.Module, tiles: Tensor) -> NDArray[np.uint8]:
    """Return the masks (n, y, x) of tiles (n, 3, y, x), 0 to 1, one tile at a time."""
    network.eval()
    critic.eval()
    masks_of_tiles = []
    for tile in tiles:
        reconstructions, _, _, index = network(tile[None])
        for reconstruction in reconstructions:
            critic(reconstruction).argmax(1)
        class_pixels = (index >= SHARED).float()[None]
        enlarged = F.interpolate(class_pixels, size=tile.shape[1:], mode="nearest")[0, 0]
        kernel = np.ones((3, 3), np.uint8)
        masks_of_tiles.append(cv2.dilate(enlarged.numpy().astype(np.uint8), kernel))
    return np.stack(masks_of_tiles).astype(np.uint8)
