"""How much memory this process may use, and a budget that its images share."""

from __future__ import annotations

import functools
import os
import resource
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cacl.errors import ConfigError, ResourceError

MEMORY_VARIABLE = "CACL_MEMORY_GB"
CGROUP = Path("/sys/fs/cgroup")
PROC = Path("/proc")
KIB, MB, GB = 1024, 10**6, 10**9
UNLIMITED = 2**60
"""A limit of a cgroup of version 1 from which it is none."""


@dataclass(frozen=True)
class Limit:
    """How many more bytes this process may use, and what says so."""

    free_bytes: int
    origin: str


class MemoryBudget:
    """Memory that is divided among images: each takes what it needs, or waits until it is free.

    Parameters
    ----------
    limit
        The memory that all of them may use.
    """

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self._used = 0
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def take(self, need_bytes: int, subject: str) -> Iterator[None]:
        """Hold memory during the block; waiting images get it in the order in which they came.

        Parameters
        ----------
        need_bytes
            Memory that the image needs.
        subject
            Name of the image, for the message.

        Raises
        ------
        ResourceError
            The image needs more than the whole budget.
        """
        if need_bytes > self.limit.free_bytes:
            raise ResourceError(
                f"{subject} needs {need_bytes / GB:.2f} GB of memory, and this job may use "
                f"{self.limit.free_bytes / GB:.2f} GB more ({self.limit.origin}); give the job more"
                f" memory (on Slurm: mem_mb of the profile; here: {MEMORY_VARIABLE}), or leave the "
                "image out, then run the same command again: it continues where it stopped"
            )
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                self._changed.wait_for(lambda: self._may_start(ticket, need_bytes))
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
            self._used += need_bytes
        try:
            yield
        finally:
            with self._changed:
                self._used -= need_bytes
                self._changed.notify_all()

    def _may_start(self, ticket: object, need_bytes: int) -> bool:
        return self._waiting[0] is ticket and self._used + need_bytes <= self.limit.free_bytes


@functools.cache
def process_budget() -> MemoryBudget:
    """Return the budget of this process: the smallest of all limits when it is first asked for."""
    return MemoryBudget(memory_limit())


def memory_limit() -> Limit:
    """Return the smallest of the limits that can be read on this machine.

    They are the free memory of the machine, the limits of the process (`ulimit -v`, `ulimit -d`)
    and of its cgroup (version 1 or 2), the memory of a Slurm job, and the environment variable
    `CACL_MEMORY_GB`.

    Raises
    ------
    ConfigError
        `CACL_MEMORY_GB` is not a positive number.
    """
    found = [limit for read in LIMITS if (limit := read()) is not None]
    smallest = min(found, key=lambda limit: limit.free_bytes)
    return Limit(max(0, smallest.free_bytes), smallest.origin)


def describe_memory() -> str:
    """Return in words how much memory this process uses and may still use."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB
    limit = memory_limit()
    return (
        f"this process has used up to {used / GB:.2f} GB and may use {limit.free_bytes / GB:.2f} GB"
        f" more, {limit.origin}"
    )


def _machine() -> Limit:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = _kib(PROC / "meminfo", "MemAvailable")
    return Limit(total if free is None else free, "the free memory of the machine")


def _address_space() -> Limit | None:
    return _process_limit(resource.RLIMIT_AS, "VmSize", "ulimit -v")


def _data() -> Limit | None:
    return _process_limit(resource.RLIMIT_DATA, "VmData", "ulimit -d")


def _process_limit(number: int, used_name: str, origin: str) -> Limit | None:
    soft, _ = resource.getrlimit(number)
    if soft == resource.RLIM_INFINITY:
        return None
    return Limit(soft - (_kib(PROC / "self" / "status", used_name) or 0), f"limit of {origin}")


def _cgroup() -> Limit | None:
    """Return the smallest limit of the process's cgroups, from its own up to the root."""
    found: list[Limit] = []
    for line in _text(PROC / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, limit, usage = CGROUP, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            root, limit, usage = CGROUP / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        folder = root / path.lstrip("/")
        for each in (folder, *folder.parents):
            allowed = _text(each / limit).strip()
            if allowed.isdigit() and int(allowed) < UNLIMITED:
                # The cache of files counts as use, but the kernel frees it on demand.
                cached = _cgroup_cache(each / "memory.stat")
                used = int(_text(each / usage).strip() or 0) - cached
                found.append(Limit(int(allowed) - used, f"limit of the cgroup, {each / limit}"))
            if each == root:
                break
    return min(found, key=lambda limit: limit.free_bytes, default=None)


def _cgroup_cache(path: Path) -> int:
    values = dict(line.split(" ", 1) for line in _text(path).splitlines() if " " in line)
    return sum(int(values.get(name, 0)) for name in ("inactive_file", "active_file"))


def _slurm() -> Limit | None:
    per_node = os.environ.get("SLURM_MEM_PER_NODE", "")
    per_cpu, cpus = (
        os.environ.get(f"SLURM_{name}", "") for name in ("MEM_PER_CPU", "CPUS_ON_NODE")
    )
    if per_node.isdigit() and int(per_node):
        mib = int(per_node)
    elif per_cpu.isdigit() and cpus.isdigit() and int(per_cpu):
        mib = int(per_cpu) * int(cpus)
    else:
        return None
    used = _kib(PROC / "self" / "status", "VmRSS") or 0
    return Limit(mib * 2**20 - used, "memory of the Slurm job")


def _variable() -> Limit | None:
    text = os.environ.get(MEMORY_VARIABLE)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < UNLIMITED:
        raise ConfigError(
            f"{MEMORY_VARIABLE} is {text[:50]!r}; expected the memory of a job in GB, such as 4"
        )
    return Limit(int(value * GB), MEMORY_VARIABLE)


LIMITS: tuple[Callable[[], Limit | None], ...] = (
    *(_machine, _address_space, _data, _cgroup, _slurm, _variable),
)


def _kib(path: Path, name: str) -> int | None:
    """Return a value of a file of /proc, which are in KiB, as bytes."""
    for line in _text(path).splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * KIB
    return None


def _text(path: Path) -> str:
    """Return the text of a file of the kernel; empty where the system has no such file."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
