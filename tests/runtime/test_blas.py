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


def start(free_mb: int, mode: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FILL, str(free_mb), mode]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)


def test_calls_of_several_threads_end_with_a_full_address_space() -> None:
    with start(500, "allocate") as process:
        output, errors = process.communicate(timeout=200)
        assert output == "full\ndone\n", errors


def test_too_little_memory_for_the_buffers_is_an_error_of_memory() -> None:
    with start(40, "allocate") as process:
        errors = process.communicate(timeout=200)[1]
        assert process.returncode == 1
        assert "OSError: [Errno 12]" in errors


def test_without_buffers_a_call_never_ends() -> None:
    """The fault of OpenBLAS is still there; without it this module could go."""
    with start(500, "do not") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "full\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=5)
        process.kill()
