"""Draw a batch of tiles and augment it on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from cacl.model.config import AugmentConfig, Preset
from cacl.model.data.dataset import TileDataset, candidate_mask, on_rim
from cacl.model.networks.preprocess import jitter_stain, random_blur, random_dihedral
from cacl.model.training.objective import Batch
from cacl.model.training.state import State

MOSAIC_PX = 32


def draw(tiles: TileDataset, state: State, preset: Preset, device: torch.device) -> Batch:
    """Return a batch, half of it positive; a batch of one is positive every other time by chance.

    With several classes, each gets as many of the positive and of the negative places.

    Parts of positive tiles are replaced by parts of negative ones (CutMix, Yun et al. 2019), of
    which the truth is known: so the network cannot learn that what else is stained beside the
    pattern belongs to it.

    Parameters
    ----------
    tiles
        The training set; its pixels best on the device.
    state
        Which tiles count as positive, and the source of chance.
    preset
        Size of the batch, strength of jitter and blur.
    device
        Where the batch goes.
    """
    rng = state.rng
    size, augment = preset.optim.batch_size, preset.augment or AugmentConfig()
    extra = int(torch.randint(2, (1,), generator=rng)) if size % 2 else 0
    of_positive = size // 2 + extra
    chosen = torch.cat(
        [
            *_of_each(state.positive, of_positive, state),
            *_of_each(tiles.negative, size - of_positive, state),
        ]
    )
    tile = random_dihedral(tiles.pixels[chosen].to(device), rng)
    positive, negative = (part[chosen].to(device) for part in (tiles.positive, tiles.negative))
    pasted_negative = negative
    pasted = torch.zeros_like(tile[:, 0], dtype=torch.bool)
    if augment.cutmix is not None:
        others = _some(torch.nonzero(tiles.negative.any(1)).flatten(), len(chosen), rng)
        other = random_dihedral(tiles.pixels[others].to(device), rng)
        pasted_negative = tiles.negative[others].to(device)
        pasted = _cells(tile, augment.cutmix, rng) & positive.any(1)[:, None, None]
        tile = torch.where(pasted[:, None], other, tile)
    rgb = tile[:, :3].float()
    if augment.stain_jitter is not None:
        rgb = jitter_stain(rgb, augment.stain_jitter, rng)
    if augment.blur is not None:
        rgb = random_blur(rgb, augment.blur, rng)
    return Batch(
        rgb=rgb,
        candidate=torch.stack([candidate_mask(tile[:, 3], one) for one in tiles.classes], dim=1),
        rim=on_rim(tile[:, 3]),
        pasted=pasted,
        positive=positive,
        negative=negative,
        shown=state.positive[chosen].to(device),
        pasted_negative=pasted_negative,
        share=state.share[chosen].to(device),
        told=tile[:, 4:],
    )


def _cells(tile: Tensor, part: float, rng: torch.Generator) -> Tensor:
    """Choose squares of 32 px, each with a chance of `part`: (b, y, x) bool."""
    _, _, height, width = tile.shape
    grid = (len(tile), -(-height // MOSAIC_PX), -(-width // MOSAIC_PX))
    cells = (torch.rand(grid, generator=rng) < part).to(tile.device)
    whole = cells.repeat_interleave(MOSAIC_PX, 1).repeat_interleave(MOSAIC_PX, 2)
    return whole[:, :height, :width]


def _of_each(members: Tensor, number: int, state: State) -> list[Tensor]:
    """Draw `number` tiles, evenly of the classes of (n, k) members; who gets more takes turns."""
    classes = members.shape[1]
    each, more = divmod(number, classes)
    return [
        _some(
            torch.nonzero(members[:, place]).flatten(),
            each + ((place - state.step) % classes < more),
            state.rng,
        )
        for place in range(classes)
    ]


def _some(members: Tensor, number: int, rng: torch.Generator) -> Tensor:
    return members[torch.randint(len(members), (number,), generator=rng)]
