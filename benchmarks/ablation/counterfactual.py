"""A network whose score is fused with the DAB that exceeds the reconstruction without C.

The reconstruction R_N from the shared codebook S alone does not contain the class. The DAB of an
image beyond that of its reconstruction, `relu(DAB(x) - DAB(R_N))`, is evidence for the class; see
docs/method.md, section 5.
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


class ShiftedCodebook(nn.Module):
    """A codebook whose distances to C_1 are reduced by the last channel of each vector."""

    def __init__(self, codebook: ClassAwareCodebook) -> None:
        super().__init__()
        self.inner, self.codebook_id = codebook, codebook.codebook_id

    def distances(self, vectors: Tensor) -> Tensor:
        """Return squared distances (n, codes) of (n, d + 1) vectors."""
        distances: Tensor = self.inner.distances(vectors[:, :-1])
        shared = self.codebook_id == SHARED
        return torch.where(shared, distances, distances - vectors[:, -1:])


class CounterfactualFusion(nn.Module):
    """Replaces a network of one class for prediction.

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
        self.codebook = ShiftedCodebook(network.codebook)

    def encode(self, inputs: Tensor) -> Tensor:
        """Return embeddings with one more channel: the reduction of the distance to C."""
        rgb = 255.0 * inputs
        embedding = self.network.encode(preprocess(rgb, self.network.architecture.input))
        embedding = self.network.scale_embedding(embedding)
        codebook = self.network.codebook
        shared = (codebook.codebook_id == SHARED).expand(len(rgb), -1)
        distances = codebook.distances(flatten_positions(embedding))
        quantized = codebook.quantize(embedding, distances, shared)
        reconstruction = 255.0 * self.network.decoder(quantized.straight_through).clamp(0.0, 1.0)
        excess_od = F.relu(
            separate_stains(optical_density(rgb))[:, DAB]
            - separate_stains(optical_density(reconstruction))[:, DAB]
        )
        coarse_od = F.avg_pool2d(excess_od[:, None], DOWNSCALE)
        return torch.cat([embedding, self.temperature * LOG_ODDS_PER_OD * coarse_od], 1)

    def scale_embedding(self, embedding: Tensor) -> Tensor:
        """Return the embeddings as they are: `encode` scales them."""
        return embedding
