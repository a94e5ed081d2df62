"""The result of one check of `cacl doctor`: what was checked, its status, and the remedy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CheckStatus(StrEnum):
    """Status of a check: a run fails on `fail`; on `warn` it is slow or lacks a feature."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    Parameters
    ----------
    name
        What was checked.
    status
        How the check ended.
    detail
        What the check found.
    remedy
        How to fix it; empty if there is nothing to fix.
    """

    name: str
    status: CheckStatus
    detail: str
    remedy: str = ""


def check(name: str, passed: bool, detail: str, remedy: str) -> CheckResult:
    """Return a result with status `ok`, or with status `fail` and the remedy."""
    if passed:
        return CheckResult(name, CheckStatus.OK, detail)
    return CheckResult(name, CheckStatus.FAIL, detail, remedy)
