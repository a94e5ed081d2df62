"""Everything that a training run is, as tensors: so that a stopped run goes on bit for bit."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cacl.errors import CheckpointError
from cacl.model.checkpoint import load_checked, read_tensors, write_tensors
from cacl.model.networks.critic import ImagePool
from cacl.model.training.judge import Judgement

log = logging.getLogger(__name__)


@dataclass(eq=False)
class State:
    """A training run between two steps.

    Parameters
    ----------
    modules, optimisers, pools
        By name.
    rng
        The one source of chance.
    positive
        (n, k) bool: the tiles that count as positive in each class.
    share
        (n, k) for each tile and class, see `losses.claim`.
    judged
        (k,) bool: whether `judge.rescore` chose a class's positive tiles and their shares.
    step
        Steps done.
    best, worse
        The lowest `judge.unease` so far, and how many times in a row it was higher since.
    history
        Rows of `training.csv` so far.
    recent
        Losses of the steps since its last row.
    """

    modules: dict[str, nn.Module]
    optimisers: dict[str, torch.optim.Adam]
    pools: Mapping[str, ImagePool]
    rng: torch.Generator
    positive: Tensor
    share: Tensor
    judged: Tensor
    step: int = 0
    best: float = math.inf
    worse: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    recent: list[dict[str, float]] = field(default_factory=list)

    def take(self, place: int, judgement: Judgement | None) -> None:
        """Let a judgement, if there is one, decide from now on which tiles show a class."""
        if judgement is not None:
            self.positive[:, place] = judgement.positive
            self.share[:, place] = judgement.share
            self.judged[place] = True

    def note(self, unease: float) -> None:
        """Take in how unsure the model is."""
        self.worse = 0 if unease < self.best else self.worse + 1
        self.best = min(self.best, unease)

    def save(self, path: Path, fingerprint: str) -> None:
        """Write the run; `fingerprint` says which run it is."""
        tensors = {"rng": self.rng.get_state(), "positive": self.positive, "share": self.share}
        tensors["judged"] = self.judged
        for name, module in self.modules.items():
            tensors |= _prefixed(name, module.state_dict())
        for name, optimiser in self.optimisers.items():
            for number, moments in optimiser.state_dict()["state"].items():
                tensors |= _prefixed(f"{name}.{number}", moments)
        for name, pool in self.pools.items():
            if pool.images:
                tensors[name] = torch.stack(pool.images)
        facts = {"step": self.step, "history": self.history, "recent": self.recent}
        facts |= {"best": self.best, "worse": self.worse}
        metadata = {"fingerprint": fingerprint, "facts": json.dumps(facts)}
        write_tensors(path, tensors, metadata)

    def resume(self, path: Path, fingerprint: str) -> None:
        """Become the run that `path` holds, if it is there and of the same fingerprint.

        Raises
        ------
        CheckpointError
            The file is damaged, or a pickle.
        """
        if not path.exists():
            return
        tensors, metadata = read_tensors(path)
        if metadata.get("fingerprint") != fingerprint:
            log.warning("train: %s is of another run; starting from nothing", path)
            return
        try:
            self._take(tensors, json.loads(metadata["facts"]), path)
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise CheckpointError(
                f"{path} is damaged ({error}); delete it, and training starts from nothing"
            ) from error
        log.info("train: going on at step %d", self.step)

    def _take(self, tensors: dict[str, Tensor], facts: dict[str, Any], path: Path) -> None:
        for name, module in self.modules.items():
            load_checked(module, _below(name, tensors), path)
        for name, optimiser in self.optimisers.items():
            whole = optimiser.state_dict()
            whole["state"] = {}
            for key, tensor in _below(name, tensors).items():
                number, part = key.split(".", 1)
                whole["state"].setdefault(int(number), {})[part] = tensor
            optimiser.load_state_dict(whole)
        for name, pool in self.pools.items():
            if name in tensors:
                pool.images = list(tensors[name].unbind(0))
        self.rng.set_state(tensors["rng"])
        self.positive = tensors["positive"]
        self.share, self.judged = tensors["share"], tensors["judged"]
        self.step = int(facts["step"])
        self.best, self.worse = float(facts["best"]), int(facts["worse"])
        self.history, self.recent = list(facts["history"]), list(facts["recent"])


def _prefixed(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{name}.{key}": tensor for key, tensor in tensors.items()}


def _below(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{name}."
    return {key[len(start) :]: value for key, value in tensors.items() if key.startswith(start)}
