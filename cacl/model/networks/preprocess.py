"""From RGB tiles to the encoder's input, in optical density (Ruifrok and Johnston 2001)."""

from __future__ import annotations

import functools
from collections.abc import Callable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from cacl.image.stain import unit_vectors
from cacl.stain.vectors import REFERENCE, StainVectors

CHANNELS = {"rgb": 3, "stains": 4, "stain_contrast": 6}
PEAK_PX, CONTEXT_PX, WIDE_CONTEXT_PX = 9, 15, 31
BACKGROUND_PX = 21
MIN_RANGE = 0.15
TINT = 0.25
N_SYMMETRIES = 8
BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def optical_density(rgb: Tensor) -> Tensor:
    """Return the decadic optical density of (b, 3, y, x) levels from 0 to 255."""
    return -torch.log10((rgb.float() + 1.0) / 256.0)


def separate_stains(densities: Tensor, vectors: StainVectors = REFERENCE) -> Tensor:
    """Return the densities of haematoxylin, DAB and the residual: (b, 3, y, x) to (b, 3, y, x)."""
    to_stains = torch.as_tensor(np.linalg.inv(unit_vectors(vectors).T), dtype=densities.dtype)
    return torch.einsum("sc,bcyx->bsyx", to_stains.to(densities.device), densities)


def combine_stains(stains: Tensor, vectors: StainVectors = REFERENCE) -> Tensor:
    """Return the optical density of red, green and blue; the inverse of `separate_stains`."""
    columns = unit_vectors(vectors).T
    to_rgb = torch.as_tensor(columns, dtype=stains.dtype, device=stains.device)
    return torch.einsum("cs,bsyx->bcyx", to_rgb, stains)


def preprocess(rgb: Tensor, representation: str, vectors: StainVectors = REFERENCE) -> Tensor:
    """Return the encoder's input.

    Hue varies between slides and adds little to the stain densities. A network that sees it
    overfits to the training slides. Brightness separates glass from tissue. The intensity of a
    stain varies between antibodies, so `stain_contrast` gives DAB relative to its neighbourhood.

    Parameters
    ----------
    rgb
        (b, 3, y, x) levels from 0 to 255.
    representation
        One of `CHANNELS`.
    vectors
        Stain vectors of the images.

    Returns
    -------
    (b, c, y, x), by representation:

    - `rgb`: red, green and blue, 0 to 1;
    - `stains`: brightness, 0 to 1; haematoxylin, OD; DAB, OD; DAB minus its mean over 15 px;
    - `stain_contrast`: brightness; haematoxylin; the fraction of light absorbed by DAB, scaled
      from its local minimum (0) to its local maximum (1); this fraction minus its mean over 15 px
      and over 31 px; brightness minus its mean over 15 px.
    """
    levels = rgb.float() / 255.0
    if representation == "rgb":
        return levels
    densities = separate_stains(optical_density(rgb), vectors)
    brightness = levels.mean(1, keepdim=True)
    hematoxylin, dab = densities[:, :1], densities[:, 1:2]
    if representation == "stains":
        return torch.cat([brightness, hematoxylin, dab, _minus_local_mean(dab, CONTEXT_PX)], dim=1)
    absorbed = 1.0 - torch.pow(10.0, -dab.clamp_min(0.0))
    minimum = _local_extremum(absorbed, BACKGROUND_PX, maximum=False)
    maximum = _local_extremum(absorbed, PEAK_PX)
    channels = [
        brightness,
        hematoxylin,
        (absorbed - minimum) / (maximum - minimum + MIN_RANGE),
        _minus_local_mean(absorbed, CONTEXT_PX),
        _minus_local_mean(absorbed, WIDE_CONTEXT_PX),
        _minus_local_mean(brightness, CONTEXT_PX),
    ]
    return torch.cat(channels, dim=1)


def _minus_local_mean(image: Tensor, window: int) -> Tensor:
    """Return (b, 1, y, x) minus its mean over a square window, without pixels outside the image."""
    if image.device.type == "cpu":
        rows = _window_lengths(image.shape[2], window)
        pixels = rows[:, None] * _window_lengths(image.shape[3], window)
        window_sum = functools.partial(
            cv2.boxFilter,
            ddepth=-1,
            ksize=(window, window),
            normalize=False,
            borderType=cv2.BORDER_CONSTANT,
        )
        return image - _apply_opencv(image, window_sum) / torch.from_numpy(pixels)
    mean = image
    for size in ((1, window), (window, 1)):
        padding = (size[0] // 2, size[1] // 2)
        mean = F.avg_pool2d(mean, size, stride=1, padding=padding, count_include_pad=False)
    return image - mean


def _window_lengths(size: int, window: int) -> NDArray[np.float32]:
    """Return the number of pixels inside the image of the window around each position: (size,)."""
    position, radius = np.arange(size), window // 2
    lengths = np.minimum(position + radius, size - 1) - np.maximum(position - radius, 0) + 1
    return lengths.astype(np.float32)


def _local_extremum(image: Tensor, window: int, *, maximum: bool = True) -> Tensor:
    """Return the maximum or minimum of (b, 1, y, x) in a square window around each pixel."""
    if image.device.type == "cpu":
        square = np.ones((window, window), np.uint8)
        operation = cv2.dilate if maximum else cv2.erode
        return _apply_opencv(image, functools.partial(operation, kernel=square))
    sign = 1.0 if maximum else -1.0
    along_rows = F.max_pool2d(sign * image, (1, window), stride=1, padding=(0, window // 2))
    return sign * F.max_pool2d(along_rows, (window, 1), stride=1, padding=(window // 2, 0))


def _apply_opencv(image: Tensor, operation: Callable[..., object]) -> Tensor:
    """Apply an OpenCV filter to each image of (b, 1, y, x).

    OpenCV's running windows cost the same for every window size.
    """
    filtered = torch.empty(image.shape, dtype=image.dtype)
    for source, target in zip(image[:, 0].numpy(), filtered[:, 0].numpy(), strict=True):
        operation(source, dst=target)
    return filtered


def jitter_stain(
    rgb: Tensor, strength: float, generator: torch.Generator, vectors: StainVectors = REFERENCE
) -> Tensor:
    """Return tiles with each stain randomly stronger or weaker, in a shifted hue.

    Parameters
    ----------
    rgb
        (b, 3, y, x) levels from 0 to 255.
    strength
        Standard deviation of the log of each stain's factor; 0 changes nothing.
    generator
        On the CPU.
    vectors
        Stain vectors of the tiles.

    Returns
    -------
    (b, 3, y, x) float levels from 0 to 255.
    """
    if strength == 0.0:
        return rgb.float()
    noise = torch.randn((3, len(rgb), 3, 1, 1), generator=generator).clamp(-2, 2).to(rgb.device)
    tint = torch.exp(TINT * strength * noise[2])
    stains = separate_stains(optical_density(rgb) * tint, vectors)
    stains = stains * torch.exp(strength * noise[0])
    density = combine_stains(stains, vectors) + 0.1 * strength * noise[1]
    levels = 256.0 * torch.pow(10.0, -density) - 1.0
    return levels.clamp(0.0, 255.0)


def random_blur(rgb: Tensor, max_strength: float, generator: torch.Generator) -> Tensor:
    """Return tiles blurred with a random strength each.

    Parameters
    ----------
    rgb
        (b, 3, y, x) float levels from 0 to 255.
    max_strength
        Upper bound of the strength, 0 to 1: the weight of the tile after a binomial filter of 5 px
        (standard deviation 1 px) against the tile itself. 0 changes nothing.
    generator
        On the CPU.
    """
    if max_strength == 0.0:
        return rgb
    strength = max_strength * torch.rand((len(rgb), 1, 1, 1), generator=generator).to(rgb.device)
    channels = rgb.shape[1]
    row = torch.tensor(BINOMIAL, device=rgb.device).expand(channels, 1, 1, len(BINOMIAL))
    column = row.transpose(2, 3)
    along_x = F.conv2d(F.pad(rgb, (2, 2, 0, 0), mode="replicate"), row, groups=channels)
    blurred = F.conv2d(F.pad(along_x, (0, 0, 2, 2), mode="replicate"), column, groups=channels)
    return torch.lerp(rgb, blurred, strength)


def random_dihedral(tiles: Tensor, generator: torch.Generator) -> Tensor:
    """Return each square tile of (b, c, y, x) after a random flip and rotation."""
    elements = torch.randint(N_SYMMETRIES, (len(tiles),), generator=generator).tolist()
    pairs = zip(tiles, elements, strict=True)
    return torch.stack([dihedral(tile, element) for tile, element in pairs])


def dihedral(image: Tensor, element: int) -> Tensor:
    """Apply an element of the dihedral group of the square to (..., y, x).

    The element, 0 to 7, stands for `element % 4` quarter turns, followed by a flip from 4 on; 0 is
    the identity.
    """
    rotated = torch.rot90(image, element % 4, dims=(-2, -1))
    return rotated.flip(-1) if element >= 4 else rotated


def inverse_dihedral(image: Tensor, element: int) -> Tensor:
    """Apply the inverse of `dihedral`."""
    unflipped = image.flip(-1) if element >= 4 else image
    return torch.rot90(unflipped, -(element % 4), dims=(-2, -1))
