"""What a model is asked without any mask: which tiles are positive, and where to threshold."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cacl.errors import TrainingError
from cacl.model.autoencoder import AutoEncoder
from cacl.model.data import CELL, STAINED, TileSet
from cacl.model.mask import Thresholds, possible
from cacl.model.preset import Preset
from cacl.model.score import tile_log_odds

log = logging.getLogger(__name__)
REFERENCE_TILES = 100
LEAST_LIKELY, LEAST_SURE = -2.0, 1.0
RESCORE_NEGATIVES = 0.002
RESCORE_AREA = 0.01
MIN_POSITIVE_TILES = 8
SMALLEST_SHARE, LARGEST_SHARE = 0.005, 0.3
NOWHERE, EVERYWHERE = 0.0005, 0.9


@dataclass(frozen=True, eq=False)
class Judgement:
    """Which tiles of positive images show the pattern, and how much of them it covers.

    Parameters
    ----------
    positive
        (m,) indices into the tile set.
    share
        (n,) of each tile's pixels: what `losses.claim` may ask for from now on.
    """

    positive: Tensor
    share: Tensor


def rescore(
    model: AutoEncoder, tiles: TileSet, held_out: TileSet, preset: Preset, rng: torch.Generator
) -> Judgement | None:
    """Judge every tile of the positive images (multiple-instance learning).

    A tile is positive if more than 1 % of it may be stained, is rather C than not, and scores
    above the 99.8 % quantile of negative tiles, half of them held out; METHOD, section 4.

    Returns
    -------
    The judgement; None if it would leave too few tiles to go on with.
    """
    negative = torch.nonzero(~tiles.positive).flatten()
    drawn = negative[torch.randperm(len(negative), generator=rng)[:REFERENCE_TILES]]
    kept_out = torch.randperm(len(held_out), generator=rng)[:REFERENCE_TILES]
    reference = np.concatenate(
        [_scores(model, tiles, drawn, preset, 1), _scores(model, held_out, kept_out, preset, 1)]
    )
    limit = max(0.0, float(np.quantile(reference, 1.0 - RESCORE_NEGATIVES)))
    members = torch.nonzero(tiles.positive).flatten()
    area = torch.from_numpy(_scores(model, tiles, members, preset, 1) > limit).float().mean((1, 2))
    found = (area > RESCORE_AREA) | tiles.fixed[members]
    log.info(
        "train: %d of %d tiles of positive images score above %.2f on more than %g of their area",
        int(found.sum()),
        len(found),
        limit,
        RESCORE_AREA,
    )
    if int(found.sum()) < MIN_POSITIVE_TILES:
        return None
    share = torch.zeros(len(tiles))
    share[members] = area.clamp(SMALLEST_SHARE, LARGEST_SHARE)
    return Judgement(members[found], share)


def _scores(
    model: AutoEncoder, tiles: TileSet, which: Tensor, preset: Preset, flips: int
) -> NDArray[np.float32]:
    """Return log odds (n, y, x) of some tiles, very low where no mask may be."""
    scores = tile_log_odds(model, tiles.pixels[which, :3], flips).numpy()
    marks = tiles.pixels[which, 3].numpy()
    return possible(scores, (marks & STAINED) > 0, (marks & CELL) > 0, preset)


def refuse_collapsed(model: AutoEncoder, tiles: TileSet, positive: Tensor, preset: Preset) -> None:
    """Raise if C is used nowhere on positive tiles, or everywhere.

    The `paper` preset is delivered all the same, with a warning: it is the reference.

    Raises
    ------
    TrainingError
        The codebook has collapsed; the model would deliver empty or full masks.
    """
    drawn = positive[:: max(1, len(positive) // REFERENCE_TILES)]
    used = float((tile_log_odds(model, tiles.pixels[drawn, :3], 1) > 0).float().mean())
    if NOWHERE < used < EVERYWHERE:
        return
    where = "nowhere" if used <= NOWHERE else "everywhere"
    sentence = (
        f"The class codebook C is used {where} on positive tiles ({used:.2%} of their pixels), so "
        "the model has not learned the pattern; train for more steps (train.max_steps), with "
        "another seed, or with more antibodies of each label"
    )
    if preset.refuse_collapse:
        raise TrainingError(sentence)
    log.warning("train: %s", sentence)


def thresholds(model: AutoEncoder, negatives: TileSet, preset: Preset) -> Thresholds:
    """Return what turns scores into masks, from negative tiles alone.

    The scores that all but a preset's shares of negative pixels stay below; METHOD, section 4
    (b). However easy the held-out negatives are, the log odds of a sure pixel exceed
    `LEAST_SURE`, and those of a likely one `LEAST_LIKELY`. For `paper` both are 0, the
    nearest code's choice.
    """
    if preset.sure_area == 0.0:
        return Thresholds(likely=0.0, sure=0.0)
    scores = _scores(model, negatives, torch.arange(len(negatives)), preset, preset.flips)
    likely, sure = np.quantile(scores, [1.0 - preset.likely_area, 1.0 - preset.sure_area])
    return Thresholds(likely=max(LEAST_LIKELY, float(likely)), sure=max(LEAST_SURE, float(sure)))
