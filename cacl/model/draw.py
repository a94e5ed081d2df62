"""Draw a batch of tiles and augment it on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from cacl.model.data import CELL, STAINED, TileSet
from cacl.model.inputs import restained, turned
from cacl.model.objective import Batch
from cacl.model.preset import Preset
from cacl.model.state import State

MOSAIC_PX = 32


def draw(tiles: TileSet, state: State, preset: Preset, device: torch.device) -> Batch:
    """Return a batch, half of it positive; a batch of one is positive every other time by chance.

    Parts of positive tiles are replaced by parts of negative ones (CutMix, Yun et al. 2019), of
    which the truth is known: so the network cannot learn that what else is stained beside the
    pattern belongs to it.

    Parameters
    ----------
    tiles
        The training set.
    state
        Which tiles count as positive, and the source of chance.
    preset
        Size of the batch, strength of the jitter.
    device
        Where the batch goes.
    """
    rng = state.rng
    extra = int(torch.randint(2, (1,), generator=rng)) if preset.batch % 2 else 0
    of_positive = preset.batch // 2 + extra
    negative = torch.nonzero(~tiles.positive).flatten()
    chosen = torch.cat(
        [
            _some(state.positive, of_positive, rng),
            _some(negative, preset.batch - of_positive, rng),
        ]
    )
    tile = turned(tiles.pixels[chosen].to(device), rng)
    positive = tiles.positive[chosen].to(device)
    pasted = torch.zeros_like(tile[:, 0], dtype=torch.bool)
    if preset.mosaic:
        other = turned(tiles.pixels[_some(negative, len(chosen), rng)].to(device), rng)
        pasted = _cells(tile, preset.mosaic, rng) & positive[:, None, None]
        tile = torch.where(pasted[:, None], other, tile)
    return Batch(
        rgb=restained(tile[:, :3], preset.jitter, rng),
        candidate=((tile[:, 3] & STAINED) > 0) & ((tile[:, 3] & CELL) > 0),
        pasted=pasted,
        positive=positive,
        share=state.share[chosen].to(device),
    )


def _cells(tile: Tensor, part: float, rng: torch.Generator) -> Tensor:
    """Choose squares of 32 px, each with a chance of `part`: (b, y, x) bool."""
    _, _, height, width = tile.shape
    grid = (len(tile), -(-height // MOSAIC_PX), -(-width // MOSAIC_PX))
    cells = (torch.rand(grid, generator=rng) < part).to(tile.device)
    whole = cells.repeat_interleave(MOSAIC_PX, 1).repeat_interleave(MOSAIC_PX, 2)
    return whole[:, :height, :width]


def _some(members: Tensor, number: int, rng: torch.Generator) -> Tensor:
    return members[torch.randint(len(members), (number,), generator=rng)]
