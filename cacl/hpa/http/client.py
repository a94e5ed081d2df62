"""Download files of the Human Protein Atlas, with retries, a request rate and a host allow-list.

The client contacts only the hosts of the configured release and the hosts that the user allows,
also for redirects. It validates every body before it returns the body.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import requests
from urllib3.exceptions import HTTPError

from cacl import __version__
from cacl.config import SourceConfig
from cacl.errors import ImageError, Reason, ResourceError
from cacl.hpa.http.limits import (
    HeaderTimeoutAdapter,
    HttpLimits,
    RateLimit,
    anonymous_session,
    redirect_target,
    retry_after_s,
    total_timeout,
)
from cacl.hpa.urls import is_allowed, request_url, split_url

log = logging.getLogger(__name__)
PROJECT_URL = "https://github.com/cacl-atlas/cacl-atlas"
USER_AGENT = f"cacl-atlas/{__version__} (+{PROJECT_URL})"
MAX_CONNECTIONS = 4
BLOCK_BYTES = 2**16
OK, PARTIAL, NOT_MODIFIED, RANGE_NOT_SATISFIABLE = 200, 206, 304, 416
RETRYABLE = (408, 425, 429)
NOT_FOUND = (404, 410)
REDIRECTS = (301, 302, 303, 307, 308)
FIRST_SERVER_ERROR = 500
Result = TypeVar("Result")
Validator = Callable[[bytes], None]
BodyReader = Callable[[requests.Response], Result]


@dataclass(frozen=True)
class Response:
    """The body of a file and its ETag (empty if the host sends none)."""

    data: bytes
    etag: str


class RetryableError(Exception):
    """A response that another attempt may improve; raised within this package only."""

    def __init__(self, reason: Reason, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.wait_s = wait_s


class Client:
    """Pooled connections to the hosts of one source, for use by several threads.

    Parameters
    ----------
    source
        Release, allowed hosts, request rate.
    limits
        Timeouts, attempts, sizes.

    Attributes
    ----------
    was_answered
        Whether any request had a response other than "try again later".
    """

    def __init__(self, source: SourceConfig, limits: HttpLimits | None = None) -> None:
        self.source = source
        self.limits = limits or HttpLimits()
        self._stop = threading.Event()
        self._stop_cause = (Reason.POSTPONED, "The run was stopped")
        self._consecutive_failures = 0
        self.was_answered = False
        self._lock = threading.Lock()
        self._run_timer: threading.Timer | None = None
        self._rate = RateLimit(source.requests_per_second, self._stop)
        self._connections = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._random = random.SystemRandom()
        adapter = HeaderTimeoutAdapter(self.limits.transfer_timeout_s, connections=MAX_CONNECTIONS)
        self._session = anonymous_session(adapter, USER_AGENT)

    def __enter__(self) -> Self:
        if self.limits.run_timeout_s is not None:
            self._run_timer = threading.Timer(self.limits.run_timeout_s, self._end_run)
            self._run_timer.daemon = True
            self._run_timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._run_timer is not None:
            self._run_timer.cancel()
        self.stop()
        self._session.close()

    def stop(self) -> None:
        """End all waits; a thread that downloads a file fails at its next block."""
        self._stop.set()

    def fetch(self, url: str, validate: Validator) -> Response:
        """Return the body of a file.

        Parameters
        ----------
        url
            URL in the catalog; `source.host` may replace its host.
        validate
            Raises `ImageError` for an invalid body. The client then repeats the request up to
            `max_invalid_bodies` times, because a busy host may send a web page with status 200.

        Raises
        ------
        ImageError
            `NOT_FOUND`, `REFUSED`, `UNREACHABLE`, `POSTPONED`, `UNSAFE_URL`, `TOO_LARGE`, or the
            reason of `validate`.
        """
        return self.request(url, dict, lambda response: self._read_valid(response, validate))

    def fetch_if_changed(self, url: str, validate: Validator, *, etag: str) -> Response | None:
        """Return the body of a file, or None if the host's version still has this ETag."""

        def read(response: requests.Response) -> Response | None:
            if response.status_code == NOT_MODIFIED:
                return None
            return self._read_valid(response, validate)

        return self.request(url, lambda: {"If-None-Match": etag}, read)

    def request(
        self, url: str, headers: Callable[[], dict[str, str]], read: BodyReader[Result]
    ) -> Result:
        """Request a URL until `read` accepts the response.

        Parameters
        ----------
        url
            URL in the catalog.
        headers
            Called before each attempt; returns the headers of the request.
        read
            Called with a response of status 200, 206, 304 or 416 whose body is unread; raises
            `RetryableError` for another attempt.

        Raises
        ------
        ImageError
            As for `fetch`, without the reasons of a validator.
        """
        try:
            result = self._request_with_retries(request_url(url, self.source), headers, read)
        except ImageError as error:
            if error.reason is Reason.UNREACHABLE:
                self._record_failure()
            else:
                self._record_success()
            raise
        self._record_success()
        return result

    def read_blocks(
        self, response: requests.Response, *, timeout_s: float, decode: bool = True
    ) -> Iterator[bytes]:
        """Yield the blocks of a body as they arrive.

        Parameters
        ----------
        response
            A response whose body is unread.
        timeout_s
            Longest time for the whole body, in seconds.
        decode
            Undo the Content-Encoding.

        Raises
        ------
        RetryableError
            The body exceeds the timeout.
        ImageError
            `POSTPONED` or `UNREACHABLE`: the client was stopped.
        """
        block: bytes | None = None
        with total_timeout(timeout_s, response.raw.shutdown) as expired:
            try:
                while block != b"" and not (expired.is_set() or self._stop.is_set()):
                    block = response.raw.read1(BLOCK_BYTES, decode_content=decode)
                    if block:
                        yield block
            except HTTPError:
                if not expired.is_set():
                    raise
        if block != b"" and not expired.is_set():
            raise self._stopped_error(response.url)
        if expired.is_set():
            raise RetryableError(
                Reason.UNREACHABLE, f"The response of {response.url} takes too long"
            )

    def _request_with_retries(
        self, url: str, headers: Callable[[], dict[str, str]], read: BodyReader[Result]
    ) -> Result:
        deadline = time.monotonic() + self.limits.file_timeout_s
        invalid_bodies = 0
        for attempt in range(1, self.limits.max_attempts + 1):
            try:
                return self._attempt(url, headers(), read)
            except RetryableError as error:
                problem = error
            invalid_bodies += problem.reason is not Reason.UNREACHABLE
            wait = self._wait_s(attempt, problem)
            if (
                invalid_bodies == self.limits.max_invalid_bodies
                or attempt == self.limits.max_attempts
            ):
                break
            if wait > self.limits.max_backoff_s:
                self._trip(Reason.UNREACHABLE, f"The host requests a wait of {wait:.0f} s")
                break
            if time.monotonic() + wait > deadline:
                break
            log.info("%s: %s; retrying in %.1f s", url, problem, wait)
            if self._stop.wait(wait):
                raise self._stopped_error(url) from problem
        hint = "" if problem.reason is not Reason.UNREACHABLE else "; run again later"
        raise ImageError(problem.reason, f"{problem} ({attempt} attempt(s)){hint}") from problem

    def _attempt(self, url: str, headers: dict[str, str], read: BodyReader[Result]) -> Result:
        with self._connections:
            for _ in range(self.limits.max_redirects + 1):
                self._check_host(url)
                self._rate.acquire()
                if self._stop.is_set():
                    raise self._stopped_error(url)
                try:
                    with self._get(url, headers) as response:
                        if response.status_code not in REDIRECTS:
                            self._check_status(url, response)
                            return read(response)
                        url = redirect_target(url, response.headers.get("Location", ""))
                except requests.exceptions.SSLError as error:
                    raise ImageError(
                        Reason.UNREACHABLE,
                        f"The certificate of {url} is not accepted ({error}); if your network has "
                        "its own certificate authority, set REQUESTS_CA_BUNDLE to its file",
                    ) from error
                except (requests.RequestException, HTTPError) as error:
                    raise RetryableError(
                        Reason.UNREACHABLE, f"No complete response from {url}: {error}"
                    ) from error
        raise ImageError(
            Reason.UNREACHABLE,
            f"{url} is redirected more than {self.limits.max_redirects} times; check it in a "
            "browser",
        )

    def _get(self, url: str, headers: dict[str, str]) -> requests.Response:
        timeout = (self.limits.connect_timeout_s, self.limits.read_timeout_s)
        return self._session.get(
            url, headers=headers, stream=True, allow_redirects=False, timeout=timeout
        )

    def _check_host(self, url: str) -> None:
        if not is_allowed(split_url(url), self.source):
            raise ImageError(
                Reason.UNSAFE_URL,
                f"{url[:200]!r} is on a host that this run may not contact; if you trust it, add "
                "it to source.allowed_hosts",
            )

    def _check_status(self, url: str, response: requests.Response) -> None:
        status = response.status_code
        if status not in RETRYABLE and status < FIRST_SERVER_ERROR:
            self.was_answered = True
        if status in (OK, PARTIAL, NOT_MODIFIED, RANGE_NOT_SATISFIABLE):
            return
        if status in NOT_FOUND:
            raise ImageError(
                Reason.NOT_FOUND, f"HTTP {status} for {url}: the host has no such file"
            )
        if status not in RETRYABLE and status < FIRST_SERVER_ERROR:
            raise ImageError(
                Reason.REFUSED,
                f"HTTP {status} for {url}: the host refuses the file; check it in a browser",
            )
        wait = retry_after_s(response.headers.get("Retry-After", ""))
        if wait is not None:
            self._rate.pause(min(wait, self.limits.max_backoff_s))
        raise RetryableError(Reason.UNREACHABLE, f"HTTP {status} for {url}", wait)

    def _read_valid(self, response: requests.Response, validate: Validator) -> Response:
        if response.status_code != OK:
            message = f"HTTP {response.status_code} for {response.url}, expected {OK}"
            raise RetryableError(Reason.UNREACHABLE, message)
        data = self._read_body(response)
        try:
            validate(data)
        except ImageError as error:
            if error.reason is Reason.TOO_LARGE:
                raise
            raise RetryableError(error.reason, str(error)) from error
        return Response(data, response.headers.get("ETag", ""))

    def _read_body(self, response: requests.Response) -> bytes:
        blocks: list[bytes] = []
        size = 0
        for block in self.read_blocks(response, timeout_s=self.limits.transfer_timeout_s):
            size += len(block)
            if size > self.limits.max_file_bytes:
                raise ImageError(
                    Reason.TOO_LARGE,
                    f"The host sends more than {self.limits.max_file_bytes} bytes for one file; "
                    "the image of a core has about a million",
                )
            blocks.append(block)
        return b"".join(blocks)

    def _wait_s(self, attempt: int, problem: RetryableError) -> float:
        """Return the wait before the next attempt: the host's Retry-After, else a backoff."""
        backoff = self.limits.initial_backoff_s * 2.0 ** (attempt - 1)
        jittered = min(backoff, self.limits.max_backoff_s) * self._random.uniform(0.5, 1.0)
        return jittered if problem.wait_s is None else problem.wait_s + jittered / 10

    def _record_success(self) -> None:
        with self._lock:
            self._consecutive_failures = 0

    def _record_failure(self) -> None:
        """Count a file without a response; stop the client after too many in a row."""
        with self._lock:
            self._consecutive_failures += 1
            count = self._consecutive_failures
        if count >= self.limits.max_consecutive_failures:
            self._trip(
                Reason.UNREACHABLE, f"The host gave no usable response for {count} files in a row"
            )

    def _end_run(self) -> None:
        seconds = self.limits.run_timeout_s
        self._trip(Reason.POSTPONED, f"The time limit of the run ({seconds:g} s) was reached")

    def _trip(self, reason: Reason, cause: str) -> None:
        """Stop the client; the remaining files fail with this reason."""
        with self._lock:
            if self._stop.is_set():
                return
            self._stop_cause = (reason, cause)
            self._stop.set()
        log.warning("%s; no more files are requested", cause)

    def _stopped_error(self, url: str) -> ImageError:
        reason, cause = self._stop_cause
        return ImageError(
            reason, f"{cause} before {url} was downloaded; run again to continue with it"
        )


def raise_if_unanswered(client: Client, errors: Sequence[ImageError]) -> None:
    """Raise if files failed and no request of this client was answered.

    Without a network every file fails. That says nothing about the files, so it is an error of the
    run; one file that fails while others are answered is a failure of that file.

    Raises
    ------
    ResourceError
        The host was unreachable for all files.
    """
    unreachable = [error for error in errors if error.reason is Reason.UNREACHABLE]
    if unreachable and not client.was_answered:
        raise ResourceError(
            f"The host answered no request: {unreachable[0]}; check the network, the name of the "
            "host and the proxy (`cacl doctor` tries it), then run the same command again: it "
            "continues where it stopped"
        )
