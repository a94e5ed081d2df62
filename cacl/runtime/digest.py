"""Digests that tell whether a product is up to date."""

from __future__ import annotations

import hashlib
import json


def digest_of(*parts: object) -> str:
    """Return the SHA-256 of the parts' text as JSON, as 64 hexadecimal digits.

    Equal parts give equal digests; `("ab", "c")` and `("a", "bc")` give different ones.
    """
    text = json.dumps([str(part) for part in parts], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
