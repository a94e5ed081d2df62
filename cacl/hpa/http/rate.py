"""Keep to a number of requests a second, over all threads of a process."""

from __future__ import annotations

import threading
import time

SLACK_S = 0.05


class RateLimit:
    """A token bucket that holds what 50 ms bring: evenly spaced turns, and pauses for all.

    A turn that is taken a little late does not put off the next ones, so that the rate is kept
    even where all connections are busy for a moment; it is never exceeded for longer than that.

    Parameters
    ----------
    per_second
        DeviceLock a second.
    stop
        Ends every wait when it is set.
    """

    def __init__(self, per_second: float, stop: threading.Event) -> None:
        self._spacing_s = 1.0 / per_second
        self._stop = stop
        self._lock = threading.Lock()
        self._next = time.monotonic()
        self._pauses = 0

    def take_turn(self) -> None:
        """Wait for the next turn; a pause in the meantime takes the turn away again."""
        while True:
            with self._lock:
                turn = max(self._next, time.monotonic() - SLACK_S)
                self._next = turn + self._spacing_s
                pauses = self._pauses
            while (wait := turn - time.monotonic()) > 0 and not self._stop.wait(wait):
                pass
            with self._lock:
                if pauses == self._pauses or self._stop.is_set():
                    return

    def pause(self, seconds: float) -> None:
        """Give nobody a turn for a while, because the host asks for it."""
        with self._lock:
            self._pauses += 1
            self._next = max(self._next, time.monotonic() + seconds)
