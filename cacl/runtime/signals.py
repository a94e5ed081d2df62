"""SIGINT and SIGTERM as flags that a program polls, instead of an exception at any line."""

from __future__ import annotations

import _thread
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether SIGINT came; raise `KeyboardInterrupt` at the end.

    An immediate `KeyboardInterrupt` can hit the main thread while it holds a lock that its worker
    threads need to end; it then waits for them forever
    (https://github.com/python/cpython/issues/74157). The previous handler of SIGINT is called at
    once, and its `KeyboardInterrupt` suppressed. A second SIGINT is handled as it would be outside
    the block. Outside the main thread, and where SIGINT is ignored, the function returns False.
    """
    previous = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(previous):
        yield lambda: False
        return
    received: list[int] = []  # setting a threading.Event in a handler can deadlock

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, previous)
        with suppress(KeyboardInterrupt):
            previous(number, frame)

    signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: bool(received)
    finally:
        signal.signal(signal.SIGINT, previous)
    if received:
        raise KeyboardInterrupt


class StopFlag:
    """A flag that a signal handler sets.

    A `threading.Event` has a lock: a signal that comes while the same thread holds it, such as a
    second SIGTERM during the handler of the first, would wait for it forever.
    """

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        """Set the flag; it stays set."""
        self._is_set = True

    def is_set(self) -> bool:
        """Return whether the flag is set."""
        return self._is_set


class _SigtermHandler:
    """Sets a flag and forwards the signal to the child processes of `multiprocessing`."""

    def __init__(self) -> None:
        self.stop_requested = StopFlag()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.stop_requested.set()
        for child in multiprocessing.active_children():
            if child.pid is not None:
                with suppress(ProcessLookupError):  # it has ended since
                    os.kill(child.pid, signal.SIGTERM)


@contextmanager
def catch_sigterm() -> Iterator[StopFlag]:
    """Yield a flag that SIGTERM sets; the signal does not end the process.

    Slurm sends SIGTERM before a time limit and at a preemption, Snakemake when it is interrupted.
    The signal is forwarded to the child processes of `multiprocessing`. A nested block starts with
    its flag set if that of the outer block is set. Outside the main thread, where Python receives
    no signals, the flag is never set.
    """
    handler = _SigtermHandler()
    if threading.current_thread() is not threading.main_thread():
        yield handler.stop_requested
        return
    previous = signal.signal(signal.SIGTERM, handler)
    if isinstance(previous, _SigtermHandler) and previous.stop_requested.is_set():
        handler.stop_requested.set()
    try:
        yield handler.stop_requested
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def on_interrupt(callback: Callable[[], object]) -> Iterator[None]:
    """Call `callback` on SIGINT, and raise `KeyboardInterrupt` in the main thread.

    The callback can end the waits of other threads, so that they can be joined. Outside the main
    thread, which alone receives signals, the context has no effect.

    Parameters
    ----------
    callback
        Called in a thread of its own: it can take a lock that the main thread holds while the
        signal comes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous_handler = signal.getsignal(signal.SIGINT)

    def handle(number: int, frame: FrameType | None) -> None:
        _thread.start_new_thread(callback, ())  # `threading.Thread.start` takes locks
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous_handler)
