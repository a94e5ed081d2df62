"""Data-parallel processes of a training, one per device.

Each process samples its own tiles. Gradients, batch statistics and codebook updates are reduced
over all of them; random and data-dependent decisions are those of rank 0, so all processes hold
the same model. With one device there is one process, and nothing is communicated.

DDP (`Fabric.setup_module`) does not replace `World.all_reduce_mean`: it averages gradients but not
batch statistics, and it needs a loss module with a single `forward`. Tensors are reduced by
`torch.distributed`, because `Fabric.all_reduce` adds a barrier to each message and
`Fabric.broadcast` pickles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor, distributed, nn

from cacl.runtime.malloc import tune_malloc
from cacl.runtime.signals import catch_sigterm

BATCH_STATISTICS = ("running_mean", "running_var")
Result = TypeVar("Result")


@dataclass(frozen=True)
class World:
    """The processes of a training, from the point of view of one of them.

    Parameters
    ----------
    fabric
        Launched.
    """

    fabric: Fabric

    @property
    def size(self) -> int:
        """Number of processes."""
        return self.fabric.world_size

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which decides and writes."""
        return self.fabric.is_global_zero

    def all_agree(self, vote: bool) -> bool:
        """Return whether the vote of every process is True."""
        return self.fabric.strategy.reduce_boolean_decision(vote)

    def all_reduce_sum(self, values: Tensor) -> Tensor:
        """Sum a tensor over all processes, in place."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def all_reduce_mean(self, module: nn.Module) -> None:
        """Average gradients and batch statistics over all processes, in one message."""
        if self.size == 1:
            return
        tensors = [weight.grad for weight in module.parameters() if weight.grad is not None]
        tensors += [
            buffer
            for name, buffer in module.named_buffers()
            if name.rpartition(".")[2] in BATCH_STATISTICS
        ]
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        mean = self.all_reduce_sum(flat) / self.size
        sizes = [tensor.numel() for tensor in tensors]
        for tensor, values in zip(tensors, torch.split(mean, sizes), strict=True):
            tensor.copy_(values.view_as(tensor))

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Copy the tensors of rank 0 to all processes, in place."""
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
    """Call `function(world, stop_requested, *arguments)` in one process per device.

    Parameters
    ----------
    fabric
        Its devices.
    threads
        CPU threads per process.
    function
        Of a module, so that another process can import it. SIGTERM sets the flag
        `stop_requested`.
    arguments
        Pickled if there are several devices; tensors are in shared memory, not copied.

    Returns
    -------
    The result of rank 0; pickled if there are several devices.
    """
    with catch_sigterm():
        result: Result = fabric.launch(
            partial(_run, threads=threads, function=function, arguments=arguments)
        )
    return result


def _run(
    fabric: Fabric, threads: int, function: Callable[..., Any], arguments: tuple[object, ...]
) -> Any:
    torch.set_num_threads(threads)
    tune_malloc()
    with catch_sigterm() as stop_requested:
        return function(World(fabric), stop_requested, *arguments)
