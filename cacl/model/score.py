"""From pixels to a score: how surely each pixel shows the pattern, as log odds of C."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from cacl.model.autoencoder import MULTIPLE_PX, AutoEncoder, flat
from cacl.model.codebook import class_logit
from cacl.model.inputs import turn, unturn

BATCH = 32
SYMMETRIES = (0, 6, 2, 4, 1, 3, 5, 7)


def log_odds(model: AutoEncoder, rgb: Tensor) -> Tensor:
    """Return the log odds of C at the resolution of the codes: (b, y / 2, x / 2)."""
    features = model.embed(rgb)
    logit = class_logit(
        model.codebook.distances(flat(features)),
        model.codebook.book,
        model.architecture.temperature,
    )
    return logit.view(len(rgb), *features.shape[2:])


@torch.no_grad()
def pixel_log_odds(model: AutoEncoder, rgb: Tensor, flips: int) -> Tensor:
    """Return the log odds of C of each pixel, averaged over symmetries.

    Parameters
    ----------
    model
        In evaluation mode.
    rgb
        (b, 3, y, x) uint8; y and x multiples of 4.
    flips
        How many of the eight symmetries of the square, 1 to 8.

    Returns
    -------
    (b, y, x) float32, enlarged bilinearly.
    """
    total = torch.zeros(len(rgb), *rgb.shape[2:], device=rgb.device)
    for number in SYMMETRIES[:flips]:
        coarse = log_odds(model, turn(rgb, number))
        fine = F.interpolate(coarse[:, None], scale_factor=2.0, mode="bilinear")[:, 0]
        total += unturn(fine, number)
    return total / flips


def tile_log_odds(model: AutoEncoder, pixels: Tensor, flips: int) -> Tensor:
    """Return the log odds of many tiles (n, 3, y, x), a few at a time, on the CPU."""
    device = next(model.parameters()).device
    parts = [
        pixel_log_odds(model, pixels[start : start + BATCH].to(device), flips).cpu()
        for start in range(0, len(pixels), BATCH)
    ]
    return torch.cat(parts)


def image_log_odds(model: AutoEncoder, rgb: NDArray[np.uint8], flips: int) -> NDArray[np.float32]:
    """Return the log odds of one image (3, y, x) of any size: (y, x) float32."""
    _, height, width = rgb.shape
    below, right = -height % MULTIPLE_PX, -width % MULTIPLE_PX
    padded = np.pad(rgb, ((0, 0), (0, below), (0, right)), mode="edge")
    device = next(model.parameters()).device
    score = pixel_log_odds(model, torch.from_numpy(padded)[None].to(device), flips)
    found: NDArray[np.float32] = score[0, :height, :width].cpu().numpy()
    return found
