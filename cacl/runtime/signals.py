"""Ctrl-C as something to ask for, instead of an exception wherever the program happens to be."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether Ctrl-C came, and raise `KeyboardInterrupt` at the end.

    Raised at once, it may hit this thread while it holds a lock that its threads need to end
    (https://github.com/python/cpython/issues/74157), and then waits for them for ever. What
    another handler of Ctrl-C does is done at once; a second Ctrl-C is handled as if this were not
    here. Outside the main thread, and where Ctrl-C is ignored, it never came.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield lambda: False
        return
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        signal.signal(signal.SIGINT, before)
        with suppress(KeyboardInterrupt):
            before(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


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
