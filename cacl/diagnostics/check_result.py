"""The end of a check: what was looked at, what was found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CheckStatus(StrEnum):
    """How a check ended: `miss` is what a run fails on, `note` what it goes slowly or partly by."""

    OK = "ok"
    NOTE = "note"
    MISS = "miss"


@dataclass(frozen=True)
class Finding:
    """The end of one check."""

    what: str
    verdict: CheckStatus
    found: str
    remedy: str = ""


def judged(what: str, fine: bool, found: str, remedy: str) -> Finding:
    """Return a finding that is fine, or a miss with its remedy."""
    return (
        Finding(what, CheckStatus.OK, found)
        if fine
        else Finding(what, CheckStatus.MISS, found, remedy)
    )
