"""SIGINT and SIGTERM as flags that a program polls, instead of an exception at any line."""

from __future__ import annotations

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


class _SigtermHandler:
    """Sets an event and forwards the signal to the child processes of `multiprocessing`."""

    def __init__(self) -> None:
        self.stop_requested = threading.Event()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.stop_requested.set()
        for child in multiprocessing.active_children():
            if child.pid is not None:
                os.kill(child.pid, signal.SIGTERM)


@contextmanager
def catch_sigterm() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM sets; the signal does not end the process.

    Slurm sends SIGTERM before a time limit and at a preemption, Snakemake when it is interrupted.
    The signal is forwarded to the child processes of `multiprocessing`. A nested block starts with
    its event set if that of the outer block is set. Outside the main thread, where Python receives
    no signals, the event is never set.
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
    """Call `callback` on SIGINT, then raise `KeyboardInterrupt` in the main thread.

    The callback can end the waits of other threads, so that they can be joined. Outside the main
    thread, which alone receives signals, the context has no effect.

    Parameters
    ----------
    callback
        Called in the main thread, between two instructions of the block; must not block.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous_handler = signal.getsignal(signal.SIGINT)

    def handle(number: int, frame: FrameType | None) -> None:
        callback()
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous_handler)
