"""Parallel processing of images: order, failures, sharing of the device."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

import pytest

from cacl.errors import ImageError, Reason, StoreError
from cacl.runtime.images import (
    IMAGES_ON_GPU,
    DeviceLock,
    ImageFailure,
    WorkerPlan,
    plan_workers,
    run_images,
)


@dataclass(frozen=True)
class Row:
    image_id: str


ROWS = [Row(f"A/{number}") for number in range(6)]


def test_failures_are_separated_and_order_is_kept() -> None:
    def work(row: Row) -> str:
        if row.image_id == "A/1":
            raise ImageError(Reason.DAMAGED, "truncated")
        if row.image_id == "A/3":
            raise StoreError("A/3 has missing data")
        if row.image_id == "A/4":
            raise ZeroDivisionError("unexpected")
        return row.image_id

    outcome = run_images("tile", ROWS, work, source=lambda row: f"{row.image_id}.jpg", jobs=3)
    assert outcome.results == ["A/0", "A/2", "A/5"]
    assert [(failure.image_id, failure.reason) for failure in outcome.failures] == [
        ("A/1", "damaged"),
        ("A/3", "damaged"),
        ("A/4", "unexpected"),
    ]
    assert outcome.failures[0] == ImageFailure(
        image_id="A/1", stage="tile", reason=Reason.DAMAGED, message="truncated", source="A/1.jpg"
    )


def test_images_run_in_parallel() -> None:
    barrier = threading.Barrier(2, timeout=20)
    outcome = run_images("t", ROWS[:2], lambda _: barrier.wait(), source=str, jobs=2)
    assert sorted(outcome.results) == [0, 1]


def test_unexpected_error_logs_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    def work(row: Row) -> None:
        raise KeyError(row.image_id)

    with caplog.at_level(logging.ERROR):
        run_images("tile", ROWS[:1], work, source=str)
    assert "Traceback" in caplog.text


def test_every_reason_has_a_docstring() -> None:
    for reason in Reason:
        assert reason.__doc__
        assert reason.__doc__ != Reason.__doc__
        assert reason.value == str(reason)


def test_plan_divides_the_threads_among_the_images() -> None:
    assert plan_workers(4, 100, on_gpu=False) == WorkerPlan(2, 2, lock_device=False)
    assert plan_workers(8, 2, on_gpu=False) == WorkerPlan(2, 4, lock_device=False)
    assert plan_workers(2, 1, on_gpu=False) == WorkerPlan(1, 2, lock_device=False)
    assert plan_workers(2, 0, on_gpu=False) == WorkerPlan(1, 2, lock_device=False)
    assert plan_workers(4, 100, on_gpu=True) == WorkerPlan(IMAGES_ON_GPU, 4, lock_device=True)


def test_device_lock_admits_one_thread_at_a_time() -> None:
    lock, active, most = DeviceLock(), [0], [0]

    def compute(value: int) -> int:
        active[0] += 1
        most[0] = max(most[0], active[0])
        time.sleep(0.002)
        active[0] -= 1
        return value * value

    squares: list[int] = []
    threads = [
        threading.Thread(target=lambda n=number: squares.append(lock.call(compute, n)))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert sorted(squares) == [number**2 for number in range(8)]
