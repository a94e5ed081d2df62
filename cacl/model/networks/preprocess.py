"""From RGB tiles to what the encoder sees; stain jitter on the way, in optical density."""

from __future__ import annotations

import functools
from collections.abc import Callable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from cacl.image.stain import DAB_OD, HEMATOXYLIN_OD

CHANNELS = {"rgb": 3, "stains": 4, "stain_contrast": 6}
TINT = 0.25
NEAR_PX, AROUND_PX, FAR_PX = 9, 15, 31
BACKGROUND_PX = 21
FLAT = 0.15
BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


@functools.cache
def stain_vectors() -> NDArray[np.float64]:
    """Return unit optical densities: columns haematoxylin, DAB and their cross product (3, 3)."""
    hematoxylin = np.array(HEMATOXYLIN_OD) / np.linalg.norm(HEMATOXYLIN_OD)
    dab = np.array(DAB_OD) / np.linalg.norm(DAB_OD)
    rest = np.cross(hematoxylin, dab)
    return np.stack([hematoxylin, dab, rest / np.linalg.norm(rest)], axis=1)


def density(rgb: Tensor) -> Tensor:
    """Return decadic optical density of (b, 3, y, x) levels from 0 to 255."""
    return -torch.log10((rgb.float() + 1.0) / 256.0)


def unmixed(densities: Tensor) -> Tensor:
    """Return the densities of haematoxylin, DAB and the rest: (b, 3, y, x) each way."""
    to_stains = torch.as_tensor(np.linalg.inv(stain_vectors()), dtype=densities.dtype)
    return torch.einsum("sc,bcyx->bsyx", to_stains.to(densities.device), densities)


def mixed(stains: Tensor) -> Tensor:
    """Return the optical density of red, green and blue; the inverse of `unmixed`."""
    vectors = torch.as_tensor(stain_vectors(), dtype=stains.dtype, device=stains.device)
    return torch.einsum("cs,bsyx->bcyx", vectors, stains)


def network_input(rgb: Tensor, view: str) -> Tensor:
    """Return what the encoder sees.

    Hue differs between slides and says little that stain densities do not, so a network that
    sees it learns the training slides; brightness tells glass from tissue. The strength of a
    stain differs between antibodies, so `stain_contrast` shows DAB relative to what is near.

    Parameters
    ----------
    rgb
        (b, 3, y, x) levels from 0 to 255.
    view
        One of `CHANNELS`.

    Returns
    -------
    (b, c, y, x): for `rgb` red, green and blue from 0 to 1; for `stains` brightness from 0
    to 1, then in OD haematoxylin, DAB, and DAB less its mean over 15 px; for `stain_contrast`
    brightness, haematoxylin, the light that DAB absorbs between its local least (0) and most
    (1), the same light less its mean over 15 and over 31 px, and brightness less its mean.
    """
    levels = rgb.float() / 255.0
    if view == "rgb":
        return levels
    densities = unmixed(density(rgb))
    brightness = levels.mean(1, keepdim=True)
    hematoxylin, dab = densities[:, :1], densities[:, 1:2]
    if view == "stains":
        return torch.cat([brightness, hematoxylin, dab, _excess(dab, AROUND_PX)], dim=1)
    absorbed = 1.0 - torch.pow(10.0, -dab.clamp_min(0.0))
    least, most = _extreme(absorbed, BACKGROUND_PX, largest=False), _extreme(absorbed, NEAR_PX)
    parts = [
        brightness,
        hematoxylin,
        (absorbed - least) / (most - least + FLAT),
        _excess(absorbed, AROUND_PX),
        _excess(absorbed, FAR_PX),
        _excess(brightness, AROUND_PX),
    ]
    return torch.cat(parts, dim=1)


def _excess(image: Tensor, window: int) -> Tensor:
    """Return (b, 1, y, x) less its mean over a square window, what lies outside not counted."""
    if image.device.type == "cpu":
        inside = _inside(image.shape[2], window)[:, None] * _inside(image.shape[3], window)
        summed = functools.partial(
            cv2.boxFilter,
            ddepth=-1,
            ksize=(window, window),
            normalize=False,
            borderType=cv2.BORDER_CONSTANT,
        )
        return image - _each(image, summed) / torch.from_numpy(inside)
    mean = image
    for size in ((1, window), (window, 1)):
        around = (size[0] // 2, size[1] // 2)
        mean = F.avg_pool2d(mean, size, stride=1, padding=around, count_include_pad=False)
    return image - mean


def _inside(size: int, window: int) -> NDArray[np.float32]:
    """Return how many pixels of a window around each of `size` pixels in a row exist: (size,)."""
    place, reach = np.arange(size), window // 2
    ends = np.minimum(place + reach, size - 1) - np.maximum(place - reach, 0) + 1
    return ends.astype(np.float32)


def _extreme(image: Tensor, window: int, *, largest: bool = True) -> Tensor:
    """Return the largest or least value of (b, 1, y, x) in a square window around each pixel."""
    if image.device.type == "cpu":
        square = np.ones((window, window), np.uint8)
        change = cv2.dilate if largest else cv2.erode
        return _each(image, functools.partial(change, kernel=square))
    sign = 1.0 if largest else -1.0
    across = F.max_pool2d(sign * image, (1, window), stride=1, padding=(0, window // 2))
    return sign * F.max_pool2d(across, (window, 1), stride=1, padding=(window // 2, 0))


def _each(image: Tensor, change: Callable[..., object]) -> Tensor:
    """Return (b, 1, y, x) changed by a function of OpenCV, whose windows slide: cost no more."""
    changed = torch.empty(image.shape, dtype=image.dtype)
    for plane, place in zip(image[:, 0].numpy(), changed[:, 0].numpy(), strict=True):
        change(plane, dst=place)
    return changed


def jitter_stain(rgb: Tensor, jitter: float, generator: torch.Generator) -> Tensor:
    """Return tiles stained differently: each stain stronger or weaker, in a shifted hue.

    Parameters
    ----------
    rgb
        (b, 3, y, x) levels from 0 to 255.
    jitter
        Standard deviation of the log of each stain's factor; 0 changes nothing.
    generator
        On the CPU.

    Returns
    -------
    (b, 3, y, x) float levels from 0 to 255.
    """
    if jitter == 0.0:
        return rgb.float()
    drawn = torch.randn((3, len(rgb), 3, 1, 1), generator=generator).clamp(-2, 2).to(rgb.device)
    tint = torch.exp(TINT * jitter * drawn[2])
    stains = unmixed(density(rgb) * tint) * torch.exp(jitter * drawn[0])
    levels = 256.0 * torch.pow(10.0, -(mixed(stains) + 0.1 * jitter * drawn[1])) - 1.0
    return levels.clamp(0.0, 255.0)


def random_blur(rgb: Tensor, blur: float, generator: torch.Generator) -> Tensor:
    """Return tiles less sharp, each by a part of its own.

    Parameters
    ----------
    rgb
        (b, 3, y, x) float levels from 0 to 255.
    blur
        Largest part, 0 to 1, in which a tile is replaced by itself under a binomial filter of 5
        px (standard deviation 1 px); 0 changes nothing.
    generator
        On the CPU.
    """
    if blur == 0.0:
        return rgb
    part = blur * torch.rand((len(rgb), 1, 1, 1), generator=generator).to(rgb.device)
    channels = rgb.shape[1]
    row = torch.tensor(BINOMIAL, device=rgb.device).expand(channels, 1, 1, len(BINOMIAL))
    across = F.conv2d(F.pad(rgb, (2, 2, 0, 0), mode="replicate"), row, groups=channels)
    column = row.transpose(2, 3)
    soft = F.conv2d(F.pad(across, (0, 0, 2, 2), mode="replicate"), column, groups=channels)
    return torch.lerp(rgb, soft, part)


def turned(tiles: Tensor, generator: torch.Generator) -> Tensor:
    """Return each (b, c, y, x) square tile flipped and turned by a random quarter turn."""
    numbers = torch.randint(8, (len(tiles),), generator=generator).tolist()
    return torch.stack([turn(tile, number) for tile, number in zip(tiles, numbers, strict=True)])


def turn(image: Tensor, number: int) -> Tensor:
    """Return one of the eight symmetries of (..., y, x): `number` quarter turns; from 4, a flip.

    0 is the identity.
    """
    quarter_turns = torch.rot90(image, number % 4, dims=(-2, -1))
    return quarter_turns.flip(-1) if number >= 4 else quarter_turns


def inverse_dihedral(image: Tensor, number: int) -> Tensor:
    """Undo `turn`."""
    unflipped = image.flip(-1) if number >= 4 else image
    return torch.rot90(unflipped, -(number % 4), dims=(-2, -1))
