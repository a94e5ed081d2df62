"""Reuse of freed memory by the GNU allocator."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import resource, statistics, sys, threading, torch
from cacl.runtime.malloc import tune_malloc

def allocate():
    for _ in range(6):
        torch.empty(64 << 18).fill_(1.0)

def page_faults():
    worker = threading.Thread(target=allocate)
    worker.start(); worker.join()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

torch.set_num_threads(1)
if sys.argv[1] == "tuned":
    tune_malloc()
counts = [page_faults() for _ in range(8)]
print(int(statistics.median(after - before for before, after in zip(counts[1:], counts[2:]))))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs the GNU allocator")
def test_tuned_allocator_reuses_the_memory_of_large_arrays() -> None:
    """The median over repetitions counts: small arrays in between may split a freed large one."""
    page_faults = {
        setting: int(subprocess.check_output([sys.executable, "-c", PROGRAM, setting]))
        for setting in ("tuned", "default")
    }
    assert page_faults["tuned"] < page_faults["default"] // 2
