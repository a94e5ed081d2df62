"""Where scores become masks: thresholds from image-wise labels, without any mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cacl.model.config import Preset
from cacl.model.data.dataset import CELL, TileDataset, on_rim
from cacl.model.inference.levels import between, levels, rarely
from cacl.model.inference.masks import IMPOSSIBLE, Thresholds
from cacl.model.networks.autoencoder import AutoEncoder
from cacl.model.training.judge import off_rim, sampled, scores

LEAST_LIKELY, LEAST_SURE = -4.0, -1.0
FALSE_ON_RIM = 0.02


def thresholds(
    models: Sequence[AutoEncoder], tiles: TileDataset, negatives: TileDataset, preset: Preset
) -> tuple[Thresholds, ...]:
    """Return what turns each class's scores into masks; no mask is read.

    Likely is a score that all but a preset's share of held-out negative pixels stay below, and
    more than `LEAST_LIKELY`; METHOD, section 4 (b). Sure is one above which a preset's part lies of
    what positive training tiles hold beyond negative ones, be these of the training, which it has
    learned, or held out, which can be easy, and at least `LEAST_SURE`; see `levels.levels`. On a
    core's rim it is one above which at most a part `FALSE_ON_RIM` is false, if that is more; see
    `levels.rarely`. The least share of sure cells lies between what negative images have and what
    nearly all positive ones have, see `levels.between`. For `paper` all are 0, the nearest code's
    choice.

    Parameters
    ----------
    models
        In evaluation mode.
    tiles, negatives
        Of the training split, and negative ones that are held out.
    preset
        The shares, and how scores become masks.

    Raises
    ------
    TrainingError
        Positive tiles hold no more of the pattern than negative ones.
    """
    if preset.post.high_recall is None:
        return (Thresholds(likely=0.0, sure=0.0, rim=0.0, least=0.0),) * len(negatives.classes)
    return tuple(
        _limits(models, tiles, negatives, place, preset) for place in range(len(negatives.classes))
    )


def _limits(
    models: Sequence[AutoEncoder],
    tiles: TileDataset,
    negatives: TileDataset,
    place: int,
    preset: Preset,
) -> Thresholds:
    """Return the thresholds of one class, by its place among the classes."""
    post = preset.post
    apart = torch.nonzero(negatives.negative[:, place]).flatten()
    parts = (
        (tiles, sampled(tiles.positive[:, place])),
        (tiles, sampled(tiles.negative[:, place])),
        (negatives, apart),
    )
    found = [scores(models, *one, place, preset, preset.post.n_tta) for one in parts]
    positive, *decoys = found
    recall = post.high_recall or 0.0
    surest = [level for one in decoys for level in levels(positive, one, [recall])]
    sure = max(LEAST_SURE, *surest)
    likely = sure
    if post.low_fpr is not None:
        quantile = float(np.quantile(decoys[-1], 1.0 - post.low_fpr))
        likely = min(sure, max(LEAST_LIKELY, quantile))
    at_rim, *rims = (_at_rim(one, *where) for one, where in zip(found, parts, strict=True))
    rim = max(sure, *(rarely(at_rim, one, FALSE_ON_RIM) for one in rims))
    shares = [
        _sure_shares(*where, off_rim(one, *where) > sure)
        for one, where in zip(found, parts, strict=True)
    ]
    least = 0.0
    if post.image_fnr is not None:
        least = between(shares[0], np.concatenate(shares[1:]), post.image_fnr)
    return Thresholds(likely=likely, sure=sure, rim=rim, least=least)


def _sure_shares(
    tiles: TileDataset, members: Tensor, sure: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the share of cells that is sure (n, y, x) in the tiles of each image."""
    cells = ((tiles.pixels[members, 3] & CELL) > 0).flatten(1).sum(1).numpy()
    image = tiles.image[members].numpy()
    area, of_cells = (np.bincount(image, part) for part in (sure.sum((1, 2)), cells))
    return np.asarray(area[of_cells > 0] / of_cells[of_cells > 0])


def _at_rim(found: NDArray[np.float32], tiles: TileDataset, which: Tensor) -> NDArray[np.float32]:
    """Return scores (n, y, x) of some tiles, very low off the rim of a core."""
    return np.where(on_rim(tiles.pixels[which, 3].numpy()), found, IMPOSSIBLE)
