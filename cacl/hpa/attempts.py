"""The record of the last attempt of a step at a shard, from which the next run is planned.

A record is no product: no table depends on it, and it holds times of files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cacl.hpa.image_state import FileState, ImageState
from cacl.runtime.json_text import parse_json


@dataclass(frozen=True)
class AttemptRecord:
    """The last attempt of a step at a shard.

    Parameters
    ----------
    number
        Number of the attempt: 0 is the first one, and each time that something is to be tried
        again adds 1.
    failures
        Reason by image of the images that failed.
    retried
        Images that had failed before for a reason that can pass, or had changed, and were tried
        again.
    images
        The images as the step has read them; only `acquire` records them.
    """

    number: int
    failures: Mapping[str, str] = field(default_factory=dict)
    retried: tuple[str, ...] = ()
    images: tuple[ImageState, ...] = ()


def attempt_path(attempts: Path, step: str, shard: str) -> Path:
    """Return the path of the record of a step and shard in the folder of all records."""
    return attempts / step / f"{shard}.json"


def write_attempt(path: Path, record: AttemptRecord) -> None:
    """Write a record atomically."""
    from cacl import tables  # imports pandas, and every job of the workflow reads records

    document = {
        "number": record.number,
        "failures": dict(record.failures),
        "retried": list(record.retried),
        "images": [
            [
                state.image_id,
                state.sha256,
                [[[file.path, file.size, file.mtime_ns] for file in copy] for copy in state.copies],
            ]
            for state in record.images
        ],
    }
    tables.write_text(path, json.dumps(document, separators=(",", ":")) + "\n")


def read_attempt(path: Path) -> AttemptRecord | None:
    """Return a record, or None if the file is missing or empty.

    Raises
    ------
    ValueError
        The file is no record: damaged, or of another version.
    """
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if not data:
        return None
    document: Any = parse_json(data)
    try:
        return AttemptRecord(
            number=int(document["number"]),
            failures={str(key): str(value) for key, value in document["failures"].items()},
            retried=tuple(map(str, document["retried"])),
            images=tuple(
                ImageState(
                    str(image_id),
                    str(sha256),
                    tuple(tuple(FileState(*file) for file in copy) for copy in copies),
                )
                for image_id, sha256, copies in document["images"]
            ),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no record of an attempt: {error!r}") from error
