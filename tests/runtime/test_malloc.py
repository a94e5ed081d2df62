"""Memory that is freed is used again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, threading, torch
from cacl.runtime.malloc import tune_malloc

def fill():
    for _ in range(6):
        torch.empty(64 << 18).fill_(1.0)

def faults():
    worker = threading.Thread(target=fill)
    worker.start(); worker.join()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

torch.set_num_threads(1)
if sys.argv[1] == "keep":
    tune_malloc()
faults()
print(-faults() + faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of the GNU allocator alone")
def test_large_arrays_are_made_of_memory_that_was_freed() -> None:
    pages = {
        wanted: int(subprocess.check_output([sys.executable, "-c", FAULTS, wanted]))
        for wanted in ("keep", "return")
    }
    assert pages["keep"] < pages["return"] // 2
