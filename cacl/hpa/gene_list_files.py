"""Which of the configured gene names are paths of lists.

A module of its own, because the workflow imports it for every job.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cacl.hpa.local_path import exists

ALL = "all"
LIST_SUFFIXES = (".txt", ".csv", ".tsv", ".tab", ".list", ".lst", ".xls", ".xlsx", ".ods")


def is_list(name: str) -> bool:
    """Return whether a name is the path of a list: it has a `/`, its suffix, or exists."""
    return "/" in name or name.lower().endswith(LIST_SUFFIXES) or exists(Path(name))


def list_files(names: Iterable[str]) -> list[Path]:
    """Return the names that are paths of lists; none if one of them is "all"."""
    stripped = [name.strip() for name in names]
    if any(name.lower() == ALL for name in stripped):
        return []
    return [Path(name) for name in stripped if name and is_list(name)]
