"""Progress of long loops: a bar in a terminal, a line every ten seconds in a log."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
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

LOG_INTERVAL_S = 10.0

Item = TypeVar("Item")


@dataclass(frozen=True)
class LoggedProgress:
    """Progress of a step as its log states it; `str()` is the text of the log.

    Parameters
    ----------
    description
        Step and kind of the items: "tile: images".
    done, total
        Number of items that are done, and of all.
    """

    description: str
    done: int
    total: int

    def __str__(self) -> str:
        return f"{self.description}: {self.done} of {self.total}"

    @property
    def items(self) -> str:
        """The kind of the items: "images"."""
        return self.description.rpartition(": ")[2]

    @classmethod
    def last_of(cls, text: str) -> LoggedProgress | None:
        """Return the progress that a log stated last; None if it states none."""
        lines = _LOGGED.findall(text)
        return cls(lines[-1][0], int(lines[-1][1]), int(lines[-1][2])) if lines else None


_LOGGED = re.compile(r" INFO ([a-z][\w -]*(?:: [\w -]+)+): (\d+) of (\d+), ")


def track(
    items: Iterable[Item],
    description: str,
    total: int,
    size_bytes: Callable[[Item], int] | None = None,
) -> Iterator[Item]:
    """Yield `items` and report how many are done.

    Parameters
    ----------
    items
        Any iterable.
    description
        Step and kind of the items, for the line: "tile: images".
    total
        Number of items.
    size_bytes
        Returns the size of an item in bytes, to report MB/s (10^6 bytes) as well.
    """
    throughput = _Throughput(size_bytes)
    if sys.stderr.isatty():
        yield from _show_bar(items, description, total, throughput)
    else:
        yield from _log_lines(items, description, total, throughput)


class _Throughput(Generic[Item]):
    """Counts items and bytes per second; `str()` formats both."""

    def __init__(self, size_bytes: Callable[[Item], int] | None) -> None:
        self._size_bytes = size_bytes
        self._start = time.monotonic()
        self.done = self._bytes = 0

    def add(self, item: Item) -> None:
        self.done += 1
        self._bytes += 0 if self._size_bytes is None else self._size_bytes(item)

    def remaining_s(self, total: int) -> float:
        return (total - self.done) * self._elapsed_s() / self.done

    def __str__(self) -> str:
        items = f"{self.done / self._elapsed_s():.1f}/s"
        megabytes = f", {self._bytes / 1e6 / self._elapsed_s():.1f} MB/s" if self._bytes else ""
        return items + megabytes

    def _elapsed_s(self) -> float:
        return max(time.monotonic() - self._start, 1e-9)


def _show_bar(
    items: Iterable[Item], description: str, total: int, throughput: _Throughput[Item]
) -> Iterator[Item]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[throughput]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=total, throughput="")
        for item in items:
            yield item
            throughput.add(item)
            progress.update(task, advance=1, throughput=str(throughput))


def _log_lines(
    items: Iterable[Item], description: str, total: int, throughput: _Throughput[Item]
) -> Iterator[Item]:
    last = time.monotonic()
    for item in items:
        yield item
        throughput.add(item)
        now = time.monotonic()
        if now - last >= LOG_INTERVAL_S or throughput.done == total:
            progress = LoggedProgress(description, throughput.done, total)
            left_s = throughput.remaining_s(total)
            log.info("%s, %s, %.0f s left", progress, throughput, left_s)
            last = now
