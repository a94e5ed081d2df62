"""Compare two folders of results: first what could be the reason, then what differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cacl import tables
from cacl.diagnostics.compare.products import mask_differences, table_differences
from cacl.errors import TableError
from cacl.model.checkpoint import DESCRIPTION, read_description
from cacl.runtime.file_digest import FILE_DIGEST
from cacl.tables.schemas import AcquiredRow, ImageRow

SHOWN = 5
MAX_TEXT = 40
STEPS = ("catalog", "acquired", "tiles", "training", "segmented", "census", "report")
"""Folders of the tables that record how they were made."""

LABELS = ("label", "class_labels")


@dataclass(frozen=True)
class Topic:
    """One topic of the comparison.

    Parameters
    ----------
    name
        Such as `images` or `masks`.
    differences
        Sentences; none if the runs are equal in it.
    """

    name: str
    differences: tuple[str, ...]

    @property
    def is_equal(self) -> bool:
        """Whether the runs are equal in this topic."""
        return not self.differences


def compare(first: Path, second: Path, jobs: int = 1) -> list[Topic]:
    """Return what differs between two runs, topic by topic.

    Parameters
    ----------
    first, second
        Folders `results`.
    jobs
        Number of masks that are compared at the same time.

    Raises
    ------
    TableError
        A folder has no results, or a table is damaged.
    StoreError, CheckpointError
        A store or a model is damaged.
    """
    folders = first, second
    for folder in folders:
        if not (folder / "catalog" / "images.parquet").exists():
            raise TableError(f"{folder} has no results; name the folder `results` of a run")
    made = [_made_with(folder) for folder in folders]
    return [
        Topic("images", tuple(_images(*folders))),
        Topic("labels", tuple(_labels(*folders))),
        Topic("parameters", tuple(_changes(*(_parameters(steps) for steps in made)))),
        Topic("software", tuple(_changes(*(_software(steps) for steps in made)))),
        Topic("model", tuple(_model(*folders))),
        Topic("tables", tuple(table_differences(first / "report", second / "report"))),
        Topic("masks", tuple(mask_differences(first, second, jobs))),
    ]


def _images(first: Path, second: Path) -> list[str]:
    """Compare the acquired images by the digests of their files."""
    old, new = (
        {
            row.image_id: row.sha256
            for path in sorted((folder / "acquired").glob("*.parquet"))
            for row in tables.read_parquet(path, AcquiredRow)
        }
        for folder in (first, second)
    )
    return _sets(old, new, "image")


def _labels(first: Path, second: Path) -> list[str]:
    old, new = (
        {
            row.image_id: tuple(getattr(row, name) for name in LABELS)
            for row in tables.read_parquet(folder / "catalog" / "images.parquet", ImageRow)
        }
        for folder in (first, second)
    )
    return _sets(old, new, "row in the catalog")


def _sets(old: dict[str, Any], new: dict[str, Any], noun: str) -> list[str]:
    changed = [name for name in old if name in new and old[name] != new[name]]
    groups = (
        ("only in the first run", sorted(set(old) - set(new))),
        ("only in the second run", sorted(set(new) - set(old))),
        ("changed", sorted(changed)),
    )
    return [
        f"{len(names)} {noun}{'' if len(names) == 1 else 's'} {what}: {_shown(names)}"
        for what, names in groups
        if names
    ]


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def _made_with(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the distinct records of how the tables of each step were made."""
    steps: dict[str, list[dict[str, Any]]] = {}
    for name in STEPS:
        for path in sorted((folder / name).glob("*.parquet")):
            record = tables.read_made_with(path)
            if record and record not in steps.setdefault(str(record["step"]), []):
                steps[str(record["step"])].append(record)
    return steps


def _parameters(steps: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    values: dict[str, list[str]] = {}
    for step, records in steps.items():
        for record in records:
            for name, value in record["parameters"].items():
                if (step, name) != ("segment", "model"):  # the topic `model` says more
                    values.setdefault(f"{step}: {name}", []).append(str(value))
    return {name: " and ".join(dict.fromkeys(found)) for name, found in values.items()}


def _software(steps: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    values: dict[str, list[str]] = {}
    for records in steps.values():
        for record in records:
            for name, version in record["software"].items():
                values.setdefault(name, []).append(str(version))
    return {name: " and ".join(dict.fromkeys(found)) for name, found in values.items()}


def _model(first: Path, second: Path) -> list[str]:
    paths = [folder / "model" / DESCRIPTION for folder in (first, second)]
    old, new = (dict(_flat(read_description(path))) if path.exists() else {} for path in paths)
    if old.get(FILE_DIGEST) == new.get(FILE_DIGEST):
        return []
    return _changes(old, new)


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return the entries of nested mappings with their path as the key."""
    entries: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        entries += _flat(value, f"{name}.") if isinstance(value, dict) else [(name, str(value))]
    return entries


def _changes(old: dict[str, str], new: dict[str, str]) -> list[str]:
    return [
        f"{name}: {_short(old.get(name, 'none'))} -> {_short(new.get(name, 'none'))}"
        for name in dict.fromkeys((*old, *new))
        if old.get(name) != new.get(name)
    ]


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 3]}..."
