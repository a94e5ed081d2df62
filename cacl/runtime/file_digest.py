"""Files that hold the SHA-256 of their own bytes, so that every changed bit of them is found.

The digest stands in the file as text, `cacl-sha256:` and 64 hexadecimal digits. It is that of the
file with 64 zeros in the place of the digits. JSON documents, Parquet tables and safetensors files
have room for such a text in their metadata, and every other program still reads them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cacl.runtime.json_text import parse_json

PREFIX = b"cacl-sha256:"
DIGITS = 64
BLANK_DIGEST = (PREFIX + b"0" * DIGITS).decode()
"""The text that a writer puts into the metadata; `embed_digest` replaces it."""

FILE_DIGEST = "file_sha256"
"""Key of the digest in JSON documents."""


class DigestError(ValueError):
    """A file has no digest of its own, or another one than its bytes."""


def embed_digest(data: bytes) -> bytes:
    """Return a file's bytes with the last `BLANK_DIGEST` replaced by its digest.

    Raises
    ------
    ValueError
        The bytes hold no `BLANK_DIGEST`.
    """
    blank = BLANK_DIGEST.encode()
    start = data.rindex(blank) + len(PREFIX)
    digits = hashlib.sha256(data).hexdigest().encode()
    return b"".join((data[:start], digits, data[start + DIGITS :]))


def check_digest(data: bytes) -> str:
    """Return the digest that a file holds, after a check that its bytes have it.

    Raises
    ------
    DigestError
        The file holds no digest, or its bytes have another one.
    """
    found = data.rfind(PREFIX)
    if found < 0:
        raise DigestError("it holds no digest of its own: damaged, or of an earlier version")
    start = found + len(PREFIX)
    digest = hashlib.sha256(memoryview(data)[:start])
    digest.update(b"0" * DIGITS)
    digest.update(memoryview(data)[start + DIGITS :])
    expected, actual = data[start : start + DIGITS], digest.hexdigest()
    if expected != actual.encode():
        shown = expected[:12].decode("ascii", "replace")
        raise DigestError(f"its bytes have changed: SHA-256 {actual[:12]}..., expected {shown}...")
    return actual


def json_with_digest(document: Mapping[str, Any], indent: int = 1) -> bytes:
    """Return a document as JSON with its digest under the key `FILE_DIGEST`, which is the last."""
    others = {key: value for key, value in document.items() if key != FILE_DIGEST}
    text = json.dumps({**others, FILE_DIGEST: BLANK_DIGEST}, indent=indent, ensure_ascii=False)
    return embed_digest(f"{text}\n".encode())


def read_json_with_digest(data: bytes) -> dict[str, Any]:
    """Return the document of `json_with_digest`, with its digest in hexadecimal.

    Raises
    ------
    DigestError
        As for `check_digest`.
    ValueError
        The bytes are no JSON object.
    """
    digest = check_digest(data)
    document = parse_json(data)
    if not isinstance(document, dict):
        raise ValueError("it is no JSON object")
    return document | {FILE_DIGEST: digest}
