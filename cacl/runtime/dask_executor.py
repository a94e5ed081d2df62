"""Run one function over the images of a shard on a dask scheduler that the user names.

Dask sends pickles in both directions. The scheduler and its workers can therefore run any code in
this process, so the user must trust them.
"""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from distributed import Client, Future
from distributed.protocol import pickle
from distributed.scheduler import KilledWorker

from cacl.errors import ClusterError, ResourceError

CONNECT_TIMEOUT_S = 10
WORKER_TIMEOUT_S = 60
REPORT_S = 0.5
"""Within this time the scheduler reports all images of one dead worker."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def dask_results(
    address: str, function: Callable[[Item], Result], items: Sequence[Item]
) -> Iterator[Iterator[Result]]:
    """Yield an iterator over the results of `function`, in the order of `items`.

    The function is sent once, as a task of its own, so that dask recomputes it where a worker
    dies. Dask also repeats the items of a dead worker.

    Parameters
    ----------
    address
        Address of the scheduler, such as `tcp://10.0.0.1:8786`.
    function, items
        Both must survive pickling; paths must mean the same on every worker.

    Raises
    ------
    ClusterError
        No scheduler or no worker answers, the workers cannot load this package, or the connection
        to the scheduler is lost; results that were yielded before are valid.
    ResourceError
        More workers died with an item on them than the scheduler allows
        (`distributed.scheduler.allowed-failures`). The message names every such item.
    """
    try:
        client = Client(address, timeout=CONNECT_TIMEOUT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"No dask scheduler answers at {address} within {CONNECT_TIMEOUT_S} s ({error}); start "
            "one with `dask scheduler`, or omit --dask-scheduler"
        ) from error
    with client:
        yield _results(client, address, function, items)


def _results(
    client: Client, address: str, function: Callable[[Item], Result], items: Sequence[Item]
) -> Iterator[Result]:
    try:
        client.wait_for_workers(1, timeout=WORKER_TIMEOUT_S)
    except TimeoutError as error:
        raise ClusterError(
            f"The dask scheduler at {address} has had no worker for {WORKER_TIMEOUT_S} s; "
            f"start some with `dask worker {address}`"
        ) from error
    remote_function = client.submit(pickle.loads, pickle.dumps(function), pure=False)
    load_error = remote_function.exception()
    if load_error is not None:
        raise ClusterError(
            f"The workers of {address} cannot load the function to run ({load_error}); install the "
            "same version of this package and of its dependencies on them"
        )
    functions = [remote_function] * len(items)
    futures: list[Future[Any]] = client.map(_call, functions, items, pure=False)
    for future in futures:
        try:
            yield future.result()
        except KilledWorker as error:
            raise _dead_workers(items, futures, error) from error
        except concurrent.futures.CancelledError as error:
            raise ClusterError(
                f"The connection to the dask scheduler at {address} was lost; start the scheduler "
                "and run the step again, images that are done are skipped"
            ) from error


def _dead_workers(
    items: Sequence[Any], futures: list[Future[Any]], error: KilledWorker
) -> ResourceError:
    """Name every image that dask gives up, since it cannot know which of them ended the workers.

    Dask counts the death of a worker against each image that ran or waited there.
    """
    time.sleep(REPORT_S)
    names = [
        str(getattr(item, "image_id", item))
        for item, future in zip(items, futures, strict=True)
        if future.status == "error" and isinstance(future.exception(), KilledWorker)
    ]
    return ResourceError(
        f"{error.allowed_failures + 1} dask workers died while they had {' and '.join(names)}, the "
        f"last one is {error.last_worker.address}, most often because memory is short; the logs of "
        "the workers say why. Start workers with more memory (`dask worker --memory-limit`) or "
        "leave out the image that ends them, then run the same command again: it continues where "
        "it stopped"
    )


def _call(function: Callable[[Any], Result], item: Any) -> Result:
    return function(item)
