"""Limits on HTTP requests: timeouts, request rate, sizes, credentials and redirects."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.response import HTTPResponse

from cacl.errors import ImageError, Reason

BURST_S = 0.05
HEADERS_TIMED_OUT = "its headers take too long"


@dataclass(frozen=True, kw_only=True)
class HttpLimits:
    """Timeouts, retries and sizes of a client.

    Parameters
    ----------
    max_attempts
        Requests for one file before the file fails.
    max_invalid_bodies
        Bodies that fail validation before the file fails.
    connect_timeout_s, read_timeout_s
        Longest wait for a connection, and for the next byte, in seconds.
    transfer_timeout_s
        Longest time for the headers of a response, and for the body of an image, in seconds.
    file_timeout_s
        Longest time for one file with all its attempts, in seconds.
    run_timeout_s
        Longest time for all files of a client, in seconds; None for no limit. Files that are
        missing when it ends fail as `POSTPONED`, and the next run continues with them.
    max_consecutive_failures
        Consecutive files without a response after which the client stops: the remaining files
        fail as `UNREACHABLE` without a request.
    initial_backoff_s, max_backoff_s
        Wait after the first failure (it doubles, with jitter), and the longest wait, in seconds.
        If the host requests a longer wait, the client stops as above.
    max_file_bytes
        Largest file that is read into memory.
    max_redirects
        Redirects that are followed for one request.
    """

    max_attempts: int = 6
    max_invalid_bodies: int = 3
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 30.0
    transfer_timeout_s: float = 300.0
    file_timeout_s: float = 900.0
    run_timeout_s: float | None = None
    max_consecutive_failures: int = 20
    initial_backoff_s: float = 1.0
    max_backoff_s: float = 300.0
    max_file_bytes: int = 100 * 10**6
    max_redirects: int = 4


class RateLimit:
    """A token bucket with a capacity of 50 ms: evenly spaced requests, and pauses for all threads.

    A token that is used slightly late does not delay the next tokens, so the rate is kept while
    all connections are busy for a moment. The rate is not exceeded for longer than 50 ms.

    Parameters
    ----------
    requests_per_second
        Rate, over all threads.
    stop
        Ends every wait when it is set.
    """

    def __init__(self, requests_per_second: float, stop: threading.Event) -> None:
        self._interval_s = 1.0 / requests_per_second
        self._stop = stop
        self._lock = threading.Lock()
        self._next = time.monotonic()
        self._pauses = 0

    def acquire(self) -> None:
        """Wait for a token; a pause that starts during the wait invalidates the token."""
        while True:
            with self._lock:
                token_time = max(self._next, time.monotonic() - BURST_S)
                self._next = token_time + self._interval_s
                pauses = self._pauses
            while (wait := token_time - time.monotonic()) > 0 and not self._stop.wait(wait):
                pass
            with self._lock:
                if pauses == self._pauses or self._stop.is_set():
                    return

    def pause(self, seconds: float) -> None:
        """Issue no token for a time that the host requests."""
        with self._lock:
            self._pauses += 1
            self._next = max(self._next, time.monotonic() + seconds)


@contextmanager
def total_timeout(seconds: float, abort: Callable[[], object]) -> Iterator[threading.Event]:
    """Yield an event that is set, and call `abort`, when the block takes longer than `seconds`.

    The timeout of a socket restarts with every byte, so a host that sends one byte a second would
    otherwise hold a connection for hours.
    """
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        with suppress(OSError):
            abort()

    timer = threading.Timer(seconds, expire)
    timer.daemon = True
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()


class HeaderTimeoutAdapter(HTTPAdapter):
    """Connections that fail unless the headers of a response arrive within `headers_s` seconds."""

    def __init__(self, headers_s: float, *, connections: int) -> None:
        self._pool_classes = _pool_classes(headers_s)
        super().__init__(pool_connections=connections, pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Create the pools of direct connections."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = self._pool_classes

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Return the pools of connections through a proxy."""
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = self._pool_classes
        return manager


def _pool_classes(headers_s: float) -> dict[str, type[HTTPConnectionPool]]:
    def response_within(
        connection: HTTPConnection | HTTPSConnection, get_response: Callable[[], HTTPResponse]
    ) -> HTTPResponse:
        sock: socket.socket = connection.sock
        with total_timeout(headers_s, lambda: sock.shutdown(socket.SHUT_RDWR)) as expired:
            try:
                response = get_response()
            except (HTTPException, OSError) as error:
                if expired.is_set():
                    raise ConnectionAbortedError(HEADERS_TIMED_OUT) from error
                raise
        if expired.is_set():
            raise ConnectionAbortedError(HEADERS_TIMED_OUT)
        return response

    class TimedHttpConnection(HTTPConnection):
        def getresponse(self) -> HTTPResponse:  # type: ignore[override]
            return response_within(self, super().getresponse)

    class TimedHttpsConnection(HTTPSConnection):
        def getresponse(self) -> HTTPResponse:  # type: ignore[override]
            return response_within(self, super().getresponse)

    class HttpPool(HTTPConnectionPool):
        ConnectionCls = TimedHttpConnection

    class HttpsPool(HTTPSConnectionPool):
        ConnectionCls = TimedHttpsConnection

    return {"http": HttpPool, "https": HttpsPool}


class _NoCredentials(requests.auth.AuthBase):
    """Keeps requests from sending the credentials of a user's `.netrc`."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class _NoRedirectSession(requests.Session):
    """A session that ignores redirects; requests would read their whole body, of any length."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return that there is no redirect to follow."""


def anonymous_session(adapter: HTTPAdapter, user_agent: str) -> requests.Session:
    """Return a session without credentials, cookies, redirects or transparent compression."""
    session = _NoRedirectSession()
    session.headers.update({"User-Agent": user_agent, "Accept-Encoding": "identity"})
    session.auth = _NoCredentials()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, adapter)
    return session


def redirect_target(url: str, location: str) -> str:
    """Return the URL that a redirect points to, without checking whether its host is allowed.

    Parameters
    ----------
    url
        URL of the request.
    location
        Value of the Location header of the response.

    Raises
    ------
    ImageError
        `UNSAFE_URL`: the value is no URL, or changes from https to http, where the response could
        be forged.
    """
    try:
        target = urljoin(url, location)
    except ValueError as error:
        raise ImageError(
            Reason.UNSAFE_URL,
            f"{url} is redirected to {location[:200]!r}, which is no URL; check it in a browser",
        ) from error
    if url.startswith("https:") and target.startswith("http:"):
        raise ImageError(
            Reason.UNSAFE_URL,
            f"{url} is redirected to {location[:200]!r} without https; check it in a browser",
        )
    return target


def retry_after_s(value: str) -> float | None:
    """Return the wait that a Retry-After header requests, in seconds; None if it is invalid.

    RFC 9110, section 10.2.3: a number of seconds, or a date.
    """
    value = value.strip()
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, date.timestamp() - time.time())
