"""Draw a batch of tiles and augment it on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from cacl.model.data import STAINED, TileSet
from cacl.model.inputs import restained, turned
from cacl.model.objective import Batch
from cacl.model.preset import Preset
from cacl.model.state import State


def draw(tiles: TileSet, state: State, preset: Preset, device: torch.device) -> Batch:
    """Return a batch, half of it positive; a batch of one is positive every other time by chance.

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
    rgb, marks, other = tile[:, :3], tile[:, 3], None
    if preset.mix:
        added = turned(tiles.pixels[_some(negative, len(chosen), rng)].to(device), rng)
        other, marks = added[:, :3], marks | added[:, 3]
    return Batch(
        rgb=restained(rgb, other, preset.jitter, rng),
        stained=(marks & STAINED) > 0,
        positive=tiles.positive[chosen].to(device),
    )


def _some(members: Tensor, number: int, rng: torch.Generator) -> Tensor:
    return members[torch.randint(len(members), (number,), generator=rng)]
