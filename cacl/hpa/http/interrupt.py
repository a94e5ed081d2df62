"""Let Ctrl-C end a client's waiting."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from cacl.hpa.http.client import Client


@contextmanager
def stop_on_interrupt(client: Client) -> Iterator[None]:
    """Stop the client at once on SIGINT, so that the threads that use it can be joined."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: FrameType | None) -> None:
        client.stop()
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
