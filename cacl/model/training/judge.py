"""What a model is asked without any mask: which tiles are positive, and how sure it is."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cacl.errors import TrainingError
from cacl.model.config import Preset
from cacl.model.data.dataset import TileDataset
from cacl.model.inference.predict import interior_only, predict_logits, tile_logits
from cacl.model.networks.autoencoder import AutoEncoder

log = logging.getLogger(__name__)
REFERENCE_TILES = 100
RESCORE_NEGATIVES = 0.002
RESCORE_AREA = 0.01
SHOWN_SOMEWHERE = 0.25
MIN_POSITIVE_TILES = 8
SURE = 10.0
SMALLEST_SHARE, LARGEST_SHARE = 0.005, 0.3
NOWHERE, EVERYWHERE = 0.0005, 0.9


@dataclass(frozen=True, eq=False)
class Judgement:
    """Which tiles of positive images show one class, and how much of them it covers.

    Parameters
    ----------
    positive
        (n,) bool.
    share
        (n,) of each tile's pixels: what `losses.claim` may ask for from now on.
    """

    positive: Tensor
    share: Tensor


def rescore(
    model: AutoEncoder,
    tiles: TileDataset,
    held_out: TileDataset,
    place: int,
    preset: Preset,
    rng: torch.Generator,
) -> Judgement | None:
    """Judge every tile of one class's positive images (multiple-instance learning).

    A tile is positive if more than 1 % of it may be stained, is rather C than not, and scores
    above the 99.8 % quantile of negative tiles, half of them held out; METHOD, section 4. So is the
    surest quarter of the tiles of each image, whatever it scores: a positive image shows the
    pattern somewhere, and what is learned is to be in all of them, not in a few.

    Returns
    -------
    The judgement; None if it would leave too few tiles to go on with.
    """
    reference = np.concatenate(
        [
            predict_logits([model], one, _drawn(one.negative[:, place], rng), place, preset.post, 1)
            for one in (tiles, held_out)
        ]
    )
    limit = max(0.0, float(np.quantile(reference, 1.0 - RESCORE_NEGATIVES)))
    members = torch.nonzero(tiles.positive[:, place]).flatten()
    found_scores = interior_only(
        predict_logits([model], tiles, members, place, preset.post, 1), tiles, members
    )
    area = torch.from_numpy(found_scores > limit).float().mean((1, 2))
    found = (area > RESCORE_AREA) | tiles.fixed[members, place]
    found |= _surest_of_each(_surest(found_scores).mean(1), tiles.image[members])
    log.info(
        "train: %s: %d of %d tiles of positive images score above %.2f on more than %g of their "
        "area",
        tiles.classes[place].name,
        int(found.sum()),
        len(found),
        limit,
        RESCORE_AREA,
    )
    if int(found.sum()) < MIN_POSITIVE_TILES:
        return None
    share, positive = torch.zeros(len(tiles)), torch.zeros(len(tiles), dtype=torch.bool)
    share[members] = area.clamp(SMALLEST_SHARE, LARGEST_SHARE)
    positive[members] = found
    return Judgement(positive, share)


def unease(
    model: AutoEncoder,
    tiles: TileDataset,
    held_out: TileDataset,
    positive: Tensor,
    preset: Preset,
    rng: torch.Generator,
) -> float:
    """Return how unsure a model is of labels, by what each tile shows most surely; no mask is read.

    The cross entropy of the surest 1 % of a tile's pixels, for positive tiles of the training
    split and for held-out negative ones, summed over both and averaged over the classes.

    Parameters
    ----------
    model
        In evaluation mode.
    tiles, held_out
        Of the training split, and negative ones that are not.
    positive
        (n, k) bool: the tiles that count as positive.
    preset
        How scores become masks.
    rng
        Chooses 100 tiles of each.
    """
    total = 0.0
    for place in range(len(tiles.classes)):
        for sign, one, members in (
            (-1.0, tiles, positive[:, place]),
            (1.0, held_out, held_out.negative[:, place]),
        ):
            found = predict_logits([model], one, _drawn(members, rng), place, preset.post, 1)
            cost = torch.nn.functional.softplus(sign * _surest(found))
            total += float(cost.clamp_max(SURE).mean())
    return total / len(tiles.classes)


def _surest(found: NDArray[np.float32]) -> Tensor:
    """Return the scores of the surest 1 % of each tile's pixels: (n, pixels) of (n, y, x)."""
    pixels = torch.from_numpy(found).flatten(1)
    return pixels.topk(max(1, round(RESCORE_AREA * pixels.shape[1]))).values


def _surest_of_each(score: Tensor, image: Tensor) -> Tensor:
    """Return which tiles (n,) bool are among the surest quarter of their image's."""
    chosen = torch.zeros(len(score), dtype=torch.bool)
    for number in np.unique(image.numpy()):
        own = torch.nonzero(image == int(number)).flatten()
        best = score[own].topk(max(1, round(SHOWN_SOMEWHERE * len(own)))).indices
        chosen[own[best]] = True
    return chosen


def _drawn(negative: Tensor, rng: torch.Generator) -> Tensor:
    members = torch.nonzero(negative).flatten()
    return members[torch.randperm(len(members), generator=rng)[:REFERENCE_TILES]]


def collapses(model: AutoEncoder, tiles: TileDataset, positive: Tensor) -> dict[str, str]:
    """Return of each class, by name, whether positive tiles use its C_k nowhere, or everywhere.

    A sentence if so, else nothing. `positive` is (n, k) bool.
    """
    found = {target_class.name: "" for target_class in tiles.classes}
    for place, name in enumerate(found):
        members = torch.nonzero(positive[:, place]).flatten()
        drawn = members[:: max(1, len(members) // REFERENCE_TILES)]
        used = float((tile_logits([model], tiles.pixels[drawn, :3], 1, place) > 0).float().mean())
        if NOWHERE < used < EVERYWHERE:
            continue
        where = "nowhere" if used <= NOWHERE else "everywhere"
        found[name] = (
            f"The class codebook C is used {where} on positive tiles{tiles.of_class(place)} "
            f"({used:.2%} of their pixels), so the model has not learned the pattern; train for "
            "more steps (train.max_steps), with another seed, or with more antibodies of each label"
        )
    return found


def refuse(collapsed: Sequence[dict[str, str]]) -> None:
    """Raise if no model knows a class: one that does is enough.

    Parameters
    ----------
    collapsed
        What `collapses` says of each model, which need not have been taught all classes.

    Raises
    ------
    TrainingError
        Of some class, all codebooks have collapsed; masks would be empty or full.
    """
    for name in dict.fromkeys(itertools.chain(*collapsed)):
        said = [one[name] for one in collapsed if name in one]
        if all(said):
            raise TrainingError(said[0])
