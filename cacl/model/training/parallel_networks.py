"""Networks in parallel: each is trained by one thread, several at a time in processes.

Networks that learn from labels of images alone do not need each other. A process of one thread
waits for no other thread, so it does more steps per core than a process of several threads, and on
a machine that other work keeps busy it slows down in proportion. A network does not depend on how
many are trained at a time. `benchmarks/speed/parallel_networks.py` measures it.

A process hands its network over as the saved run of `train_stage`, which also makes a stopped
training resume.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky import get_reusable_executor
from numpy.typing import NDArray
from torch import Tensor

from cacl.errors import ResourceError
from cacl.model.data.dataset import TileDataset
from cacl.model.device import make_fabric
from cacl.model.training.loop import Stage, train_stage
from cacl.runtime.distributed import World
from cacl.runtime.malloc import tune_malloc
from cacl.runtime.memory import describe_memory, memory_limit
from cacl.runtime.printable import log_to_stderr
from cacl.runtime.signals import StopFlag, catch_sigterm

log = logging.getLogger(__name__)
BASE_BYTES, PIXEL_BYTES = 600_000_000, 2_000
"""Memory of a process, and for each pixel of a batch; all processes map the tiles from one file."""
MIN_STEPS = 50
SECONDS_BETWEEN_LOOKS = 1.0
MAPPED_BYTES = "1M"
"""Larger arrays are mapped and not copied."""


def train_in_parallel(stages: Sequence[Stage], folder: Path, stop_requested: StopFlag) -> bool:
    """Train networks by one thread each until the saved run of each is at its last step.

    As many are trained at a time as PyTorch has threads and as fit into the memory. A training of
    few steps ends before further processes have started, so it takes place in this one.

    Parameters
    ----------
    stages
        On a CPU; they start from random weights and have no deadline.
    folder
        Gets temporary files: the tiles, and the steps that are done.
    stop_requested
        Set by SIGTERM, which `catch_sigterm` forwards to the processes.

    Returns
    -------
    Whether all reached their end.

    Raises
    ------
    TrainingError, CheckpointError
        See `train_stage`.
    ResourceError
        A process was killed.
    """
    batch_px = stages[0].preset.optim.batch_size * stages[0].tiles.pixels[0, 0].numel()
    fit = memory_limit().free_bytes // (BASE_BYTES + PIXEL_BYTES * batch_px)
    processes = min(len(stages), torch.get_num_threads(), fit)
    if processes > 1 and sum(stage.steps for stage in stages) >= MIN_STEPS:
        return _train_in_processes(stages, processes, folder, stop_requested)
    with _one_thread():
        world = World(make_fabric(1))
        return all(train_stage(stage, world, stop_requested) is not None for stage in stages)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _train_in_processes(
    stages: Sequence[Stage], processes: int, folder: Path, stop_requested: StopFlag
) -> bool:
    shared = np.memmap(folder / "steps", np.int64, "w+", shape=(len(stages) + 1,))
    shared[-1] = stop_requested.is_set()
    level = logging.getLogger().getEffectiveLevel() if logging.getLogger().hasHandlers() else None
    arrays = _Arrays()
    jobs = [
        delayed(_train)(
            vars(stage) | {name: arrays.of(getattr(stage, name)) for name in ("tiles", "held_out")},
            _Joint(shared, index, stages[0].count_done(0)),
            os.getpid(),
            level,
        )
        for index, stage in enumerate(stages)
    ]
    try:
        with parallel_config("loky", inner_max_num_threads=1, temp_folder=str(folder)):
            run = Parallel(processes, mmap_mode="c", max_nbytes=MAPPED_BYTES, batch_size=1)
            return all(run(jobs))
    except BrokenProcessPool as error:
        if stop_requested.is_set():
            return False
        raise ResourceError(
            f"train: one of {processes} processes was killed, most often because memory is short "
            f"({describe_memory()}); give the job more memory (on Slurm: mem_mb of the profile) or "
            "fewer threads (--threads), then run the same command again: it continues where it "
            "stopped"
        ) from error
    finally:
        get_reusable_executor().shutdown(wait=True, kill_workers=True)


@dataclass(frozen=True, eq=False)
class _Joint:
    """What the processes know of each other.

    Parameters
    ----------
    shared
        Steps that each network has done, then a number that is not 0 once a process was stopped;
        mapped from a file.
    index
        Index of the network.
    steps_before
        Steps of earlier networks.
    """

    shared: NDArray[np.int64]
    index: int
    steps_before: int

    def count_done(self, step: int) -> int:
        """Return the steps of all networks that are done."""
        self.shared[self.index] = step
        return self.steps_before + int(self.shared[:-1].sum())

    def stop(self) -> None:
        """Let all processes stop."""
        self.shared[-1] = 1

    def must_stop(self) -> bool:
        """Return whether a process was stopped."""
        return bool(self.shared[-1])


class _JointStopFlag(StopFlag):
    """The flag of this process, or of any other."""

    def __init__(self, own: StopFlag, joint: _Joint) -> None:
        super().__init__()
        self._own, self._joint = own, joint

    def is_set(self) -> bool:
        """Return whether this process or another was asked to stop."""
        if self._own.is_set():
            self._joint.stop()
        return self._joint.must_stop()


class _Arrays:
    """Datasets as arrays; datasets that share a tensor share its array, which is mapped once."""

    def __init__(self) -> None:
        self._by_tensor: dict[int, NDArray[Any]] = {}

    def of(self, tiles: TileDataset) -> dict[str, Any]:
        return {
            name: self._by_tensor.setdefault(id(value), value.numpy())
            if isinstance(value, Tensor)
            else value
            for name, value in vars(tiles).items()
        }


def _as_tiles(arrays: dict[str, Any]) -> TileDataset:
    values: dict[str, Any] = {
        name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        for name, value in arrays.items()
    }
    return TileDataset(**values)


def _train(stage: dict[str, Any], joint: _Joint, parent: int, level: int | None) -> bool:
    """Train one network in a process of its own; return whether it reached its end."""
    _end_with(parent)
    if level is not None:
        log_to_stderr(level)
    torch.set_num_threads(1)
    tune_malloc()
    with catch_sigterm() as stop_requested:
        here = Stage(
            **{
                **stage,
                "tiles": _as_tiles(stage["tiles"]),
                "held_out": _as_tiles(stage["held_out"]),
                "count_done": joint.count_done,
            }
        )
        flag = _JointStopFlag(stop_requested, joint)
        return train_stage(here, World(make_fabric(1)), flag) is not None


@functools.cache
def _end_with(parent: int) -> None:
    """Let this process end once its parent has ended; the pool would wait for more work."""
    if os.getpid() == parent:  # where the system has no semaphores, joblib starts no process
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
