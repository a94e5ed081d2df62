"""Run one function over the images of a shard: in parallel, with progress and error handling."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, ParamSpec, Protocol, TypeVar

import cv2
from dask.utils import SerializableLock

from cacl.errors import ImageError, Reason, StoreError
from cacl.runtime.blas import allocate_blas_buffers
from cacl.runtime.progress import track
from cacl.runtime.resources import disk_error, is_panic, not_utf8_error, raise_if_short
from cacl.runtime.signals import StopFlag, deferred_interrupt

log = logging.getLogger(__name__)

IMAGES_ON_GPU, IMAGES_ON_CPU = 3, 2


class ImageRow(Protocol):
    """Any record of an image."""

    @property
    def image_id(self) -> str:
        """Identifier of the image: `<antibody_id>/<name>`."""


Row = TypeVar("Row", bound=ImageRow)
Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


@dataclass(frozen=True)
class ImageFailure:
    """Why a step could not process one image.

    Parameters
    ----------
    image_id
        The image.
    stage
        Name of the step.
    reason
        Code of the failure.
    message
        One sentence: what happened, expected and got, how to fix it.
    source
        URL or path of the image.
    """

    image_id: str
    stage: str
    reason: Reason
    message: str
    source: str


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """Results and failures of a shard, each in the order of the input."""

    results: list[Result]
    failures: list[ImageFailure]


@dataclass(frozen=True)
class WorkerPlan:
    """How the images of a shard share the device.

    Parameters
    ----------
    images
        Images that are processed at the same time.
    threads
        CPU threads of the network of each of them.
    lock_device
        Whether only one image at a time may use the device; see `DeviceLock`.
    """

    images: int
    threads: int
    lock_device: bool


class DeviceLock:
    """Lets one thread at a time use the device."""

    def __init__(self) -> None:
        self._lock = SerializableLock()

    def call(
        self,
        function: Callable[Arguments, Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Wait until the device is free, then call a function."""
        with self._lock:
            return function(*args, **kwargs)


def plan_workers(threads: int, images: int, *, on_gpu: bool) -> WorkerPlan:
    """Return how many images of a shard to process at the same time.

    On a GPU images overlap: while the network scores a block of one image, other threads read and
    decode the next image and threshold, compress and write the masks of the previous one. A lock
    gives the device to one image at a time. On a CPU two images run from reading to writing, each
    with half of the cores, so that no core idles while an image is read. More images would need
    more memory than a job has. A single image, such as a whole slide, has all cores.

    Parameters
    ----------
    threads
        CPU threads of the process.
    images
        Images of the shard.
    on_gpu
        Whether the network runs on a GPU.
    """
    if on_gpu:
        return WorkerPlan(IMAGES_ON_GPU, threads, lock_device=True)
    concurrent = max(1, min(threads, images, IMAGES_ON_CPU))
    return WorkerPlan(concurrent, max(1, threads // concurrent), lock_device=False)


def run_images(
    stage: str,
    rows: Sequence[Row],
    function: Callable[[Row], Result],
    *,
    source: Callable[[Row], str],
    jobs: int = 1,
    scheduler: str | None = None,
    size_bytes: Callable[[Result], int] | None = None,
) -> Outcome[Result]:
    """Call `function` for every row, several at a time; the failure of an image stops no other.

    Parameters
    ----------
    stage
        Name of the step, for the failures and the progress line.
    rows
        Records with an `image_id`.
    function
        Called once per row; raises `ImageError` for an image that cannot be used.
    source
        Returns the URL or path of a row's image, for the failures.
    jobs
        Number of images that are processed at the same time, in threads of this process.
    scheduler
        Address of a dask scheduler. Its workers then replace the threads: `function` and all that
        it refers to must survive pickling, and its paths must be absolute.
    size_bytes
        Returns the size of a result in bytes, to report MB/s as well.

    Raises
    ------
    ClusterError
        The scheduler or its workers are not usable; see
        `cacl.runtime.dask_executor.dask_results`.
    DiskError, ResourceError
        The machine lacks disk, memory, file handles or threads, or a worker of dask was killed.
        No further image is started; the products of finished images are kept.
    ConfigError
        A path of the run is not UTF-8.
    """

    def attempt(row: Row) -> Result | ImageFailure:
        try:
            return function(row)
        except BaseException as error:  # noqa: BLE001 - explain_failure raises all others again
            return failure(row, *explain_failure(error, stage, row.image_id))

    def failure(row: Row, reason: Reason, message: str) -> ImageFailure:
        return ImageFailure(row.image_id, stage, reason, message, source(row))

    def log_failure(row: Row, result: Result | ImageFailure) -> Result | ImageFailure:
        if isinstance(result, ImageFailure):
            log.warning("%s: %s: %s: %s", stage, row.image_id, result.reason, result.message)
        return result

    def size(result: Result | ImageFailure) -> int:
        return 0 if size_bytes is None or isinstance(result, ImageFailure) else size_bytes(result)

    allocate_blas_buffers(jobs)
    with _map_rows(attempt, rows, jobs, scheduler) as attempts:
        logged = (log_failure(row, result) for row, result in zip(rows, attempts, strict=True))
        finished = list(track(logged, f"{stage}: images", len(rows), size))
    return Outcome(
        results=[result for result in finished if not isinstance(result, ImageFailure)],
        failures=[result for result in finished if isinstance(result, ImageFailure)],
    )


def explain_failure(error: BaseException, stage: str, image_id: str) -> tuple[Reason, str]:
    """Return reason and message of an image that cannot be used; raise any other error.

    Parameters
    ----------
    error
        What the step raised for the image.
    stage, image_id
        Name of the step, and the image.

    Raises
    ------
    DiskError, ResourceError
        The error is a temporary condition, which says nothing about the image.
    ConfigError
        A path is not UTF-8.
    """
    subject = f"{stage}: {image_id}"
    if not isinstance(error, Exception) and not is_panic(error):
        raise error
    raise_if_short(error, subject)
    if isinstance(error, ImageError):
        return error.reason, str(error)
    if isinstance(error, StoreError):
        return Reason.DAMAGED, str(error)
    if isinstance(error, OSError):
        raise disk_error(error, subject) from error
    if (name_error := not_utf8_error(error)) is not None:
        raise name_error from error
    # Only here does an unexpected error become a table row.
    log.error("%s: unexpected error", subject, exc_info=error)
    return Reason.UNEXPECTED, f"{type(error).__name__}: {error}"


@contextmanager
def _map_rows(
    attempt: Callable[[Row], Result], rows: Sequence[Row], jobs: int, scheduler: str | None
) -> Iterator[Iterator[Result]]:
    """Yield the results in the order of the rows."""
    if scheduler is None:
        cv2.setNumThreads(1)  # images run in parallel, not the parts of one image
        with deferred_interrupt() as interrupted, ThreadPoolExecutor(max_workers=jobs) as pool:
            failed = StopFlag()

            def attempt_unless_stopped(row: Row) -> Result:
                # The error of an earlier row ends the step before the result of this one is read.
                if interrupted() or failed.is_set():
                    raise KeyboardInterrupt
                try:
                    return attempt(row)
                except BaseException:
                    failed.set()
                    raise

            yield pool.map(attempt_unless_stopped, rows)
    else:
        # The import takes a second, and few runs need it.
        from cacl.runtime.dask_executor import dask_results

        with dask_results(scheduler, attempt, rows) as results:
            yield results
