"""What headers of an answer ask for: to wait, or to look elsewhere."""

from __future__ import annotations

import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin

from cacl.errors import ImageError, Reason


def sent_on(address: str, location: str) -> str:
    """Return the address that a redirect leads to; whether it may be asked is not checked.

    Raises
    ------
    ImageError
        `UNSAFE_URL`: it is no address, or leaves https for http, where anyone may answer.
    """
    try:
        target = urljoin(address, location)
    except ValueError as error:
        raise ImageError(
            Reason.UNSAFE_URL,
            f"{address} is redirected to {location[:200]!r}, which is no address; check it in a "
            "browser",
        ) from error
    if address.startswith("https:") and target.startswith("http:"):
        raise ImageError(
            Reason.UNSAFE_URL,
            f"{address} is redirected to {location[:200]!r} without https; check it in a browser",
        )
    return target


def retry_after_s(value: str) -> float | None:
    """Return the seconds that a Retry-After header asks to wait, None if it says nothing.

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
