"""Linear algebra ends where the address space is full, after the buffers were allocated."""

from __future__ import annotations

import subprocess
import sys

import pytest

FILL = """
import mmap, re, resource, sys, threading
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from scipy import linalg
from cacl.runtime.blas import allocate_blas_buffers

def limit(free_mb):
    size = int(re.search(r"VmSize:\\s+(\\d+)", open("/proc/self/status").read())[1]) << 10
    resource.setrlimit(resource.RLIMIT_AS, (size + (free_mb << 20),) * 2)

THREADS = 2
limit(int(sys.argv[1]))
if sys.argv[2] == "allocate":
    allocate_blas_buffers(THREADS)
pool, barrier = ThreadPoolExecutor(THREADS), threading.Barrier(THREADS)
list(pool.map(lambda _: barrier.wait(), range(THREADS)))  # the stacks of the threads
matrix, rests = np.ones((300, 300)) + np.eye(300), []
for bytes_ in (1 << 25, 1 << 20, 1 << 16):
    try:
        while True:
            rests.append(mmap.mmap(-1, bytes_))
    except OSError:
        pass
rests.pop(), rests.pop()
print("full", flush=True)
for function in (np.matmul, lambda a, b: linalg.cho_factor(a[:64, :64]), np.matmul):
    list(pool.map(lambda _: barrier.wait() is None or function(matrix, matrix), range(THREADS)))
print("done", flush=True)
"""


def run(free_mb: int, mode: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", FILL, str(free_mb), mode]
    return subprocess.run(command, capture_output=True, text=True, timeout=8, check=False)


def test_calls_of_several_threads_end_with_a_full_address_space() -> None:
    result = run(500, "allocate")
    assert result.stdout == "full\ndone\n", result.stderr


def test_too_little_memory_for_the_buffers_is_an_error_of_memory() -> None:
    result = run(40, "allocate")
    assert result.returncode == 1
    assert "OSError: [Errno 12]" in result.stderr


def test_without_buffers_a_call_never_ends() -> None:
    """The fault of OpenBLAS is still there; without it this module could go."""
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        run(500, "do not")
    assert caught.value.stdout == b"full\n"
