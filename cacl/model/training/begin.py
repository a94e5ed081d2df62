"""What a training run begins with: new networks, their optimisers, and the state they are in."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from torch import nn

from cacl.model.config import OptimConfig, Preset
from cacl.model.data.dataset import TileDataset
from cacl.model.device import prepare_for_device
from cacl.model.networks.autoencoder import AutoEncoder
from cacl.model.networks.critic import Critic, ImagePool
from cacl.model.training.state import State

RAMP_STEPS = 20
AVERAGE_RAMP = 10


@dataclass(frozen=True, eq=False)
class Beginning:
    """The parts of a run that change as it goes on.

    Parameters
    ----------
    network, optimiser
        What is trained.
    average
        The moving average of the network, which is delivered; itself, where there is none.
    critic, critic_optimiser
        None where the preset has no critic.
    pools
        Past fakes, negative and positive.
    state
        All of it, to be saved and resumed.
    """

    network: AutoEncoder
    average: AutoEncoder
    optimiser: torch.optim.Adam
    critic: Critic | None
    critic_optimiser: torch.optim.Adam | None
    pools: tuple[ImagePool, ImagePool]
    state: State


def begin(preset: Preset, tiles: TileDataset, fabric: Fabric, seed: int) -> Beginning:
    """Make everything anew, the same for the same seed in every process."""
    torch.manual_seed(seed)
    network = prepare_for_device(AutoEncoder(preset.network), fabric.device)
    average = network
    if preset.optim.ema_decay is not None:
        average = prepare_for_device(AutoEncoder(preset.network), fabric.device)
        average.load_state_dict(network.state_dict())
    critic = Critic().to(fabric.device) if preset.critic else None
    optimiser = torch.optim.Adam(network.parameters(), lr=preset.optim.learning_rate)
    pool_size = preset.critic.pool_size if preset.critic else 0
    pools = (ImagePool(pool_size), ImagePool(pool_size))
    modules: dict[str, nn.Module] = {"network": network}
    if preset.optim.ema_decay is not None:
        modules["average"] = average
    state = State(
        modules=modules,
        optimisers={"optimiser": optimiser},
        pools=dict(zip(("fake_negative", "fake_positive"), pools, strict=True)),
        rng=torch.Generator().manual_seed(seed),
        positive=tiles.positive & (tiles.shown if preset.distill else tiles.kept[:, None]),
        share=torch.full(
            tiles.positive.shape, preset.mil.positive_fraction.start if preset.mil else 0.0
        ),
        judged=torch.zeros(len(tiles.classes), dtype=torch.bool),
    )
    critic_optimiser = None
    if preset.critic is not None and critic is not None:
        critic_optimiser = torch.optim.Adam(critic.parameters(), lr=preset.critic.learning_rate)
        state.modules |= {"critic": critic}
        state.optimisers |= {"critic_optimiser": critic_optimiser}
    return Beginning(network, average, optimiser, critic, critic_optimiser, pools, state)


def learning_rate(optim: OptimConfig, step: int, steps: int) -> float:
    """Return the learning rate of a step: a short ramp, then a cosine to 0, if it is asked for."""
    if not optim.cosine:
        return optim.learning_rate
    ramp = min(1.0, (step + 1) / RAMP_STEPS)
    return optim.learning_rate * ramp * 0.5 * (1.0 + math.cos(math.pi * step / steps))


@torch.no_grad()
def move_average(average: AutoEncoder, network: AutoEncoder, decay: float, step: int) -> None:
    """Move every weight and statistic of `average` towards that of `network`.

    The first steps move it faster: the average does not remember where it began.
    """
    part = 1.0 - min(decay, step / (step + AVERAGE_RAMP))
    ours = average.state_dict()
    for name, value in network.state_dict().items():
        if value.dtype.is_floating_point:
            ours[name].lerp_(value, part)
        else:
            ours[name].copy_(value)
