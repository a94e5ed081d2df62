"""Ctrl-C during parallel work: no new image starts, the handler is restored."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from cacl.runtime.images import IMAGES_ON_GPU, run_images
from cacl.runtime.signals import deferred_interrupt, on_interrupt


@dataclass(frozen=True)
class Row:
    image_id: str


def started_before_interrupt(images: int, interrupt_at: int) -> list[str]:
    """Process images, send SIGINT when image number `interrupt_at` starts; return the started."""
    started: list[str] = []

    def work(row: Row) -> Row:
        started.append(row.image_id)
        if len(started) == interrupt_at:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.002)
        return row

    rows = [Row(str(number)) for number in range(images)]
    with pytest.raises(KeyboardInterrupt):
        run_images("segment", rows, work, source=lambda row: row.image_id, jobs=IMAGES_ON_GPU)
    return started


@pytest.fixture
def default_sigint() -> Iterator[None]:
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.mark.parametrize("repetition", range(20))
@pytest.mark.usefixtures("default_sigint")
def test_no_image_starts_after_an_interrupt(repetition: int) -> None:
    started = started_before_interrupt(1500, interrupt_at=4 + repetition)
    assert 4 + repetition <= len(started) < 1500
    assert np.unique(started).size == len(started)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("default_sigint")
def test_interrupt_during_the_last_image_is_raised() -> None:
    assert len(started_before_interrupt(3, interrupt_at=3)) == 3


@pytest.mark.usefixtures("default_sigint")
def test_second_interrupt_is_raised_at_once() -> None:
    flags: list[bool] = []

    def interrupt_twice() -> None:
        with deferred_interrupt() as interrupted:
            os.kill(os.getpid(), signal.SIGINT)
            flags.append(interrupted())
            os.kill(os.getpid(), signal.SIGINT)
            flags.append(False)

    with pytest.raises(KeyboardInterrupt):
        interrupt_twice()
    assert flags == [True]


def test_ignored_interrupt_stays_ignored() -> None:
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with deferred_interrupt() as interrupted:
            os.kill(os.getpid(), signal.SIGINT)
            assert not interrupted()
    finally:
        signal.signal(signal.SIGINT, previous)


@pytest.mark.usefixtures("default_sigint")
def test_callback_takes_a_lock_that_the_interrupted_thread_holds() -> None:
    stopped, lock = threading.Event(), threading.Lock()

    def stop() -> None:
        with lock:
            stopped.set()

    def interrupt() -> None:
        with lock:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(30)

    with on_interrupt(stop), pytest.raises(KeyboardInterrupt):
        interrupt()
    assert stopped.wait(10)


SIGTERMS = """
import os, signal, threading, time
from cacl.runtime.signals import catch_sigterm
with catch_sigterm() as stop:
    def send():
        for _ in range(3000):
            os.kill(os.getpid(), signal.SIGTERM)
    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(stop.is_set())
"""


def test_many_sigterms_at_once_do_not_deadlock() -> None:
    result = subprocess.run(
        [sys.executable, "-c", SIGTERMS], capture_output=True, text=True, timeout=100
    )
    assert (result.returncode, result.stdout) == (0, "True\n"), result.stderr
