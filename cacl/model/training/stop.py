"""Stop a run when the system asks for it: Slurm before a time limit or a preemption, Snakemake."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class _Listener:
    """A handler of signals that sets an event, and tells the processes that this one started."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.asked.set()
        for child in multiprocessing.active_children():
            if child.pid is not None:
                os.kill(child.pid, signal.SIGTERM)


@contextmanager
def asked_to_stop() -> Iterator[threading.Event]:
    """Yield an event that is set when SIGTERM comes, which then ends nothing by itself.

    The processes that this one has started are told too. Inside another such block it is set from
    the start if that one's is. Outside the main thread, where Python hears no signals, it is never
    set.
    """
    listener = _Listener()
    if threading.current_thread() is not threading.main_thread():
        yield listener.asked
        return
    before = signal.signal(signal.SIGTERM, listener)
    if isinstance(before, _Listener) and before.asked.is_set():
        listener.asked.set()
    try:
        yield listener.asked
    finally:
        signal.signal(signal.SIGTERM, before)
