"""Digests of slides that several images of a run are regions of, each computed once per process."""

from __future__ import annotations

import functools
import threading
import time
from collections import defaultdict
from pathlib import Path

from cacl.hpa.image_state import FileState, digest_image, observe

SETTLED_NS = 2_000_000_000
"""Age of a file from which its modification time tells whether it has changed since."""


class SlideDigests:
    """Digests by path, size and modification time of all files of a slide; thread-safe.

    A file that was written within the last two seconds is read again every time: it can change
    again without another modification time.
    """

    def __init__(self) -> None:
        self._digests: dict[tuple[FileState, ...], tuple[str, int]] = {}
        self._locks: defaultdict[Path, threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()

    def digest(self, path: Path) -> tuple[str, int]:
        """Return the SHA-256 and the size of a slide; see `digest_image`."""
        with self._lock:
            lock = self._locks[path]
        with lock:
            states, now = observe(path), time.time_ns()
            known = self._digests.get(states)
            if known is None:
                known = digest_image(path)
                if all(state.mtime_ns < now - SETTLED_NS for state in states):
                    self._digests[states] = known
            return known


@functools.cache
def slide_digests() -> SlideDigests:
    """Return the digests that this process has computed."""
    return SlideDigests()
