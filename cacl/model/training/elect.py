"""Which of several models know the pattern best, judged by image-wise labels alone.

Models of other seeds learn from the same labels and differ much: some miss much of the pattern,
some take much else for it. What positive tiles hold above nearly all that negative tiles hold tells
them apart, as only the pattern is on the ones and not on the others.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cacl.model.config import Preset
from cacl.model.data.dataset import TileDataset, candidate_mask
from cacl.model.inference.masks import MASKED_LOGIT, mask_logits
from cacl.model.inference.predict import interior_only, predict_logits, spread_indices
from cacl.model.networks.autoencoder import AutoEncoder

log = logging.getLogger(__name__)
ALMOST_ALL = 0.99
# The best of the demo's scouts have 0.17 to 0.21. With 0.06 a model can be good or miss most.
DOUBTFUL = 0.1


@dataclass(frozen=True, eq=False)
class Heard:
    """A model, and its worth against others.

    Parameters
    ----------
    model
        In evaluation mode.
    worth
        Share of the candidates of positive tiles that score above almost all of negative tiles'.
    spread
        Standard deviation of the scores of negative tiles' candidates, above 0: the unit of the
        model's scores.
    """

    model: AutoEncoder
    worth: float
    spread: float


def elect(
    models: Sequence[AutoEncoder], tiles: TileDataset, preset: Preset, number: int
) -> list[Heard]:
    """Return the models of most worth, at most `number`, best first.

    Parameters
    ----------
    models
        In evaluation mode; all know the one class of the tiles.
    tiles
        To learn from; some of each label are looked at.
    preset
        How their scores become masks.
    number
        How many to keep.
    """
    judged = [_judged(model, tiles, preset) for model in models]
    best = sorted(judged, key=lambda one: -one.worth)[:number]
    log.info(
        "train: of %d networks, those of worth %s are heard%s; of all: %s",
        len(models),
        ", ".join(f"{one.worth:.3f}" for one in best),
        tiles.of_class(0),
        ", ".join(f"{one.worth:.3f}" for one in judged),
    )
    if best[0].worth < DOUBTFUL:
        log.warning(
            "train: hardly anything on positive tiles stands out from negative ones%s: %.1f%% of "
            "the candidates; look at the masks before you believe them, or give more antibodies "
            "of each label",
            tiles.of_class(0),
            100.0 * best[0].worth,
        )
    return best


def scores(
    heard: Sequence[Heard], tiles: TileDataset, which: Tensor, preset: Preset
) -> NDArray[np.float32]:
    """Return the mean of models' scores, each in units of its spread.

    As `predict_logits`: (n, y, x) of the tiles `which`, very low where no mask may be.
    """
    flips = preset.post.n_tta
    each = [
        predict_logits([one.model], tiles, which, 0, preset.post, flips) / np.float32(one.spread)
        for one in heard
    ]
    mean: NDArray[np.float32] = np.mean(each, axis=0)
    known = candidate_mask(tiles.pixels[which, 3].numpy(), tiles.classes[0])
    return mask_logits(mean, known, preset.post)


def _judged(model: AutoEncoder, tiles: TileDataset, preset: Preset) -> Heard:
    positive, negative = (
        _candidates(model, tiles, spread_indices(label[:, 0]), preset)
        for label in (tiles.positive, tiles.negative)
    )
    if not len(positive) or not len(negative):
        return Heard(model, 0.0, 1.0)
    worth = float((positive > np.quantile(negative, ALMOST_ALL)).mean())
    return Heard(model, worth, float(negative.std()) or 1.0)


def _candidates(
    model: AutoEncoder, tiles: TileDataset, which: Tensor, preset: Preset
) -> NDArray[np.float32]:
    """Return the scores (pixels,) of what may be the pattern, off the rim."""
    found = predict_logits([model], tiles, which, 0, preset.post, preset.post.n_tta)
    off_rim = interior_only(found, tiles, which)
    return off_rim[off_rim > MASKED_LOGIT]
