"""Encoder E and decoder D: an image to an embedding per 2 x 2 pixels, and back.

Both presets use the same family of networks. The first layer is a pixel-unshuffle instead of
convolutions at full resolution, so nearly all computation happens at half resolution or below.
Dilated convolutions at a quarter and an eighth of the resolution provide a large receptive field
at low cost.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cacl.model.config import NetworkConfig
from cacl.model.networks.codebook import (
    ClassAwareCodebook,
    class_logit,
    flatten_positions,
    unit_length,
)
from cacl.model.networks.preprocess import CHANNELS, preprocess
from cacl.stain.vectors import REFERENCE, StainVectors

DOWNSCALE = 2
SIZE_DIVISOR = 8
N_STRIPS = 16


class PointwiseConv2d(nn.Conv2d):
    """A 1 x 1 convolution that is also fast for a single image.

    PyTorch uses oneDNN, which takes half the time, only for a batch of at least `N_STRIPS` images.
    A single image is therefore computed as a batch of `N_STRIPS` strips.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Map (b, c, y, x) to (b, outputs, y, x)."""
        batch, channels, height, width = features.shape
        if batch > 1 or height % N_STRIPS or features.is_cuda or torch.is_grad_enabled():
            return super().forward(features)
        channels_last = features.permute(0, 2, 3, 1)
        strips = channels_last.reshape(N_STRIPS, height // N_STRIPS, width, channels)
        outputs = super().forward(strips.permute(0, 3, 1, 2))
        return outputs.permute(0, 2, 3, 1).reshape(1, height, width, -1).permute(0, 3, 1, 2)


def conv_norm(
    inputs: int, outputs: int, size: int, *, normalise: bool, dilation: int = 1, stride: int = 1
) -> nn.Sequential:
    """Return a convolution with batch normalisation (or none) and "same" padding.

    The output has the size of the input divided by `stride`.
    """
    kind = PointwiseConv2d if size == 1 else nn.Conv2d
    layer = kind(
        inputs,
        outputs,
        size,
        stride=stride,
        padding=dilation * (size // 2),
        dilation=dilation,
        bias=not normalise,
    )
    return nn.Sequential(layer, nn.BatchNorm2d(outputs) if normalise else nn.Identity())


class ResidualBlock(nn.Module):
    """x + Conv1x1(ReLU(Conv3x3(ReLU(x)))), the block of VQ-VAE-2 (Razavi et al. 2019)."""

    def __init__(
        self, channels: int, hidden_channels: int, *, normalise: bool, dilation: int = 1
    ) -> None:
        super().__init__()
        self.conv3x3 = conv_norm(
            channels, hidden_channels, 3, normalise=normalise, dilation=dilation
        )
        self.conv1x1 = conv_norm(hidden_channels, channels, 1, normalise=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map (b, channels, y, x) to the same shape."""
        hidden: Tensor = self.conv3x3(F.relu(features))
        residual: Tensor = self.conv1x1(F.relu(hidden, inplace=True))
        return residual.add_(features)


class ContextBranch(nn.Module):
    """x + context computed by dilated residual blocks at half the resolution of x.

    Parameters
    ----------
    channels, hidden_channels
        Channels of x, and at half its resolution.
    dilations
        Dilation of each residual block at half the resolution.
    normalise
        Whether convolutions are followed by batch normalisation.
    inner
        A further branch at half the resolution, (b, hidden_channels, y, x) to the same shape.
    """

    def __init__(
        self,
        channels: int,
        hidden_channels: int,
        dilations: tuple[int, ...],
        normalise: bool,
        inner: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.down = conv_norm(channels, hidden_channels, 3, normalise=normalise, stride=2)
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(
                    hidden_channels, hidden_channels, normalise=normalise, dilation=dilation
                )
                for dilation in dilations
            )
        )
        self.inner = inner or nn.Identity()
        self.up = conv_norm(hidden_channels, channels, 1, normalise=normalise)

    def forward(self, features: Tensor) -> Tensor:
        """Map (b, channels, y, x) to the same shape."""
        context: Tensor = self.up(self.inner(self.blocks(self.down(F.relu(features)))))
        return F.interpolate(context, scale_factor=2.0, mode="bilinear").add_(features)


class Encoder(nn.Module):
    """E: (b, c, y, x) to an embedding (b, channels, y / 2, x / 2)."""

    def __init__(self, architecture: NetworkConfig) -> None:
        super().__init__()
        a = architecture
        inputs = CHANNELS[a.input] * DOWNSCALE**2
        self.stem = conv_norm(inputs, a.width, 3, normalise=a.batch_norm)
        context: nn.Module | None = None
        if a.dilations_8x:
            context = ContextBranch(2 * a.width, 2 * a.width, a.dilations_8x, a.batch_norm)
        if a.dilations_4x:
            context = ContextBranch(a.width, 2 * a.width, a.dilations_4x, a.batch_norm, context)
        self.context = context or nn.Identity()
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(a.width, a.residual_channels, normalise=a.batch_norm)
                for _ in range(a.blocks)
            )
        )
        self.head = PointwiseConv2d(a.width, a.embedding_channels, 1)
        self.bf16 = False

    def forward(self, inputs: Tensor) -> Tensor:
        """Embed the output of `preprocess`."""
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.bf16):
            return self._embedding(inputs).float()

    def _embedding(self, inputs: Tensor) -> Tensor:
        downscaled = F.pixel_unshuffle(inputs, DOWNSCALE)
        features: Tensor = self.blocks(self.context(self.stem(downscaled)))
        embedding: Tensor = self.head(F.relu(features, inplace=True))
        return embedding


class Decoder(nn.Module):
    """D: codes (b, channels, y / 2, x / 2) to an image (b, 3, y, x) in 0 to 1."""

    def __init__(self, architecture: NetworkConfig) -> None:
        super().__init__()
        a = architecture
        self.stem = conv_norm(a.embedding_channels, a.width, 3, normalise=a.batch_norm)
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(a.width, a.residual_channels, normalise=a.batch_norm)
                for _ in range(a.blocks)
            )
        )
        self.head = nn.Conv2d(a.width, 3 * DOWNSCALE**2, 1)
        self.bf16 = False

    def forward(self, codes: Tensor) -> Tensor:
        """Reconstruct images from codes."""
        with torch.autocast(codes.device.type, torch.bfloat16, enabled=self.bf16):
            features: Tensor = F.relu(self.blocks(self.stem(codes)), inplace=True)
            return F.pixel_shuffle(self.head(features), DOWNSCALE).float()


class AutoEncoder(nn.Module):
    """Encoder E, decoder D, the shared codebook S and the class codebooks C_1, C_2...

    Parameters
    ----------
    architecture
        Sizes of all layers; see `NetworkConfig`.
    """

    def __init__(self, architecture: NetworkConfig) -> None:
        super().__init__()
        self.architecture = architecture
        self.encoder = Encoder(architecture)
        self.decoder = Decoder(architecture)
        self.codebook = ClassAwareCodebook(
            architecture.embedding_channels,
            architecture.shared_codes,
            architecture.class_codes,
            split_channels=architecture.split_channels,
            unit=architecture.unit_length,
        )
        for parameter in self.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    def use_bf16(self, enabled: bool) -> None:
        """Compute encoder and decoder in bfloat16, or not; weights and outputs are float32."""
        self.encoder.bf16 = self.decoder.bf16 = enabled

    def embed(self, rgb: Tensor, vectors: StainVectors = REFERENCE) -> Tensor:
        """Return E(I), (b, d, y / 2, x / 2), of (b, 3, y, x) RGB levels from 0 to 255."""
        return self.scale_embedding(self.encode(preprocess(rgb, self.architecture.input, vectors)))

    def encode(self, inputs: Tensor) -> Tensor:
        """Return E(I) before `scale_embedding`, for the output of `preprocess`."""
        embedding: Tensor = self.encoder(inputs.contiguous(memory_format=torch.channels_last))
        return embedding

    def scale_embedding(self, embedding: Tensor) -> Tensor:
        """Scale (b, d, y, x) embeddings to length 1 if the architecture requires it."""
        return unit_length(embedding, 1) if self.architecture.unit_length else embedding

    def forward(self, rgb: Tensor, vectors: StainVectors = REFERENCE) -> tuple[Tensor, Tensor]:
        """Return E(I) and its squared distances to all codes, (b * y / 2 * x / 2, k)."""
        features = self.embed(rgb, vectors)
        return features, self.codebook.distances(flatten_positions(features))


def fuse_batchnorm(network: nn.Module) -> None:
    """Fuse batch normalisation into the preceding convolutions (in place).

    The function stays the same and is computed in fewer passes. The network must be in evaluation
    mode; afterwards it can neither be trained nor saved.
    """
    for module in network.modules():
        if not isinstance(module, nn.Sequential):
            continue
        layer, norm = module[0], module[-1]
        if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            module[0], module[1] = fuse_conv_bn_eval(layer, norm), nn.Identity()


def class_logits(model: AutoEncoder, features: Tensor, distances: Tensor) -> Tensor:
    """Return the logits of each C_k, (b, k, y, x); see `codebook.class_logit`.

    Parameters
    ----------
    model
        The network.
    features, distances
        (b, d, y, x) embeddings and (b * y * x, c) squared distances to all codes.
    """
    codebook_id, temperature = model.codebook.codebook_id, model.architecture.temperature
    batch, _, height, width = features.shape
    logits = [
        class_logit(distances, codebook_id, temperature, class_id).view(batch, height, width)
        for class_id in range(1, len(model.architecture.class_codes) + 1)
    ]
    return torch.stack(logits, dim=1)
