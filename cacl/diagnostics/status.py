"""Where a run stands: per shard what is done, failed and left, from receipts alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import pyarrow.parquet as pq
from rich.table import Table
from safetensors import SafetensorError, safe_open

from cacl import tables
from cacl.errors import TableError
from cacl.hpa.provenance import provenance_path
from cacl.tables.schemas import FailureRow, ImageRow

RECEIPTS = {"acquire": "acquired", "tile": "tiles", "segment": "segmented", "measure": "census"}
STEPS = tuple(RECEIPTS)
CATALOG = "catalog"


@dataclass(frozen=True)
class StepStatus:
    """Images of a shard that a step has done, that failed in it or before, and the others."""

    done: int
    failed: int
    left: int


@dataclass(frozen=True)
class ShardStatus:
    """How far the images of a shard are, by step; and step and reason of each failure."""

    shard: int
    images: int
    steps: dict[str, StepStatus]
    reasons: list[tuple[str, str]]


@dataclass(frozen=True)
class RunStatus:
    """How far a run is; `str()` gives it in a line."""

    shards: list[ShardStatus]
    uncatalogued: list[tuple[str, str]]
    saved: tuple[int, int] | None
    model: bool
    report: bool

    def total(self, step: str) -> StepStatus:
        """Return a step's numbers over all shards."""
        parts = [shard.steps[step] for shard in self.shards]
        return StepStatus(
            done=sum(part.done for part in parts),
            failed=sum(part.failed for part in parts),
            left=sum(part.left for part in parts),
        )

    def as_document(self) -> dict[str, Any]:
        """Return everything as plain lists, numbers and words, for JSON."""
        total = {step: asdict(self.total(step)) for step in STEPS}
        failures = [
            {"step": step, "reason": reason, "count": count}
            for step, reason, count in self.failures()
        ]
        shards = [
            {key: value for key, value in asdict(shard).items() if key != "reasons"}
            for shard in self.shards
        ]
        kept = {"shards": shards, "model": self.model, "report": self.report}
        return kept | {"total": total, "images": self.images, "failures": failures}

    def failures(self) -> list[tuple[str, str, int]]:
        """Return step, reason and number of failures, by step, the most frequent first."""
        found = [*self.uncatalogued, *(one for shard in self.shards for one in shard.reasons)]
        order = {step: place for place, step in enumerate((CATALOG, *STEPS))}
        counts = Counter(found).items()
        return [
            (step, reason, count)
            for (step, reason), count in sorted(
                counts, key=lambda item: (order[item[0][0]], -item[1], item[0])
            )
        ]

    def why(self) -> list[str]:
        """Return a line on the failures of each step, and where their messages are."""
        lines = []
        for step in (CATALOG, *STEPS):
            parts = [
                f"{count} {reason.replace('_', ' ')}"
                for name, reason, count in self.failures()
                if name == step
            ]
            place = "catalog.csv" if step == CATALOG else f"{step}/*.csv"
            if parts:
                lines.append(f"failed at {step}: {', '.join(parts)} (results/failures/{place})")
        return lines

    @property
    def images(self) -> int:
        """Images in all shards."""
        return sum(shard.images for shard in self.shards)

    def _training(self) -> str:
        if self.model:
            return "trained"
        if self.saved is None:
            return "not trained yet"
        number, step = self.saved
        return f"not trained yet (saved: network {number} at step {step})"

    def __str__(self) -> str:
        end = self.total("measure")
        return (
            f"{end.done} of {self.images} images measured, {end.failed} failed, {end.left} left; "
            f"model {self._training()}, "
            f"report {'written' if self.report else 'not written yet'}"
        )


def status_of(folder: Path) -> RunStatus:
    """Return how far a run is, from the files that its steps leave.

    A step's table counts for the images that are still listed. Where a step has no table yet,
    because its job has not ended, the receipts of single images count: those beside acquired
    images, and the images and stain masks in the store.

    Parameters
    ----------
    folder
        The run's working directory, that holds `results/` and `resources/`.

    Raises
    ------
    TableError
        There is no catalog yet, or a table is damaged.
    """
    lists = folder / "results" / "catalog" / "shards"
    numbers = sorted(int(path.stem) for path in lists.glob("*.parquet") if path.stem.isdigit())
    if not numbers:
        raise TableError(
            f"{lists} holds no list of images, so nothing has begun; start `snakemake`, or name "
            "the run's folder with --directory"
        )
    return RunStatus(
        shards=[_shard(folder, number, lists / f"{number}.parquet") for number in numbers],
        uncatalogued=[
            (CATALOG, reason)
            for _, reason in _failures(folder / "results" / "failures" / "catalog.csv")
        ],
        saved=_saved(folder / "results" / "model" / "states"),
        model=(folder / "results" / "model" / "model.json").exists(),
        report=(folder / "results" / "report" / "report.html").exists(),
    )


def _shard(folder: Path, number: int, listed: Path) -> ShardStatus:
    rows = tables.read_parquet(listed, ImageRow)
    results, failed, steps = folder / "results", set[str](), {}
    reasons: list[tuple[str, str]] = []
    names = {row.image_id for row in rows}
    for step in STEPS:
        receipts = results / RECEIPTS[step] / f"{number}.parquet"
        if receipts.exists():
            done = names & _image_ids(receipts)
        else:
            done = {row.image_id for row in rows if _single(step, folder)(row)}
        for image_id, reason in _failures(results / "failures" / step / f"{number}.csv"):
            if image_id in names - done:
                failed.add(image_id)
                reasons.append((step, reason))
        lost = failed - done
        steps[step] = StepStatus(len(done), len(lost), len(names) - len(done) - len(lost))
    return ShardStatus(number, len(rows), steps, reasons)


def _saved(folder: Path) -> tuple[int, int] | None:
    """Return the number, from 1, and the last step of the network that training saved last."""
    states = [path for path in folder.glob("*.safetensors") if path.stem.isdigit()]
    if not states:
        return None
    last = max(states, key=lambda path: path.stat().st_mtime_ns)
    try:
        with safe_open(last, "numpy") as file:
            facts = json.loads(file.metadata()["facts"])
        return int(last.stem) + 1, int(facts["step"])
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None  # of another version, or just being replaced


def _failures(path: Path) -> list[tuple[str, str]]:
    """Return image and reason of the failures in a file, none where it is not there yet."""
    if not path.exists():
        return []
    frame = tables.read_csv(path, FailureRow)
    return list(zip(frame["image_id"], frame["reason"], strict=True))


def _image_ids(path: Path) -> set[str]:
    try:
        return set(pq.read_table(path, columns=["image_id"])["image_id"].to_pylist())
    except (OSError, ValueError, KeyError) as error:
        raise TableError(f"{path} cannot be read ({error}); delete it and run again") from error


def _single(step: str, folder: Path) -> Callable[[ImageRow], bool]:
    """Return whether a step whose job has not ended is done with one image."""
    store, images = folder / "results" / "atlas.zarr", folder / "resources" / "images"

    def acquired(row: ImageRow) -> bool:
        place = PurePosixPath(urlsplit(row.url).path)
        return bool(row.url) and provenance_path(images / place.parent.name / place.name).exists()

    found: dict[str, Callable[[ImageRow], bool]] = {
        "acquire": acquired,
        "tile": lambda row: (store / row.image_id / "zarr.json").exists(),
        "segment": lambda row: (store / row.image_id / "labels/stain/zarr.json").exists(),
        "measure": lambda row: False,
    }
    return found[step]


def as_table(run: RunStatus) -> Table:
    """Return a run's status as a table for the terminal."""
    table = Table(title="Images by shard", caption="done / failed / left", show_footer=True)
    table.add_column("shard", "all", justify="right")
    table.add_column("images", str(run.images), justify="right")
    for step in STEPS:
        table.add_column(step, _cell(run.total(step)), justify="right")
    for shard in run.shards:
        table.add_row(*_row(shard))
    return table


def _row(shard: ShardStatus) -> Sequence[str]:
    return [str(shard.shard), str(shard.images), *(_cell(shard.steps[step]) for step in STEPS)]


def _cell(step: StepStatus) -> str:
    return f"{step.done} / {step.failed} / {step.left}"
