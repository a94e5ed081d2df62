"""Ask the Human Protein Atlas's host for files: slowly, patiently, and for nothing else.

Only the hosts of the configured release and those the user allows are contacted, redirects
included. What comes back is checked before anyone sees it.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import requests
from urllib3.exceptions import HTTPError

from cacl import __version__
from cacl.errors import ImageError, Reason
from cacl.hpa.http.deadline import DeadlineAdapter, cut_after
from cacl.hpa.http.headers import retry_after_s, sent_on
from cacl.hpa.http.rate import RateLimit
from cacl.hpa.http.session import plain_session
from cacl.hpa.options import SourceOptions
from cacl.hpa.urls import address_of, is_allowed, split_url

log = logging.getLogger(__name__)
PROJECT_URL = "https://github.com/cacl-atlas/cacl-atlas"
USER_AGENT = f"cacl-atlas/{__version__} (+{PROJECT_URL})"
MAX_CONNECTIONS = 4
BLOCK_BYTES = 2**16
OK, PARTIAL, NOT_MODIFIED, BAD_RANGE = 200, 206, 304, 416
BUSY = (408, 425, 429)
GONE = (404, 410)
REDIRECTS = (301, 302, 303, 307, 308)
FIRST_SERVER_ERROR = 500
Result = TypeVar("Result")
Check = Callable[[bytes], None]


@dataclass(frozen=True, kw_only=True)
class HttpLimits:
    """How long to wait for what, and how much to accept.

    Parameters
    ----------
    attempts
        Requests for one file before it is given up.
    bad_bodies
        Answers that are no image before it is given up.
    connect_s, silence_s
        Longest wait for a connection, and for the next byte.
    transfer_s, total_s
        Longest time for the headers of an answer, for the body of an image, and for one file with
        all its attempts.
    run_s
        Longest time for all files of a client together, None for no end. When it is over, the
        files that are not there yet fail as `POSTPONED`; the next run goes on with them.
    unreachable_in_a_row
        Files without an answer, one after the other, after which the host is left alone: the rest
        fail as `UNREACHABLE` without being asked for.
    first_wait_s, longest_wait_s
        Wait after the first failure (it doubles, with jitter), and the longest wait; a host that
        asks for a longer one is left alone: the rest fail as `UNREACHABLE`, too.
    file_bytes
        Largest file that is read into memory.
    redirects
        Redirections that are followed.
    """

    attempts: int = 6
    bad_bodies: int = 3
    connect_s: float = 10.0
    silence_s: float = 30.0
    transfer_s: float = 300.0
    total_s: float = 900.0
    run_s: float | None = None
    unreachable_in_a_row: int = 20
    first_wait_s: float = 1.0
    longest_wait_s: float = 300.0
    file_bytes: int = 100 * 10**6
    redirects: int = 4


@dataclass(frozen=True)
class Response:
    """The bytes of a file, and the host's name for this version of it (empty if it has none)."""

    data: bytes
    etag: str


class RetryableError(Exception):
    """An answer that another attempt may better; used within the client only."""

    def __init__(self, reason: Reason, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.wait_s = wait_s


class Client:
    """Pooled connections to the hosts of one source, for use by several threads.

    Parameters
    ----------
    source
        Release, allowed hosts, requests a second.
    limits
        Time-outs, attempts, sizes.
    """

    def __init__(self, source: SourceOptions, limits: HttpLimits | None = None) -> None:
        self.source = source
        self.limits = limits or HttpLimits()
        self._stop = threading.Event()
        self._stopped_because = (Reason.POSTPONED, "The run was stopped")
        self._in_a_row = 0
        self._lock = threading.Lock()
        self._budget: threading.Timer | None = None
        self._rate = RateLimit(source.requests_per_second, self._stop)
        self._connections = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._jitter = random.SystemRandom()
        adapter = DeadlineAdapter(self.limits.transfer_s, connections=MAX_CONNECTIONS)
        self._session = plain_session(adapter, USER_AGENT)

    def __enter__(self) -> Self:
        if self.limits.run_s is not None:
            self._budget = threading.Timer(self.limits.run_s, self._spend_budget)
            self._budget.daemon = True
            self._budget.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._budget is not None:
            self._budget.cancel()
        self.stop()
        self._session.close()

    def stop(self) -> None:
        """End all waiting: threads in the middle of a file give it up at their next step."""
        self._stop.set()

    def fetch(self, url: str, check: Check) -> Response:
        """Return a file's bytes.

        Parameters
        ----------
        url
            Address in the catalog; `source.host` may stand for its host.
        check
            Raises `ImageError` for bytes that are not what they should be; the host is then asked
            a few times more, because a busy one may answer with a page that says so.

        Raises
        ------
        ImageError
            `NOT_FOUND`, `REFUSED`, `UNREACHABLE`, `POSTPONED`, `UNSAFE_URL`, `TOO_LARGE`, or what
            `check` says.
        """
        return self.ask(url, dict, lambda response: self._read(response, check))

    def fetch_if_changed(self, url: str, check: Check, *, etag: str) -> Response | None:
        """Return a file's bytes, or None if it still is the version that `etag` names."""

        def read(response: requests.Response) -> Response | None:
            if response.status_code == NOT_MODIFIED:
                return None
            return self._read(response, check)

        return self.ask(url, lambda: {"If-None-Match": etag}, read)

    def ask(
        self,
        url: str,
        headers: Callable[[], dict[str, str]],
        read: Callable[[requests.Response], Result],
    ) -> Result:
        """Ask for a URL until `read` accepts the answer; see `fetch` for the errors.

        Parameters
        ----------
        url
            Address in the catalog.
        headers
            Called before each attempt for the headers to send with it.
        read
            Called with a response of status 200, 206, 304 or 416 whose body was not read yet;
            raises `RetryableError` for another attempt.
        """
        try:
            result = self._ask(address_of(url, self.source), headers, read)
        except ImageError as error:
            self._note(unreachable=error.reason is Reason.UNREACHABLE)
            raise
        self._note(unreachable=False)
        return result

    def _ask(
        self,
        address: str,
        headers: Callable[[], dict[str, str]],
        read: Callable[[requests.Response], Result],
    ) -> Result:
        deadline = time.monotonic() + self.limits.total_s
        bad_bodies = 0
        for attempt in range(1, self.limits.attempts + 1):
            try:
                return self._attempt(address, headers(), read)
            except RetryableError as error:
                problem = error
            bad_bodies += problem.reason is not Reason.UNREACHABLE
            wait = self._wait_s(attempt, problem)
            if bad_bodies == self.limits.bad_bodies or attempt == self.limits.attempts:
                break
            if wait > self.limits.longest_wait_s:
                self._end(Reason.UNREACHABLE, f"The host asked to be left alone for {wait:.0f} s")
                break
            if time.monotonic() + wait > deadline:
                break
            log.info("%s: %s; asking again in %.1f s", address, problem, wait)
            if self._stop.wait(wait):
                raise self._stopped(address) from problem
        hint = "" if problem.reason is not Reason.UNREACHABLE else "; run again later"
        raise ImageError(problem.reason, f"{problem} ({attempt} attempt(s)){hint}")

    def read_blocks(
        self, response: requests.Response, *, transfer_s: float, decode: bool = True
    ) -> Iterator[bytes]:
        """Yield a body's blocks as they come, with its Content-Encoding undone if `decode`.

        Raises
        ------
        RetryableError
            They take too long.
        ImageError
            `POSTPONED` or `UNREACHABLE`: the client was stopped.
        """
        block: bytes | None = None
        with cut_after(transfer_s, response.raw.shutdown) as late:
            try:
                while block != b"" and not (late.is_set() or self._stop.is_set()):
                    block = response.raw.read1(BLOCK_BYTES, decode_content=decode)
                    if block:
                        yield block
            except HTTPError:
                if not late.is_set():
                    raise
        if block != b"" and not late.is_set():
            raise self._stopped(response.url)
        if late.is_set():
            raise RetryableError(Reason.UNREACHABLE, f"The answer of {response.url} takes too long")

    def _spend_budget(self) -> None:
        self._end(Reason.POSTPONED, f"The time of the run ({self.limits.run_s:g} s) was over")

    def _note(self, *, unreachable: bool) -> None:
        """Leave a host alone that gives no answer for one file after another."""
        with self._lock:
            self._in_a_row = self._in_a_row + 1 if unreachable else 0
            too_many = self._in_a_row >= self.limits.unreachable_in_a_row
        if too_many:
            why = f"The host gave no usable answer for {self._in_a_row} files in a row"
            self._end(Reason.UNREACHABLE, why)

    def _end(self, reason: Reason, why: str) -> None:
        """Stop asking; the files that are not there yet fail for this reason."""
        with self._lock:
            if self._stop.is_set():
                return
            self._stopped_because = (reason, why)
            self._stop.set()
        log.warning("%s; no more files are asked for", why)

    def _stopped(self, address: str) -> ImageError:
        reason, why = self._stopped_because
        return ImageError(reason, f"{why} before {address} was there; run again to go on")

    def _attempt(
        self, address: str, headers: dict[str, str], read: Callable[[requests.Response], Result]
    ) -> Result:
        with self._connections:
            for _ in range(self.limits.redirects + 1):
                self._check(address)
                self._rate.take_turn()
                if self._stop.is_set():
                    raise self._stopped(address)
                try:
                    with self._get(address, headers) as response:
                        if response.status_code not in REDIRECTS:
                            self._check_status(address, response)
                            return read(response)
                        address = sent_on(address, response.headers.get("Location", ""))
                except requests.exceptions.SSLError as error:
                    raise ImageError(
                        Reason.UNREACHABLE,
                        f"The certificate of {address} is not accepted ({error}); if your network "
                        "has its own authority, name it in REQUESTS_CA_BUNDLE",
                    ) from error
                except (requests.RequestException, HTTPError) as error:
                    raise RetryableError(
                        Reason.UNREACHABLE, f"No whole answer from {address}: {error}"
                    ) from error
        raise ImageError(
            Reason.UNREACHABLE,
            f"{address} is redirected more than {self.limits.redirects} times; check it in a "
            "browser",
        )

    def _get(self, address: str, headers: dict[str, str]) -> requests.Response:
        timeout = (self.limits.connect_s, self.limits.silence_s)
        return self._session.get(
            address, headers=headers, stream=True, allow_redirects=False, timeout=timeout
        )

    def _check(self, address: str) -> None:
        if not is_allowed(split_url(address), self.source):
            raise ImageError(
                Reason.UNSAFE_URL,
                f"{address[:200]!r} is on a host that this run may not contact; if you trust it, "
                "add it to source.allowed_hosts",
            )

    def _check_status(self, address: str, response: requests.Response) -> None:
        status = response.status_code
        if status in (OK, PARTIAL, NOT_MODIFIED, BAD_RANGE):
            return
        if status in GONE:
            raise ImageError(
                Reason.NOT_FOUND, f"HTTP {status} for {address}: the host has no such file"
            )
        if status not in BUSY and status < FIRST_SERVER_ERROR:
            raise ImageError(
                Reason.REFUSED,
                f"HTTP {status} for {address}: the host refuses the file; look at it in a browser",
            )
        wait = retry_after_s(response.headers.get("Retry-After", ""))
        if wait is not None:
            self._rate.pause(min(wait, self.limits.longest_wait_s))
        raise RetryableError(Reason.UNREACHABLE, f"HTTP {status} for {address}", wait)

    def _read(self, response: requests.Response, check: Check) -> Response:
        if response.status_code != OK:
            message = f"HTTP {response.status_code} for {response.url}, expected {OK}"
            raise RetryableError(Reason.UNREACHABLE, message)
        data = self._body(response)
        try:
            check(data)
        except ImageError as error:
            if error.reason is Reason.TOO_LARGE:
                raise
            raise RetryableError(error.reason, str(error)) from error
        return Response(data, response.headers.get("ETag", ""))

    def _body(self, response: requests.Response) -> bytes:
        blocks: list[bytes] = []
        size = 0
        for block in self.read_blocks(response, transfer_s=self.limits.transfer_s):
            size += len(block)
            if size > self.limits.file_bytes:
                raise ImageError(
                    Reason.TOO_LARGE,
                    f"The host sends more than {self.limits.file_bytes} bytes for one file; a core "
                    "has about a million",
                )
            blocks.append(block)
        return b"".join(blocks)

    def _wait_s(self, attempt: int, problem: RetryableError) -> float:
        """Return the wait before the next attempt: what the host asks for, else doubling."""
        doubling = self.limits.first_wait_s * 2.0 ** (attempt - 1)
        longest = min(doubling, self.limits.longest_wait_s)
        jittered = longest * self._jitter.uniform(0.5, 1.0)
        return jittered if problem.wait_s is None else problem.wait_s + jittered / 10
