"""A network whose score is fused with the DAB that its reconstruction without C lacks.

METHOD, section 4 (c): what S alone reconstructs holds none of the pattern, so that the DAB of an
image beyond that of its reconstruction, `relu(DAB(x) - DAB(R_N))`, is the pattern's.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cacl.model.networks.autoencoder import DOWNSCALE, AutoEncoder
from cacl.model.networks.codebook import SHARED, ClassAwareCodebook, flatten_positions
from cacl.model.networks.preprocess import optical_density, preprocess, separate_stains

DAB = 1
LOG_ODDS_PER_OD = 10.0


class Nearer(nn.Module):
    """A codebook whose C_1 is nearer by what the last channel of each vector says."""

    def __init__(self, codebook: ClassAwareCodebook) -> None:
        super().__init__()
        self.inner, self.codebook_id = codebook, codebook.codebook_id

    def distances(self, vectors: Tensor) -> Tensor:
        """Return squared distances (n, codes) of (n, d + 1) vectors."""
        found: Tensor = self.inner.distances(vectors[:, :-1])
        return torch.where(self.codebook_id == SHARED, found, found - vectors[:, -1:])


class Fused(nn.Module):
    """Stands for a network of one class where scores are made.

    Parameters
    ----------
    network
        A trained network with a temperature.
    """

    def __init__(self, network: AutoEncoder) -> None:
        super().__init__()
        self.network = network
        self.architecture = dataclasses.replace(network.architecture, input="rgb")
        self.temperature = network.architecture.temperature or 0.0
        self.codebook = Nearer(network.codebook)

    def encode(self, seen: Tensor) -> Tensor:
        """Return embeddings with one more channel: how much nearer C is there."""
        own = self.network.architecture
        rgb = 255.0 * seen
        features = self.network.scale_embedding(self.network.encode(preprocess(rgb, own.input)))
        codebook = self.network.codebook
        shared = (codebook.codebook_id == SHARED).expand(len(rgb), -1)
        coded = codebook.quantize(features, codebook.distances(flatten_positions(features)), shared)
        without = 255.0 * self.network.decoder(coded.straight_through).clamp(0.0, 1.0)
        beyond = F.relu(
            separate_stains(optical_density(rgb))[:, DAB]
            - separate_stains(optical_density(without))[:, DAB]
        )
        coarse = F.avg_pool2d(beyond[:, None], DOWNSCALE)
        return torch.cat([features, self.temperature * LOG_ODDS_PER_OD * coarse], 1)

    def scale_embedding(self, embedding: Tensor) -> Tensor:
        """Return the embeddings as they are: `encode` scales them."""
        return embedding
