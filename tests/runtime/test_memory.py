"""The memory of a process, and its division among images."""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cacl.errors import ConfigError, ResourceError
from cacl.runtime import memory
from cacl.runtime.memory import Limit, MemoryBudget, memory_limit


def test_images_wait_until_their_memory_is_free() -> None:
    budget = MemoryBudget(Limit(100, "test"))
    lock, used, most = threading.Lock(), [0], [0]

    def image(need: int) -> None:
        with budget.take(need, "tile: A/1"):
            with lock:
                used[0] += need
                most[0] = max(most[0], used[0])
            time.sleep(0.01)
            with lock:
                used[0] -= need

    threads = [threading.Thread(target=image, args=(need,)) for need in (40, 100, 60, 30, 70, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert most == [100]


def test_image_above_the_budget_is_an_error_of_the_run() -> None:
    budget = MemoryBudget(Limit(3 * 10**9, "limit of ulimit -v"))
    with (
        pytest.raises(
            ResourceError,
            match=r"^tile: A/1 needs 4\.50 GB of memory, and this job may use 3\.00 GB more "
            r"\(limit of ulimit -v\); give the job more memory .*leave the image out",
        ),
        budget.take(4_500_000_000, "tile: A/1"),
    ):
        pass
    with budget.take(3 * 10**9, "tile: A/2"):
        pass


def test_memory_is_given_back_after_an_error() -> None:
    budget = MemoryBudget(Limit(10, "test"))
    for _ in range(3):
        with pytest.raises(KeyError), budget.take(10, "tile: A/1"):
            raise KeyError("x")


def test_smallest_limit_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine = memory_limit()
    assert 0 < machine.free_bytes < 2**50
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "3000")
    assert memory_limit().origin == "memory of the Slurm job"
    assert memory_limit().free_bytes < 3000 * 2**20
    monkeypatch.delenv("SLURM_MEM_PER_NODE")  # earlier tests may have left less of it than follows
    monkeypatch.setenv("CACL_MEMORY_GB", "0.001")
    assert memory_limit() == Limit(10**6, "CACL_MEMORY_GB")
    for wrong in ("0", "-1", "nan", "much", "inf"):
        monkeypatch.setenv("CACL_MEMORY_GB", wrong)
        with pytest.raises(ConfigError, match="expected the memory of a job in GB"):
            memory_limit()


@pytest.mark.parametrize("version", [1, 2])
def test_limit_of_a_cgroup(version: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    line, root, names = {
        1: ("9:cpu,memory:/job\n", "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")),
        2: ("0::/job\n", "", ("memory.max", "memory.current")),
    }[version]
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(line)
    group = tmp_path / "cgroup" / root / "job"
    group.mkdir(parents=True)
    (group / names[0]).write_text("1000000\n")
    (group / names[1]).write_text("400000\n")
    (group / "memory.stat").write_text("anon 1\ninactive_file 100000\nactive_file 50000\n")
    (group.parent / names[0]).write_text("max\n")
    monkeypatch.setattr(memory, "PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "CGROUP", tmp_path / "cgroup")
    found = memory_limit()
    assert (found.free_bytes, found.origin.split(",")[0]) == (750_000, "limit of the cgroup")


def test_limit_of_the_process() -> None:
    code = "from cacl.runtime.memory import memory_limit; print(memory_limit())"
    limit = 1_500_000_000

    def set_limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    result = subprocess.run(
        [sys.executable, "-c", code],
        preexec_fn=set_limit,
        check=True,
        capture_output=True,
        text=True,
    )
    assert "limit of ulimit -v" in result.stdout
