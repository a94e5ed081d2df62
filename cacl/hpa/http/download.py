"""Fetch a file that is too large for memory, going on where the last attempt stopped."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import requests

from cacl.errors import ImageError, Reason
from cacl.hpa.http.client import BAD_RANGE, OK, PARTIAL, Client, RetryableError
from cacl.hpa.http.locks import commit, locked_part

DAY_S = 86_400.0
KEEPS_PART = (Reason.UNREACHABLE, Reason.POSTPONED)
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


def download(
    client: Client, url: str, target: Path, *, max_bytes: int, sign: Callable[[Path, str], object]
) -> None:
    """Fetch a file to `target` unless it is there.

    A part that an earlier attempt (or a killed process) left is continued with Range and If-Range
    (RFC 9110, section 14): if the file has changed since, the host sends it whole. A `.gz` file is
    kept as it is stored, also where the host calls its compression a Content-Encoding.

    Parameters
    ----------
    client
        Asks the host.
    url
        Address in the catalog.
    target
        The file to be.
    max_bytes
        Largest file that is accepted.
    sign
        Called with the whole file and the host's ETag before the file takes its name, to write its
        receipt: so there never is a file without one.

    Raises
    ------
    ImageError
        As for `Client.fetch`; the part is kept for the next attempt if the host was unreachable
        or the time over.
    OSError
        The disk is full or the folder cannot be written.
    """
    with locked_part(target, keep=True) as part:
        version = part.with_name(f"{part.name}.version")
        if not target.exists():
            try:
                _complete(client, url, part, version, max_bytes)
            except ImageError as error:
                if error.reason not in KEEPS_PART:
                    part.unlink(missing_ok=True)
                    version.unlink(missing_ok=True)
                raise
            sign(part, _known(version))
            commit(part, target)
        version.unlink(missing_ok=True)


def _complete(client: Client, url: str, part: Path, version: Path, max_bytes: int) -> None:
    """Ask until the part is the whole file; as long as attempts bring bytes, make more."""
    while True:
        before = part.stat().st_size
        try:
            return client.ask(
                url,
                lambda: _headers(part, version),
                lambda response: _append(client, response, part, version, max_bytes),
            )
        except ImageError as error:
            if error.reason is not Reason.UNREACHABLE or part.stat().st_size <= before:
                raise


def _known(version: Path) -> str:
    """Return the ETag of the file that the part is a part of; empty if it has none."""
    return version.read_text(encoding="utf-8") if version.exists() else ""


def _headers(part: Path, version: Path) -> dict[str, str]:
    """Return the headers that ask for the rest, if it is known what the part is a part of."""
    size = part.stat().st_size
    known = _known(version)
    if not (size and known) or known.startswith("W/"):
        return {}
    return {"Range": f"bytes={size}-", "If-Range": known}


def _append(
    client: Client, response: requests.Response, part: Path, version: Path, max_bytes: int
) -> None:
    size = part.stat().st_size
    sent = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    status = response.status_code
    whole = response.headers.get("Content-Range") == f"bytes */{size}"
    if status == BAD_RANGE and whole and _headers(part, version):
        return
    if status in (OK, PARTIAL) and response.raw.length_remaining is None:
        _refuse_endless(response)
    fits = status == PARTIAL and sent is not None and int(sent[1]) == size
    if not fits and status != OK:
        part.write_bytes(b"")
        version.unlink(missing_ok=True)
        what = "no longer has" if status == BAD_RANGE else "sends another part than"
        raise RetryableError(
            Reason.UNREACHABLE, f"{response.url} {what} the part that was asked for"
        )
    decode = not part.name.endswith(".gz.part")
    if status == OK:
        part.write_bytes(b"")
        as_stored = not (decode and response.headers.get("Content-Encoding"))
        etag = response.headers.get("ETag", "") if as_stored else ""
        version.write_text(etag, encoding="utf-8")
        size = 0
    with part.open("ab") as stream:
        for block in client.read_blocks(response, transfer_s=DAY_S, decode=decode):
            size += len(block)
            if size > max_bytes:
                raise ImageError(
                    Reason.TOO_LARGE,
                    f"{response.url} sends more than the {max_bytes} bytes that it may have",
                )
            stream.write(block)


def _refuse_endless(response: requests.Response) -> None:
    """Refuse a body whose end looks like a broken connection: half a file would pass for all."""
    if not response.raw.chunked:
        raise RetryableError(Reason.UNREACHABLE, f"{response.url} does not say how long it is")
