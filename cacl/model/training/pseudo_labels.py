"""What a model is sure of, pixel by pixel: the truth that the next one is taught.

The first models, the scouts, are small and see little of a pixel's surroundings, so that they
cannot tell a tile with the pattern from one without by anything else than the pattern; but for the
same reason they take much for the pattern that is not. What they are sure of is right, mostly. A
larger network that is shown those pixels alone may look as far as it likes (self-training; METHOD,
section 4 (e)).
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

import numpy as np
import torch

from cacl.errors import ConfigError, TrainingError
from cacl.model.config import Preset
from cacl.model.data.dataset import LACKS, SHOWS, UNKNOWN, TileDataset, on_rim
from cacl.model.inference.masks import MASKED_LOGIT, Thresholds, hysteresis_mask
from cacl.model.inference.thresholds import threshold_at_recall
from cacl.model.networks.autoencoder import AutoEncoder
from cacl.model.training import elect

log = logging.getLogger(__name__)
ALL_BUT_FEW = 0.95
MIN_TILES = 8


def require_tiles(tiles: TileDataset) -> None:
    """Refuse tiles that are too few for teachers to be sure on `MIN_TILES` of them.

    Raises
    ------
    TrainingError
        A class has fewer tiles of positive images.
    """
    for place, number in enumerate(tiles.positive.sum(0).tolist()):
        if number < MIN_TILES:
            raise TrainingError(
                f"The training split has {number} tiles of positive images"
                f"{tiles.of_class(place)}, expected at least {MIN_TILES}; label more images "
                "positive (labels.overrides, CSV image_id,label), or lower "
                "tiles.min_tissue_fraction"
            )


def taught(
    models: Sequence[Sequence[AutoEncoder]], tiles: TileDataset, teacher: Preset, heard: int
) -> TileDataset:
    """Return the tiles with a layer for each class that says what models are sure of.

    Each layer is `UNKNOWN`, `LACKS` or `SHOWS`. Candidates of negative tiles lack the pattern by
    their label; those of positive tiles show it above one score and lack it below another, see
    `threshold_at_recall`. On a core's rim nothing is shown, as scouts cannot tell it from a cut.
    On tiles of several classes what one class's models do not find may yet be there beside the others, so
    that nothing is told to lack, nor is a place that several classes are shown to have.

    Parameters
    ----------
    models
        Of each class, those that know it alone; in evaluation mode.
    tiles
        To learn from.
    teacher
        How the models were trained, and how their scores become masks.
    heard
        How many of each class's models, the best, are believed; see `elect.elect`. Their scores
        are averaged.

    Raises
    ------
    TrainingError
        The models are sure of the pattern on hardly any tile.
    """
    recall = teacher.post.high_recall
    if recall is None:
        raise ConfigError(
            f"The teacher preset {teacher.name} has no post.high_recall, so its scores give no "
            "pseudo-labels"
        )
    layers = []
    several = tiles.positive.sum(1).numpy() > 1
    every, rim = torch.arange(len(tiles)), on_rim(tiles.pixels[:, 3]).numpy()
    for place, known in enumerate(models):
        own = tiles.only([place])
        best = elect.elect(known, own, teacher, heard)
        scores = elect.scores(best, own, every, teacher)
        positive, negative = tiles.positive[:, place].numpy(), tiles.negative[:, place].numpy()
        parts = (ALL_BUT_FEW, recall)
        lacks, shows = threshold_at_recall(scores[positive], scores[negative], parts)
        candidate = scores > MASKED_LOGIT
        told = np.full(scores.shape, UNKNOWN, np.uint8)
        told[candidate & (scores < lacks) & (positive & ~several)[:, None, None]] = LACKS
        told[candidate & negative[:, None, None]] = LACKS
        strict = Thresholds(low=shows, high=shows, edge_high=shows, min_area_fraction=0.0)
        for number in np.flatnonzero(positive):
            told[number][hysteresis_mask(scores[number], strict, teacher.post) & ~rim[number]] = (
                SHOWS
            )
        sure = int((told == SHOWS).any(axis=(1, 2)).sum())
        log.info(
            "train: %d of %d tiles of positive images show the pattern%s above %.2f",
            sure,
            positive.sum(),
            tiles.of_class(place),
            shows,
        )
        if sure < MIN_TILES:
            raise TrainingError(
                f"The {teacher.name} is sure of the pattern{tiles.of_class(place)} on {sure} "
                f"tiles, expected at least {MIN_TILES}; train for more steps (train.max_steps), "
                "with another seed, or with more antibodies of each label"
            )
        layers.append(torch.from_numpy(told))
    said = torch.stack(layers, dim=1)
    shown = said == SHOWS
    said[shown & (shown.sum(1, keepdim=True) > 1)] = UNKNOWN
    return dataclasses.replace(tiles, pixels=torch.cat([tiles.pixels[:, :4], said], dim=1))
