"""The client's request rate, back-off, and conditions to stop."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from cacl.errors import ImageError, Reason
from cacl.hpa.http.client import Client
from cacl.hpa.http.limits import HttpLimits, RateLimit, retry_after_s
from cacl.hpa.provenance import check_jpeg
from tests.fixtures import hpa_server as hpa
from tests.fixtures.hpa_server import HpaServer
from tests.fixtures.http import FAST, IMAGE, URL, fetch, fetch_error, source_options

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HpaServer]:
    with HpaServer(tmp_path / "host") as running:
        running.files[IMAGE] = hpa.jpeg()
        yield running


def test_honours_retry_after_in_seconds(server: HpaServer) -> None:
    server.fail(IMAGE, hpa.status(429, Retry_After="1"))
    start = time.monotonic()
    fetch(server)
    assert time.monotonic() - start >= 1.0


def test_honours_retry_after_as_date(server: HpaServer) -> None:
    date = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    server.fail(IMAGE, hpa.status(503, Retry_After=format_datetime(date, usegmt=True)))
    fetch(server)
    assert datetime.now(UTC) >= date


def test_retry_after_pauses_all_threads(
    server: HpaServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    server.files["/images/1/b.jpg"] = hpa.jpeg()
    server.fail(IMAGE, hpa.status(429, Retry_After="1"))
    with Client(source_options(server), FAST) as client, ThreadPoolExecutor(2) as pool:
        first = pool.submit(client.fetch, URL, check_jpeg)
        while "retrying" not in caplog.text:
            time.sleep(0.01)
        second = pool.submit(client.fetch, "http://v18.proteinatlas.org/images/1/b.jpg", check_jpeg)
        first.result(), second.result()
    times = [when for when, _, _ in server.requests]
    assert min(times[1:]) - times[0] >= 0.9


def test_pause_invalidates_pending_tokens() -> None:
    limit = RateLimit(1.0, threading.Event())
    limit.acquire()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(limit.acquire)
        time.sleep(0.1)
        start = time.monotonic()
        limit.pause(2.0)
        waiting.result()
    assert time.monotonic() - start >= 2.0


def test_stops_if_retry_after_exceeds_max_backoff(server: HpaServer) -> None:
    server.fail(IMAGE, hpa.status(429, Retry_After="86400"))
    with Client(source_options(server), FAST) as client:
        for message in (r"HTTP 429", r"requests a wait of 864\d\d s before .*run again"):
            with pytest.raises(ImageError, match=message) as caught:
                client.fetch(URL, check_jpeg)
            assert caught.value.reason is Reason.UNREACHABLE
    assert len(server.requests) == 1


def test_stops_after_max_consecutive_failures(server: HpaServer) -> None:
    server.fail(IMAGE, hpa.status(503), always=True)
    limits = HttpLimits(max_attempts=2, initial_backoff_s=0.01, max_consecutive_failures=3)
    with Client(source_options(server), limits) as client:
        for path in (IMAGE, IMAGE, "/images/115/gone.jpg", IMAGE, IMAGE, IMAGE, IMAGE, IMAGE):
            with pytest.raises(ImageError) as caught:
                client.fetch(f"http://v18.proteinatlas.org{path}", check_jpeg)
    assert "no usable response for 3 files in a row" in str(caught.value)
    assert caught.value.reason is Reason.UNREACHABLE
    assert server.request_count(IMAGE) == 5 * limits.max_attempts


def test_parses_retry_after() -> None:
    assert retry_after_s("120") == 120
    assert retry_after_s("Thu, 01 Jan 1970 00:00:00 GMT") == 0
    assert retry_after_s("soon") is None
    assert retry_after_s("") is None
    assert retry_after_s("٣") is None


def test_limits_rate_over_all_connections(server: HpaServer) -> None:
    server.latency_s = 0.1
    start = time.monotonic()
    with (
        Client(source_options(server, requests_per_second=40.0)) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        list(pool.map(lambda _: client.fetch(URL, check_jpeg), range(60)))
    times = sorted(when - start for when, _, _ in server.requests)
    assert len(times) == 60
    assert all(when >= turn / 40 for turn, when in enumerate(times))
    assert 2 <= server.max_open <= 4


def test_limits_concurrent_connections(server: HpaServer) -> None:
    server.latency_s = 0.1
    with Client(source_options(server)) as client, ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda _: client.fetch(URL, check_jpeg), range(24)))
    assert server.max_open == 4


def test_stop_interrupts_backoff(server: HpaServer) -> None:
    server.fail(IMAGE, hpa.status(429, Retry_After="200"))
    start = time.monotonic()
    with Client(source_options(server)) as client:
        threading.Timer(0.3, client.stop).start()
        with pytest.raises(ImageError, match=r"The run was stopped before .* was downloaded"):
            client.fetch(URL, check_jpeg)
    assert time.monotonic() - start < 100


def test_stop_interrupts_transfer(server: HpaServer) -> None:
    server.files[IMAGE] = hpa.jpeg(size=256)
    sent = threading.Event()

    def waits(handler: hpa.Handler, data: bytes) -> None:
        handler.send(200, data[:1000], {}, length=len(data))
        sent.wait(30)
        with contextlib.suppress(OSError):
            handler.wfile.write(data[1000:])

    server.fail(IMAGE, waits)
    with (
        Client(source_options(server), HttpLimits(initial_backoff_s=0.01)) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        fetching = pool.submit(client.fetch, URL, check_jpeg)
        while not server.requests:
            time.sleep(0.01)
        client.stop()
        sent.set()
        with pytest.raises(ImageError, match=r"The run was stopped"):
            fetching.result()
    assert server.request_count(IMAGE) == 1


def test_postpones_files_after_run_timeout(server: HpaServer) -> None:
    server.fail(IMAGE, hpa.status(503), always=True)
    start = time.monotonic()
    error = fetch_error(
        server,
        HttpLimits(max_attempts=500, initial_backoff_s=0.3, max_backoff_s=0.3, run_timeout_s=1),
    )
    assert error.reason is Reason.POSTPONED
    assert time.monotonic() - start >= 1
    assert 1 <= server.request_count(IMAGE) < 100
    server.fail(IMAGE)
    with Client(source_options(server), HttpLimits(run_timeout_s=3)) as client:
        assert client.fetch(URL, check_jpeg).data == hpa.jpeg()
        time.sleep(3.1)
        with pytest.raises(
            ImageError, match=r"time limit of the run \(3 s\) was reached.*run again"
        ):
            client.fetch(URL, check_jpeg)
