"""From pixels to a score: how surely each pixel shows the pattern, as log odds of C."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from cacl.model.networks.autoencoder import DOWNSCALE, SIZE_DIVISOR, AutoEncoder, class_logits
from cacl.model.networks.codebook import flatten_positions
from cacl.model.networks.preprocess import dihedral, inverse_dihedral, preprocess

BATCH = 32
CACHED = 1 << 13
SYMMETRIES = (0, 6, 2, 4, 1, 3, 5, 7)


@torch.no_grad()
def views(models: Sequence[AutoEncoder], rgb: Tensor, flips: int) -> Iterator[Tensor]:
    """Yield the log odds (b, k, y, x) of each C_k of each pixel, by each model and symmetry.

    What a network sees of a pixel does not depend on how the image lies, so it is made once. Its
    soft share is enlarged bilinearly; without a temperature, the nearest code's choice is, as in
    the paper, by nearest neighbour.
    """
    inputs = {view: preprocess(rgb, view) for view in {one.architecture.input for one in models}}
    for number in SYMMETRIES[:flips]:
        for model in models:
            coarse = _odds(model, model.encode(dihedral(inputs[model.architecture.input], number)))
            mode = "bilinear" if model.architecture.temperature else "nearest"
            fine = F.interpolate(coarse, scale_factor=float(DOWNSCALE), mode=mode)
            yield inverse_dihedral(fine, number)


def _odds(model: AutoEncoder, embedding: Tensor) -> Tensor:
    """Return `class_logits` of (b, d, y, x) embeddings, some rows at a time that a cache holds."""
    rows = max(1, CACHED // (embedding.shape[0] * embedding.shape[3]))
    features = (model.scale_embedding(part) for part in torch.split(embedding, rows, 2))
    odds = [
        class_logits(model, one, model.codebook.distances(flatten_positions(one)))
        for one in features
    ]
    return torch.cat(odds, dim=2)


def pixel_log_odds(models: Sequence[AutoEncoder], rgb: Tensor, flips: int) -> Tensor:
    """Return the log odds of each C_k of each pixel, averaged over models and symmetries.

    Parameters
    ----------
    models
        In evaluation mode.
    rgb
        (b, 3, y, x) uint8; y and x multiples of `MULTIPLE_PX`.
    flips
        How many of the eight symmetries of the square, 1 to 8.

    Returns
    -------
    (b, k, y, x) float32.
    """
    return torch.stack(list(views(models, rgb, flips))).mean(0)


def tile_log_odds(models: Sequence[AutoEncoder], pixels: Tensor, flips: int, place: int) -> Tensor:
    """Return the log odds (n, y, x) of one class of tiles (n, 3, y, x), in parts, on the CPU.

    `place` is the class's among the classes, from 0.
    """
    device = next(models[0].parameters()).device
    parts = [
        pixel_log_odds(models, pixels[start : start + BATCH].to(device), flips)[:, place].cpu()
        for start in range(0, len(pixels), BATCH)
    ]
    return torch.cat(parts)


def image_views(
    models: Sequence[AutoEncoder], rgb: NDArray[np.uint8], flips: int
) -> NDArray[np.float32]:
    """Return the log odds of one image (3, y, x) of any size, by each view: (v, k, y, x).

    A view is one model's look at one symmetry of the image; the mean over them is its score.
    """
    _, height, width = rgb.shape
    below, right = -height % SIZE_DIVISOR, -width % SIZE_DIVISOR
    padded = np.pad(rgb, ((0, 0), (0, below), (0, right)), mode="edge")
    device = next(models[0].parameters()).device
    seen = views(models, torch.from_numpy(padded)[None].to(device), flips)
    found: NDArray[np.float32] = torch.cat(list(seen))[..., :height, :width].cpu().numpy()
    return found
