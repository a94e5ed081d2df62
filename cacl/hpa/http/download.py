"""Download a file that is too large for memory, with resumption of an interrupted transfer."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests

from cacl.errors import ImageError, Reason
from cacl.hpa.http.client import OK, PARTIAL, RANGE_NOT_SATISFIABLE, Client, RetryableError
from cacl.hpa.http.locks import commit, locked_part

DAY_S = 86_400.0
RESUMABLE = (Reason.UNREACHABLE, Reason.POSTPONED)
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


def download_file(
    client: Client,
    url: str,
    target: Path,
    *,
    max_bytes: int,
    write_record: Callable[[Path, str], object],
) -> None:
    """Download a file to `target` unless it exists.

    A partial file that an earlier attempt (or a killed process) left is continued with Range and
    If-Range (RFC 9110, section 14). If the file has changed since, the host sends the whole file.
    A `.gz` file is stored as it is, even if the host declares its compression as Content-Encoding.

    Parameters
    ----------
    client
        Sends the requests.
    url
        URL in the catalog.
    target
        Path of the file to write.
    max_bytes
        Largest accepted size, in bytes.
    write_record
        Called with the complete temporary file and its ETag before the file is renamed to
        `target`; writes the provenance record. So a target never exists without its record.

    Raises
    ------
    ImageError
        As for `Client.fetch`. The partial file is kept for the next attempt if the host was
        unreachable or the time limit was reached.
    OSError
        The disk is full or the folder cannot be written.
    """
    with locked_part(target, keep=True) as part:
        transfer = _Transfer(client, url, part, max_bytes)
        if not target.exists():
            try:
                transfer.complete()
            except ImageError as error:
                if error.reason not in RESUMABLE:
                    part.unlink(missing_ok=True)
                    transfer.etag_file.unlink(missing_ok=True)
                raise
            write_record(part, transfer.etag())
            commit(part, target)
        transfer.etag_file.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Transfer:
    """A download to a partial file, with the ETag of the complete file beside it."""

    client: Client
    url: str
    part: Path
    max_bytes: int

    @property
    def etag_file(self) -> Path:
        return self.part.with_name(f"{self.part.name}.version")

    def etag(self) -> str:
        """Return the ETag of the file that the partial file belongs to; empty if unknown."""
        return self.etag_file.read_text(encoding="utf-8") if self.etag_file.exists() else ""

    def complete(self) -> None:
        """Send requests until the file is complete, as long as they add bytes."""
        while True:
            size_before = self._size()
            try:
                return self.client.request(self.url, self._headers, self._append)
            except ImageError as error:
                if error.reason is not Reason.UNREACHABLE or self._size() <= size_before:
                    raise

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _headers(self) -> dict[str, str]:
        """Return the headers that request the rest, if the ETag of the partial file is known."""
        size, etag = self._size(), self.etag()
        if not (size and etag) or etag.startswith("W/"):
            return {}
        return {"Range": f"bytes={size}-", "If-Range": etag}

    def _append(self, response: requests.Response) -> None:
        """Append a response to the partial file, or restart the file with it."""
        size = self._size()
        status = response.status_code
        content_range = response.headers.get("Content-Range", "")
        is_complete = content_range == f"bytes */{size}"
        if status == RANGE_NOT_SATISFIABLE and is_complete and self._headers():
            return
        if status in (OK, PARTIAL) and response.raw.length_remaining is None:
            _require_length(response)
        sent_range = CONTENT_RANGE.fullmatch(content_range)
        continues = status == PARTIAL and sent_range is not None and int(sent_range[1]) == size
        if not continues and status != OK:
            self._discard()
            problem = "no longer has" if status == RANGE_NOT_SATISFIABLE else "does not send"
            raise RetryableError(
                Reason.UNREACHABLE, f"{response.url} {problem} the requested range"
            )
        decode = not self.part.name.endswith(".gz.part")
        if status == OK:
            self.part.write_bytes(b"")
            is_decoded = decode and response.headers.get("Content-Encoding")
            etag = "" if is_decoded else response.headers.get("ETag", "")
            self.etag_file.write_text(etag, encoding="utf-8")
            size = 0
        with self.part.open("ab") as stream:
            for block in self.client.read_blocks(response, timeout_s=DAY_S, decode=decode):
                size += len(block)
                if size > self.max_bytes:
                    raise ImageError(
                        Reason.TOO_LARGE,
                        f"{response.url} sends more than the limit of {self.max_bytes} bytes",
                    )
                stream.write(block)

    def _discard(self) -> None:
        self.part.write_bytes(b"")
        self.etag_file.unlink(missing_ok=True)


def _require_length(response: requests.Response) -> None:
    """Reject a body of unknown length: a broken connection would look like its end."""
    if not response.raw.chunked:
        raise RetryableError(Reason.UNREACHABLE, f"{response.url} does not declare its length")
