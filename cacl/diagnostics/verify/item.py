"""One thing to check: a file, or an image of the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """One thing to check.

    Parameters
    ----------
    kind
        What it is, such as `table`; results are counted by kind.
    name
        Its path or identifier.
    check
        Raises an error of `cacl.errors` that says what is wrong, and the remedy.
    """

    kind: str
    name: str
    check: Callable[[], object]
