"""Buffers of OpenBLAS, allocated before they are needed.

The copies of OpenBLAS in NumPy and SciPy allocate a buffer at their first call, and one more for
each call beside others. Where the address space is limited (`ulimit -v`) and full, they try for
ever. A step therefore allocates them first, after a check that the memory is there.
"""

from __future__ import annotations

import mmap
import resource
import threading
from concurrent.futures import ThreadPoolExecutor

BUFFER_BYTES = 1 << 25
SIDE = 400
"""Of the matrices whose product takes milliseconds, so that the threads' calls overlap."""


def allocate_blas_buffers(threads: int = 1) -> None:
    """Allocate the buffers that calls of `threads` threads need; nothing without a limit.

    Raises
    ------
    OSError
        ENOMEM: there is not enough memory for them.
    """
    if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
        return
    import numpy as np
    from scipy import linalg

    # SciPy's calls hold the interpreter's lock, so they need one buffer.
    with mmap.mmap(-1, (threads + 1) * BUFFER_BYTES):
        pass
    linalg.cho_factor(np.eye(SIDE))
    matrix, barrier = np.ones((SIDE, SIDE)), threading.Barrier(threads)

    def multiply(_: int) -> None:
        barrier.wait()
        matrix @ matrix

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(multiply, range(threads)))
