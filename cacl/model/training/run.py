"""A training run: networks, optimisers and progress, saved so that it resumes bit for bit."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from lightning_fabric import Fabric
from pydantic import BaseModel, NonNegativeInt
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from cacl.errors import CheckpointError
from cacl.model.checkpoint import check_tensors, load_checked, read_tensors, write_tensors
from cacl.model.config import OptimConfig, Preset
from cacl.model.data.batches import InstanceLabels
from cacl.model.data.dataset import TileDataset
from cacl.model.device import prepare_for_device
from cacl.model.networks.autoencoder import AutoEncoder
from cacl.model.networks.critic import Critic, ImagePool
from cacl.runtime.digest import digest_of
from cacl.runtime.json_text import parse_json
from cacl.runtime.resources import raise_if_short

log = logging.getLogger(__name__)
LR_WARMUP_STEPS = 20
EMA_WARMUP_STEPS = 10
Tensors = tuple[Tensor, ...] | list[Tensor]


class Progress(BaseModel, strict=True):
    """Progress of a run as its file holds it; see `TrainingRun`."""

    step: NonNegativeInt
    best_loss: float
    bad_checks: NonNegativeInt
    history: list[dict[str, int | float]]
    recent: list[dict[str, int | float]]
    speed: list[list[int | float]]


@dataclass(eq=False)
class TrainingRun:
    """A training run between two steps.

    Parameters
    ----------
    network, optimiser
        The network that is trained.
    ema_model
        The EMA of its weights; None if the preset has none.
    critic, critic_optimiser
        None if the preset has no critic.
    pools
        Past reconstructions of a negative and of a positive label.
    rng
        The only random generator, on the CPU.
    labels
        Tiles that count as positive in each class.
    step
        Steps done.
    best_loss, bad_checks
        The lowest validation loss, and the number of checks since then.
    history
        Rows of `training.csv`.
    recent
        Losses of the steps after the last row.
    speed
        Step and tiles per second of each row.
    """

    network: AutoEncoder
    optimiser: torch.optim.Adam
    ema_model: AveragedModel | None
    critic: Critic | None
    critic_optimiser: torch.optim.Adam | None
    pools: tuple[ImagePool, ImagePool]
    rng: torch.Generator
    labels: InstanceLabels
    step: int = 0
    best_loss: float = math.inf
    bad_checks: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    recent: list[dict[str, float]] = field(default_factory=list)
    speed: list[list[float]] = field(default_factory=list)

    @classmethod
    def create(
        cls,
        preset: Preset,
        tiles: TileDataset,
        fabric: Fabric,
        seed: int,
        start: AutoEncoder | None = None,
    ) -> TrainingRun:
        """Return a new run; equal seeds give equal runs in every process.

        Its weights and codes are those of `start`, if there is one.
        """
        torch.manual_seed(seed)
        network = AutoEncoder(preset.network)
        if start is not None:
            network.load_state_dict(start.state_dict())
        prepare_for_device(network, fabric.device)
        ema_model = None
        if preset.optim.ema_decay is not None:
            start = AutoEncoder(preset.network)
            start.load_state_dict(network.state_dict())
            update = ema_update(preset.optim.ema_decay)
            ema_model = AveragedModel(start, multi_avg_fn=update, use_buffers=True)
            prepare_for_device(cast("AutoEncoder", ema_model.module), fabric.device)
        critic = critic_optimiser = None
        if preset.critic is not None:
            critic = Critic().to(fabric.device)
            critic_optimiser = torch.optim.Adam(critic.parameters(), preset.critic.learning_rate)
        pool_size = preset.critic.pool_size if preset.critic else 0
        instances = tiles.has_positive_pixels if preset.distill else tiles.selected[:, None]
        fraction = preset.mil.positive_fraction.start if preset.mil else 0.0
        return cls(
            network=network,
            optimiser=torch.optim.Adam(network.parameters(), preset.optim.learning_rate),
            ema_model=ema_model,
            critic=critic,
            critic_optimiser=critic_optimiser,
            pools=(ImagePool(pool_size), ImagePool(pool_size)),
            rng=torch.Generator().manual_seed(seed),
            labels=InstanceLabels(
                positive=tiles.positive & instances,
                positive_fraction=torch.full(tiles.positive.shape, fraction),
                relabelled=torch.zeros(len(tiles.classes), dtype=torch.bool),
            ),
        )

    @property
    def final_network(self) -> AutoEncoder:
        """The network that the training returns: the EMA, if there is one."""
        if self.ema_model is None:
            return self.network
        return cast("AutoEncoder", self.ema_model.module)

    def rank_rng(self, fabric: Fabric, seed: int) -> torch.Generator:
        """Return the generator for the tiles of this process.

        With several processes it depends on seed, step and rank alone, so that a stopped run
        resumes bit for bit.
        """
        if fabric.world_size == 1:
            return self.rng
        digest = digest_of("draw", seed, self.step, fabric.global_rank)
        return torch.Generator().manual_seed(int(digest[:15], 16))

    def update_patience(self, validation_loss: float) -> None:
        """Count a check of the validation loss."""
        self.bad_checks = 0 if validation_loss < self.best_loss else self.bad_checks + 1
        self.best_loss = min(self.best_loss, validation_loss)

    def _modules(self) -> dict[str, nn.Module]:
        modules: dict[str, nn.Module | None] = {"network": self.network}
        modules |= {"ema_model": self.ema_model, "critic": self.critic}
        return {name: module for name, module in modules.items() if module is not None}

    def _optimisers(self) -> dict[str, torch.optim.Adam]:
        optimisers = {"optimiser": self.optimiser, "critic_optimiser": self.critic_optimiser}
        return {name: one for name, one in optimisers.items() if one is not None}

    def _pools(self) -> dict[str, ImagePool]:
        return dict(zip(("fake_negative", "fake_positive"), self.pools, strict=True))

    def save(self, path: Path, fingerprint: str) -> None:
        """Write the run atomically; `fingerprint` identifies it."""
        tensors = {"rng": self.rng.get_state()}
        tensors |= _prefixed("labels", vars(self.labels))
        for name, module in self._modules().items():
            tensors |= _prefixed(name, module.state_dict())
        for name, optimiser in self._optimisers().items():
            for number, moments in optimiser.state_dict()["state"].items():
                tensors |= _prefixed(f"{name}.{number}", moments)
        for name, pool in self._pools().items():
            if pool.images:
                tensors[name] = torch.stack(pool.images)
        progress = {name: getattr(self, name) for name in Progress.model_fields}
        metadata = {"fingerprint": fingerprint, "progress": json.dumps(progress)}
        write_tensors(path, tensors, metadata)

    def resume(self, path: Path, fingerprint: str) -> None:
        """Load the run that `path` holds, if there is one of the same fingerprint.

        A damaged file is not used: the training starts from step 0, and gives the same result.

        Raises
        ------
        CheckpointError
            The file has the fingerprint, but holds no state of such a run.
        """
        if not path.exists():
            return
        try:
            tensors, metadata = read_tensors(path)
        except CheckpointError as error:
            raise_if_short(error, f"train: {path}")
            log.warning("train: %s; training starts from step 0", error)
            return
        if metadata.get("fingerprint") != fingerprint:
            log.warning("train: %s is of another run; training starts from step 0", path)
            return
        try:
            self._load(tensors, Progress.model_validate(parse_json(metadata["progress"])), path)
        except (CheckpointError, KeyError, ValueError, TypeError, RuntimeError) as error:
            raise CheckpointError(
                f"{path} holds no state of this training; delete it and run `cacl train` again: "
                f"training starts from step 0 ({error})"
            ) from error

    def _load(self, tensors: dict[str, Tensor], progress: Progress, path: Path) -> None:
        labels = _without_prefix("labels", tensors)
        check_tensors(labels, vars(self.labels), path)
        for name, module in self._modules().items():
            load_checked(module, _without_prefix(name, tensors), path)
        for name, optimiser in self._optimisers().items():
            _load_moments(optimiser, _without_prefix(name, tensors), path)
        for name, pool in self._pools().items():
            if name in tensors:
                pool.images = list(tensors[name].unbind(0))
        self.rng.set_state(tensors["rng"])
        self.labels = InstanceLabels(**labels)
        for name in Progress.model_fields:
            setattr(self, name, getattr(progress, name))


def _load_moments(optimiser: torch.optim.Adam, tensors: dict[str, Tensor], path: Path) -> None:
    """Load the moments of Adam, by `<number of the parameter>.<name of the moment>`."""
    parameters = optimiser.param_groups[0]["params"]
    state = optimiser.state_dict()
    state["state"] = {}
    for number, parameter in enumerate(parameters):
        moments = _without_prefix(str(number), tensors)
        if moments:
            like = {"step": torch.zeros(()), "exp_avg": parameter, "exp_avg_sq": parameter}
            check_tensors(moments, like, path)
            state["state"][number] = moments
    optimiser.load_state_dict(state)


def learning_rate(optim: OptimConfig, step: int, steps: int) -> float:
    """Return the learning rate of a step: constant, or a linear warm-up with cosine decay to 0."""
    if not optim.cosine:
        return optim.learning_rate
    warmup = min(1.0, (step + 1) / LR_WARMUP_STEPS)
    return optim.learning_rate * warmup * 0.5 * (1.0 + math.cos(math.pi * step / steps))


def ema_update(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """Return the update of `AveragedModel` with a decay that rises to `decay`.

    After n updates the decay is at most n / (n + 10), so that the EMA forgets its initial weights.
    """

    @torch.no_grad()
    def update(averaged: Tensors, current: Tensors, n_averaged: Tensor | int) -> None:
        n = int(n_averaged)
        weight = 1.0 - min(decay, n / (n + EMA_WARMUP_STEPS))
        for mean, value in zip(averaged, current, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, weight)
            else:
                mean.copy_(value)

    return update


def _prefixed(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{name}.{key}": tensor for key, tensor in tensors.items()}


def _without_prefix(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{name}."
    return {key[len(start) :]: value for key, value in tensors.items() if key.startswith(start)}
