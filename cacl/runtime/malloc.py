"""How memory that is freed is used again."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Of `mallopt(3)`."""

LARGEST_BYTES = 1 << 30


def tune_malloc() -> None:
    """Let this process keep the memory that it frees, for what it asks for next.

    A network asks for the same large arrays again and again. The GNU allocator gives arrays of 32
    MB or more back to the system each time, which then hands them out page by page, all zeros: a
    third of the time. Its highest use of memory hardly grows. Other allocators are left alone.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for parameter, value in (
        (M_ARENA_MAX, 1),
        (M_MMAP_THRESHOLD, LARGEST_BYTES),
        (M_TRIM_THRESHOLD, LARGEST_BYTES),
    ):
        mallopt(parameter, value)
