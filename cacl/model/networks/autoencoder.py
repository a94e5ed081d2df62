"""Encoder E and decoder D: an image to an embedding per 2 x 2 pixels, and back.

One family of networks for both presets. The image is folded (pixel-unshuffle) instead of
convolved at full resolution, so nearly all work happens at half resolution or below; the
surroundings are seen at a quarter and an eighth of it, where dilated convolutions are cheap.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cacl.model.config import NetworkConfig
from cacl.model.networks.codebook import ClassAwareCodebook, class_logit, unit_length
from cacl.model.networks.preprocess import CHANNELS, network_input

FOLD = 2
MULTIPLE_PX = 8
STRIPS = 16


class Pointwise(nn.Conv2d):
    """A convolution of 1 x 1 px, fast for a single image too.

    PyTorch asks oneDNN, which takes half the time, only for as many as `STRIPS` images. So a single
    image is scored as that many strips.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Map (b, c, y, x) to (b, outputs, y, x)."""
        batch, channels, height, width = features.shape
        if batch > 1 or height % STRIPS or features.is_cuda or torch.is_grad_enabled():
            return super().forward(features)
        by_pixel = features.permute(0, 2, 3, 1).reshape(STRIPS, height // STRIPS, width, channels)
        strips = super().forward(by_pixel.permute(0, 3, 1, 2))
        return strips.permute(0, 2, 3, 1).reshape(1, height, width, -1).permute(0, 3, 1, 2)


def convolution(
    inputs: int, outputs: int, size: int, *, normalise: bool, dilation: int = 1, stride: int = 1
) -> nn.Sequential:
    """Return a convolution that keeps the size (divided by `stride`), normalised or not."""
    kind = Pointwise if size == 1 else nn.Conv2d
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


class Residual(nn.Module):
    """x + Conv1x1(ReLU(Conv3x3(ReLU(x)))), the block of VQ-VAE-2 (the paper's reference 11)."""

    def __init__(self, width: int, inner: int, *, normalise: bool, dilation: int = 1) -> None:
        super().__init__()
        self.wide = convolution(width, inner, 3, normalise=normalise, dilation=dilation)
        self.narrow = convolution(inner, width, 1, normalise=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map (b, width, y, x) to the same shape."""
        inner: Tensor = self.wide(F.relu(features))
        added: Tensor = self.narrow(F.relu(inner, inplace=True))
        return added.add_(features)


class Surroundings(nn.Module):
    """x + what is seen around it at half its resolution, and, through `further`, at a quarter.

    Parameters
    ----------
    width, inner
        Channels of x, and at half its resolution.
    dilations
        Of the residual blocks there.
    normalise
        See `NetworkConfig`.
    further
        Maps (b, inner, y, x) to the same shape.
    """

    def __init__(
        self,
        width: int,
        inner: int,
        dilations: tuple[int, ...],
        normalise: bool,
        further: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.down = convolution(width, inner, 3, normalise=normalise, stride=2)
        self.blocks = nn.Sequential(
            *(Residual(inner, inner, normalise=normalise, dilation=one) for one in dilations)
        )
        self.further = further or nn.Identity()
        self.up = convolution(inner, width, 1, normalise=normalise)

    def forward(self, features: Tensor) -> Tensor:
        """Map (b, width, y, x) to the same shape."""
        around: Tensor = self.further(self.blocks(self.down(F.relu(features))))
        upward: Tensor = self.up(around)
        return F.interpolate(upward, scale_factor=2.0, mode="bilinear").add_(features)


class Encoder(nn.Module):
    """E: (b, c, y, x) to an embedding (b, channels, y / 2, x / 2)."""

    def __init__(self, architecture: NetworkConfig) -> None:
        super().__init__()
        a = architecture
        inputs = CHANNELS[a.input] * FOLD**2
        self.stem = convolution(inputs, a.width, 3, normalise=a.batch_norm)
        surroundings: nn.Module | None = None
        if a.dilations_8x:
            surroundings = Surroundings(2 * a.width, 2 * a.width, a.dilations_8x, a.batch_norm)
        if a.dilations_4x:
            surroundings = Surroundings(
                a.width, 2 * a.width, a.dilations_4x, a.batch_norm, surroundings
            )
        self.surroundings = surroundings or nn.Identity()
        self.blocks = nn.Sequential(
            *(
                Residual(a.width, a.residual_channels, normalise=a.batch_norm)
                for _ in range(a.blocks)
            )
        )
        self.head = Pointwise(a.width, a.embedding_channels, 1)
        self.bf16 = False

    def forward(self, seen: Tensor) -> Tensor:
        """Embed what `network_input` returned."""
        with torch.autocast(seen.device.type, torch.bfloat16, enabled=self.bf16):
            return self._embedding(seen).float()

    def _embedding(self, seen: Tensor) -> Tensor:
        folded = F.pixel_unshuffle(seen, FOLD)
        features: Tensor = self.blocks(self.surroundings(self.stem(folded)))
        embedding: Tensor = self.head(F.relu(features, inplace=True))
        return embedding


class Decoder(nn.Module):
    """D: codes (b, channels, y / 2, x / 2) to levels (b, 3, y, x), 0 to 1."""

    def __init__(self, architecture: NetworkConfig) -> None:
        super().__init__()
        a = architecture
        self.stem = convolution(a.embedding_channels, a.width, 3, normalise=a.batch_norm)
        self.blocks = nn.Sequential(
            *(
                Residual(a.width, a.residual_channels, normalise=a.batch_norm)
                for _ in range(a.blocks)
            )
        )
        self.head = nn.Conv2d(a.width, 3 * FOLD**2, 1)
        self.bf16 = False

    def forward(self, codes: Tensor) -> Tensor:
        """Reconstruct images."""
        with torch.autocast(codes.device.type, torch.bfloat16, enabled=self.bf16):
            features: Tensor = F.relu(self.blocks(self.stem(codes)), inplace=True)
            return F.pixel_shuffle(self.head(features), FOLD).float()


class AutoEncoder(nn.Module):
    """E, D and the codebooks S and C_1, C_2...

    Parameters
    ----------
    architecture
        The shape; see `NetworkConfig`.
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

    def use_bf16(self, wanted: bool) -> None:
        """Compute encoder and decoder in bfloat16, or not; weights and results are float32."""
        self.encoder.bf16 = self.decoder.bf16 = wanted

    def embed(self, rgb: Tensor) -> Tensor:
        """Return E(I): (b, d, y / 2, x / 2) for (b, 3, y, x) levels from 0 to 255."""
        return self.scaled(self.encode(network_input(rgb, self.architecture.input)))

    def encode(self, seen: Tensor) -> Tensor:
        """Return E(I), not yet `scaled`, for what `network_input` made of I."""
        embedding: Tensor = self.encoder(seen.contiguous(memory_format=torch.channels_last))
        return embedding

    def scaled(self, embedding: Tensor) -> Tensor:
        """Return (b, d, y, x) embeddings of length 1, if the architecture's are."""
        return unit_length(embedding, 1) if self.architecture.unit_length else embedding

    def forward(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Return E(I) and its squared distances to all codes, (b * y / 2 * x / 2, k)."""
        features = self.embed(rgb)
        return features, self.codebook.distances(flat(features))


def merge_norms(network: nn.Module) -> None:
    """Merge batch norms into the convolutions before them: the same function in fewer passes.

    Only of a network in evaluation mode, which cannot be trained or saved any more.
    """
    for part in network.modules():
        if not isinstance(part, nn.Sequential):
            continue
        layer, norm = part[0], part[-1]
        if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            part[0], part[1] = fuse_conv_bn_eval(layer, norm), nn.Identity()


def flat(features: Tensor) -> Tensor:
    """Return (b, d, y, x) feature maps as (b * y * x, d) vectors."""
    return features.permute(0, 2, 3, 1).flatten(0, 2)


def class_logits(model: AutoEncoder, features: Tensor, distances: Tensor) -> Tensor:
    """Return the log odds of each C_k, (b, k, y, x); see `codebook.class_logit`.

    Parameters
    ----------
    model
        The network.
    features, distances
        (b, d, y, x) embeddings and (b * y * x, c) squared distances to all codes.
    """
    book, temperature = model.codebook.book, model.architecture.temperature
    batch, _, height, width = features.shape
    logits = [
        class_logit(distances, book, temperature, number).view(batch, height, width)
        for number in range(1, len(model.architecture.class_codes) + 1)
    ]
    return torch.stack(logits, dim=1)
