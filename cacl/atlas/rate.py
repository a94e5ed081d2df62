"""Keep to a number of requests a second, over all threads of a process."""

from __future__ import annotations

import threading
import time


class RateLimit:
    """A token bucket that holds one token: evenly spaced turns, and pauses for all.

    Parameters
    ----------
    per_second
        Turns a second.
    stop
        Ends every wait when it is set.
    """

    def __init__(self, per_second: float, stop: threading.Event) -> None:
        self._spacing_s = 1.0 / per_second
        self._stop = stop
        self._lock = threading.Lock()
        self._next = time.monotonic()

    def take_turn(self) -> None:
        """Wait for the next turn."""
        with self._lock:
            turn = max(self._next, time.monotonic())
            self._next = turn + self._spacing_s
        while (wait := turn - time.monotonic()) > 0 and not self._stop.wait(wait):
            pass

    def pause(self, seconds: float) -> None:
        """Give nobody a new turn for a while, because the host asks for it."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)
