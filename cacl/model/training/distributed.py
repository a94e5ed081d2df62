"""What the processes of a training run, one a device, tell each other.

Each draws its own tiles. Gradients, batch statistics and what the codes follow are taken over all
of them, and what is left to chance or to a judgement the first one decides, so that all hold the
same model. A run on one device is a team of one, which tells nobody anything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor, distributed, nn

from cacl.model.training.state import State
from cacl.model.training.stop import asked_to_stop
from cacl.runtime.digest import digest_of
from cacl.runtime.malloc import tune_malloc

STATISTICS = ("running_mean", "running_var")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Team:
    """The processes of a run.

    Parameters
    ----------
    fabric
        Launched.
    """

    fabric: Fabric

    @property
    def size(self) -> int:
        """How many processes there are."""
        return self.fabric.world_size

    @property
    def leads(self) -> bool:
        """Whether this is the one that decides and writes."""
        return self.fabric.global_rank == 0

    def own(self, state: State, seed: int) -> State:
        """Return the state with a chance of this process's own, to draw its tiles by.

        It follows from seed, step and process alone, so that a stopped run goes on alike.
        """
        if self.size == 1:
            return state
        mine = digest_of("draw", seed, state.step, self.fabric.global_rank)
        return dataclasses.replace(state, rng=torch.Generator().manual_seed(int(mine[:15], 16)))

    def agree(self, wish: bool) -> bool:
        """Return whether all of them wish it."""
        if self.size == 1:
            return wish
        votes = torch.tensor([float(wish)], device=self.fabric.device)
        return float(self.total(votes)) == self.size

    def total(self, values: Tensor) -> Tensor:
        """Add up over all processes, in place."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def average(self, module: nn.Module) -> None:
        """Average gradients and batch statistics over all processes, in one message."""
        if self.size == 1:
            return
        parts = [weight.grad for weight in module.parameters() if weight.grad is not None]
        parts += [
            values
            for name, values in module.named_buffers()
            if name.rpartition(".")[2] in STATISTICS
        ]
        mean = self.total(torch.cat([part.flatten() for part in parts])) / self.size
        sizes = [part.numel() for part in parts]
        for part, values in zip(parts, torch.split(mean, sizes), strict=True):
            part.copy_(values.view_as(part))

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Give all processes what the first one's tensors hold."""
        if self.size == 1:
            return
        for tensor in tensors:
            sent = tensor.detach().to(self.fabric.device)
            sent = sent.to(torch.uint8) if sent.dtype == torch.bool else sent.contiguous()
            distributed.broadcast(sent, src=0)
            tensor.copy_(sent)


def launch(
    fabric: Fabric, threads: int, function: Callable[..., Result], *arguments: object
) -> Result:
    """Call `function(team, asked, *arguments)` in a process for each device.

    Parameters
    ----------
    fabric
        Says how many.
    threads
        CPU threads of each.
    function
        Of a module, so that another process can import it. `asked` is an event that SIGTERM sets.
    arguments
        Must survive pickling where there are several devices; tensors are shared, not copied.

    Returns
    -------
    What it returns in the first process; of several, it has to be small.
    """
    with asked_to_stop():
        result: Result = fabric.launch(
            partial(_process, threads=threads, function=function, arguments=arguments)
        )
    return result


def _process(
    fabric: Fabric, threads: int, function: Callable[..., Any], arguments: tuple[object, ...]
) -> Any:
    torch.set_num_threads(threads)
    tune_malloc()
    with asked_to_stop() as asked:
        return function(Team(fabric), asked, *arguments)
