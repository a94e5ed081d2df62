"""Progress of long loops: a bar in a terminal, a plain line now and then in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 10.0
T = TypeVar("T")


def track(
    items: Iterable[T], what: str, total: int, size_bytes: Callable[[T], int] | None = None
) -> Iterator[T]:
    """Yield `items` and report how many are done.

    Parameters
    ----------
    items
        Anything to iterate over.
    what
        What the items are, for the line: "tile: images".
    total
        How many items there will be.
    size_bytes
        How many bytes an item has, to report MB/s (10^6 bytes) too.
    """
    pace = _Pace(size_bytes)
    if sys.stderr.isatty():
        yield from _bar(items, what, total, pace)
    else:
        yield from _lines(items, what, total, pace)


class _Pace(Generic[T]):
    """How many items, and bytes, a second."""

    def __init__(self, size_bytes: Callable[[T], int] | None) -> None:
        self._size_bytes = size_bytes
        self._start = time.monotonic()
        self.done = self._bytes = 0

    def add(self, item: T) -> None:
        self.done += 1
        self._bytes += 0 if self._size_bytes is None else self._size_bytes(item)

    def left_s(self, total: int) -> float:
        return (total - self.done) * self._seconds() / self.done

    def __str__(self) -> str:
        items = f"{self.done / self._seconds():.1f}/s"
        megabytes = f", {self._bytes / 1e6 / self._seconds():.1f} MB/s" if self._bytes else ""
        return items + megabytes

    def _seconds(self) -> float:
        return max(time.monotonic() - self._start, 1e-9)


def _bar(items: Iterable[T], what: str, total: int, pace: _Pace[T]) -> Iterator[T]:
    parts = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*parts, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=total, pace="")
        for item in items:
            yield item
            pace.add(item)
            progress.update(task, advance=1, pace=str(pace))


def _lines(items: Iterable[T], what: str, total: int, pace: _Pace[T]) -> Iterator[T]:
    last = time.monotonic()
    for item in items:
        yield item
        pace.add(item)
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES or pace.done == total:
            left = pace.left_s(total)
            log.info("%s: %d of %d, %s, %.0f s left", what, pace.done, total, pace, left)
            last = now
