"""Run one function over the images of a shard: in parallel, with progress, failures aside."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import cv2

from cacl import tables
from cacl.errors import DiskError, ImageError, Reason, StrictError
from cacl.runtime.progress import track
from cacl.runtime.signals import deferred_interrupt
from cacl.tables.schemas import FailureRow

log = logging.getLogger(__name__)


class Row(Protocol):
    """What every per-image record has."""

    @property
    def image_id(self) -> str:
        """Name of the image."""


Item = TypeVar("Item", bound=Row)
Result = TypeVar("Result")


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """What became of a shard: results and failures, each in the order of the input."""

    results: list[Result]
    failures: list[FailureRow]


def run_images(
    stage: str,
    rows: Sequence[Item],
    work: Callable[[Item], Result],
    *,
    source: Callable[[Item], str],
    jobs: int = 1,
    scheduler: str | None = None,
    size_bytes: Callable[[Result], int] | None = None,
) -> Outcome[Result]:
    """Call `work` for every row, several at a time; one image's failure never stops the rest.

    Parameters
    ----------
    stage
        Name of the step, for the failures table and the progress line.
    rows
        Records with an `image_id`.
    work
        Called once a row; raises `ImageError` for an image that cannot be used.
    source
        Where a row's image comes from, for the failures table.
    jobs
        Images at a time, in threads of this process.
    scheduler
        Address of a dask scheduler whose workers do it instead. `work` and what it refers to must
        survive pickling, and its paths be absolute.
    size_bytes
        How many bytes a result stands for, to report MB/s as well.

    Raises
    ------
    ClusterError
        The scheduler or its workers cannot do it; see `cacl.runtime.dask_executor.on_scheduler`.
    """

    def attempt(row: Item) -> Result | FailureRow:
        try:
            return work(row)
        except ImageError as error:
            return failure(row, error.reason, str(error))
        except OSError as error:
            return failure(row, Reason.UNWRITABLE, f"The product could not be written: {error}")
        except Exception as error:  # the one place where a surprise becomes a row
            log.exception("%s: %s: unexpected error", stage, row.image_id)
            return failure(row, Reason.UNEXPECTED, f"{type(error).__name__}: {error}")

    def failure(row: Item, reason: Reason, message: str) -> FailureRow:
        return FailureRow(
            image_id=row.image_id,
            stage=stage,
            reason=str(reason),
            message=message,
            source=source(row),
        )

    def told(row: Item, item: Result | FailureRow | Exception) -> Result | FailureRow:
        if isinstance(item, Exception):
            item = failure(row, Reason.UNEXPECTED, f"Its worker died again and again: {item}")
        if isinstance(item, FailureRow):
            log.warning("%s: %s: %s: %s", stage, row.image_id, item.reason, item.message)
        return item

    def size(item: Result | FailureRow) -> int:
        return 0 if size_bytes is None or isinstance(item, FailureRow) else size_bytes(item)

    with _attempts(attempt, rows, jobs, scheduler) as attempts:
        ends = (told(row, item) for row, item in zip(rows, attempts, strict=True))
        done = list(track(ends, f"{stage}: images", len(rows), size))
    return Outcome(
        results=[item for item in done if not isinstance(item, FailureRow)],
        failures=[item for item in done if isinstance(item, FailureRow)],
    )


@contextmanager
def _attempts(
    attempt: Callable[[Item], Result], rows: Sequence[Item], jobs: int, scheduler: str | None
) -> Iterator[Iterator[Result | Exception]]:
    """Yield what becomes of each row, in order; an exception for one lost with its worker."""
    if scheduler is None:
        cv2.setNumThreads(1)  # images are what runs at the same time, not parts of one
        with deferred_interrupt() as interrupted, ThreadPoolExecutor(max_workers=jobs) as pool:

            def attempt_unless_interrupted(row: Item) -> Result:
                if interrupted():
                    raise KeyboardInterrupt
                return attempt(row)

            yield pool.map(attempt_unless_interrupted, rows)
    else:
        from cacl.runtime.dask_executor import on_scheduler  # takes a second, and few runs need it

        with on_scheduler(scheduler, attempt, rows) as results:
            yield results


def write_failures(path: Path, failures: Sequence[FailureRow], *, strict: bool) -> None:
    """Write a step's failures as CSV.

    Raises
    ------
    StrictError
        There are failures and `strict` is set; the table is written all the same.
    """
    tables.write_csv(path, failures, FailureRow)
    if strict and failures:
        raise StrictError(
            f"{len(failures)} image(s) failed and --strict is set; their reasons are in {path}"
        )


def finish(outcome: Outcome[Any], record: type, out: Path, failures: Path, *, strict: bool) -> None:
    """Write a step's receipts as Parquet and its failures as CSV; see `write_failures`."""
    tables.write_parquet(out, outcome.results, record)
    write_failures(failures, outcome.failures, strict=strict)


def raise_on_disk_errors(failures: Path) -> None:
    """Refuse to take a step for done of which a full disk kept images back.

    Parameters
    ----------
    failures
        The step's CSV of failures.

    Raises
    ------
    DiskError
        It lists images whose product could not be written.
    """
    listed = tables.read_csv(failures, FailureRow)
    kept_back = listed[listed["reason"] == str(Reason.UNWRITABLE)]
    if len(kept_back):
        raise DiskError(
            f"{len(kept_back)} image(s) could not be written, the first one because: "
            f"{kept_back['message'].iloc[0]}; free some space (`cacl estimate` says how much is "
            "needed) or mend the folder's permissions, then run the same command again: it goes "
            "on where it stopped"
        )
