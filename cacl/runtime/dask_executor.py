"""Run one function over the images of a shard on a dask scheduler that the user names.

Dask sends pickles both ways, so whoever runs the scheduler can run code in this process, and so
can its workers: the user has to trust them.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from distributed import Client, Future
from distributed.protocol import pickle
from distributed.scheduler import KilledWorker

from cacl.errors import ClusterError

SECONDS_TO_ANSWER = 10
SECONDS_FOR_A_WORKER = 60
Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def on_scheduler(
    address: str, function: Callable[[Item], Result], items: Sequence[Item]
) -> Iterator[Iterator[Result | KilledWorker]]:
    """Yield an iterator over the results of `function`, in the order of `items`.

    The function goes to the workers once, as a task of its own, so that it is made again
    wherever its worker dies. So is every item, until it has taken as many workers with it as
    the scheduler allows (`distributed.scheduler.allowed-failures`); its result is then the
    `KilledWorker`.

    Parameters
    ----------
    address
        Of the scheduler, such as `tcp://10.0.0.1:8786`.
    function, items
        Must survive pickling; paths must mean the same on every worker.

    Raises
    ------
    ClusterError
        No scheduler or no worker answers, the workers cannot load this package, or the scheduler
        is lost; results that came before are good.
    """
    try:
        client = Client(address, timeout=SECONDS_TO_ANSWER, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"No dask scheduler answers at {address} within {SECONDS_TO_ANSWER} s ({error}); start "
            "one with `dask scheduler`, or leave --dask-scheduler out"
        ) from error
    with client:
        yield _results(client, address, function, items)


def _results(
    client: Client, address: str, function: Callable[[Item], Result], items: Sequence[Item]
) -> Iterator[Result | KilledWorker]:
    try:
        client.wait_for_workers(1, timeout=SECONDS_FOR_A_WORKER)
    except TimeoutError as error:
        raise ClusterError(
            f"The dask scheduler at {address} has had no worker for {SECONDS_FOR_A_WORKER} s; "
            f"start some with `dask worker {address}`"
        ) from error
    held = client.submit(pickle.loads, pickle.dumps(function), pure=False)
    failed = held.exception()
    if failed is not None:
        raise ClusterError(
            f"The workers of {address} cannot load what they have to run ({failed}); install the "
            "same version of this package and of its dependencies on them"
        )
    futures: list[Future[Any]] = client.map(_call, [held] * len(items), items, pure=False)
    for future in futures:
        try:
            yield future.result()
        except KilledWorker as error:
            yield error
        except concurrent.futures.CancelledError as error:
            raise ClusterError(
                f"The dask scheduler at {address} was lost; start it and run the step again, "
                "images that are done are skipped"
            ) from error


def _call(function: Callable[[Any], Result], item: Any) -> Result:
    return function(item)
