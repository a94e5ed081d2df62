"""Status of a run: images done, failed and left per shard and step, from the files on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from rich.table import Table
from safetensors import SafetensorError, safe_open

from cacl import tables
from cacl.diagnostics.retries import Retries, RetryCounts, count_retries
from cacl.errors import TableError
from cacl.hpa.provenance import provenance_path
from cacl.runtime.json_text import parse_json
from cacl.runtime.resources import raise_if_short
from cacl.tables.schemas import FailureRow, ImageRow

STEP_FOLDERS = {"acquire": "acquired", "tile": "tiles", "segment": "segmented", "measure": "census"}
"""Folder in `results/` of the tables of each step that works on shards."""

STEPS = tuple(STEP_FOLDERS)
CATALOG = "catalog"


@dataclass(frozen=True)
class StepStatus:
    """Number of images of a shard that a step has done, that failed up to it, and that are left."""

    done: int
    failed: int
    left: int


@dataclass(frozen=True)
class ShardStatus:
    """Status of a shard by step, and (step, reason) of each failure."""

    shard: int
    images: int
    steps: dict[str, StepStatus]
    failures: list[tuple[str, str]]


@dataclass(frozen=True)
class RunStatus:
    """Status of a run; `str()` gives it as one line.

    Parameters
    ----------
    shards
        Status of each shard.
    catalog_failures
        (step, reason) of the images and genes that failed in the catalog.
    last_saved
        Number, from 1, and step of the network that an unfinished training saved last.
    has_model, has_report
        Whether the model and the report exist.
    retries
        Images that changed, failed and were tried again.
    """

    shards: list[ShardStatus]
    catalog_failures: list[tuple[str, str]]
    last_saved: tuple[int, int] | None
    has_model: bool
    has_report: bool
    retries: RetryCounts

    @property
    def images(self) -> int:
        """Number of images in all shards."""
        return sum(shard.images for shard in self.shards)

    def total(self, step: str) -> StepStatus:
        """Return the status of a step over all shards."""
        by_shard = [shard.steps[step] for shard in self.shards]
        return StepStatus(
            done=sum(status.done for status in by_shard),
            failed=sum(status.failed for status in by_shard),
            left=sum(status.left for status in by_shard),
        )

    def as_document(self) -> dict[str, Any]:
        """Return the status as lists, numbers and strings, for JSON."""
        total = {step: asdict(self.total(step)) for step in STEPS}
        failures = [
            {"step": step, "reason": reason, "count": count}
            for step, reason, count in self.count_failures()
        ]
        shards = [
            {key: value for key, value in asdict(shard).items() if key != "failures"}
            for shard in self.shards
        ]
        return {
            "shards": shards,
            "model": self.has_model,
            "report": self.has_report,
            "total": total,
            "images": self.images,
            "failures": failures,
            "retries": asdict(self.retries),
        }

    def count_failures(self) -> list[tuple[str, str, int]]:
        """Return step, reason and number of failures, by step, the most frequent first."""
        failures = [
            *self.catalog_failures,
            *(failure for shard in self.shards for failure in shard.failures),
        ]
        order = {step: index for index, step in enumerate((CATALOG, *STEPS))}
        return [
            (step, reason, count)
            for (step, reason), count in sorted(
                Counter(failures).items(), key=lambda item: (order[item[0][0]], -item[1], item[0])
            )
        ]

    def failure_lines(self) -> list[str]:
        """Return a line on the failures of each step, with the file that has their messages."""
        lines = []
        for step in (CATALOG, *STEPS):
            counts = [
                f"{count} {reason.replace('_', ' ')}"
                for failed_step, reason, count in self.count_failures()
                if failed_step == step
            ]
            path = "catalog.csv" if step == CATALOG else f"{step}/*.csv"
            if counts:
                lines.append(f"failed at {step}: {', '.join(counts)} (results/failures/{path})")
        return lines

    def __str__(self) -> str:
        last = self.total("measure")
        return (
            f"{last.done} of {self.images} images measured, {last.failed} failed, {last.left} "
            f"left; model {self._training()}, "
            f"report {'written' if self.has_report else 'not written yet'}"
        )

    def _training(self) -> str:
        if self.has_model:
            return "trained"
        if self.last_saved is None:
            return "not trained yet"
        number, step = self.last_saved
        return f"not trained yet (saved: network {number} at step {step})"


def read_status(folder: Path) -> RunStatus:
    """Return the status of a run, from the files that its steps write.

    A step's table counts for the images that the catalog still lists. A step whose job has not
    ended has no table yet. Its images are then counted by the files of each image: the provenance
    record beside an acquired image, and the image and its stain mask in the store.

    Parameters
    ----------
    folder
        The run's working directory, with `results/` and `resources/`.

    Raises
    ------
    TableError
        There is no catalog yet, or a table is damaged.
    """
    results = folder / "results"
    lists = results / "catalog" / "shards"
    shards = sorted(int(path.stem) for path in lists.glob("*.parquet") if path.stem.isdigit())
    if not shards:
        raise TableError(
            f"{lists} has no list of images, so the run has not started; start `cacl run`, or "
            "give the run's folder with --directory"
        )
    return RunStatus(
        shards=[_read_shard(folder, shard, lists / f"{shard}.parquet") for shard in shards],
        catalog_failures=[
            (CATALOG, reason) for _, reason in _read_failures(results / "failures" / "catalog.csv")
        ],
        last_saved=_read_last_saved(results / "model" / "states"),
        has_model=(results / "model" / "model.json").exists(),
        has_report=(results / "report" / "report.html").exists(),
        retries=count_retries(Retries(results / "attempts", folder), map(str, shards)),
    )


def _read_shard(folder: Path, shard: int, image_list: Path) -> ShardStatus:
    rows = tables.read_parquet(image_list, ImageRow)
    image_ids = {row.image_id for row in rows}
    results, failed, steps = folder / "results", set[str](), {}
    failures: list[tuple[str, str]] = []
    for step in STEPS:
        table = results / STEP_FOLDERS[step] / f"{shard}.parquet"
        if table.exists():
            done = image_ids & _read_image_ids(table)
        else:
            is_done = _image_check(step, folder)
            done = {row.image_id for row in rows if is_done(row)}
        for image_id, reason in _read_failures(results / "failures" / step / f"{shard}.csv"):
            if image_id in image_ids - done:
                failed.add(image_id)
                failures.append((step, reason))
        n_failed = len(failed - done)
        steps[step] = StepStatus(len(done), n_failed, len(image_ids) - len(done) - n_failed)
    return ShardStatus(shard, len(rows), steps, failures)


def _read_last_saved(folder: Path) -> tuple[int, int] | None:
    """Return the number, from 1, and the step of the network that training saved last."""
    states = [path for path in folder.glob("*.safetensors") if path.stem.isdigit()]
    if not states:
        return None
    newest = max(states, key=lambda path: path.stat().st_mtime_ns)
    try:
        with safe_open(newest, "numpy") as file:
            metadata = parse_json(file.metadata()["cacl"])
        return int(newest.stem) + 1, int(parse_json(metadata["progress"])["step"])
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise_if_short(error, str(newest))
        return None  # written by another version, or being replaced now


def _read_failures(path: Path) -> list[tuple[str, str]]:
    """Return image and reason of each failure in a CSV; none if the file does not exist."""
    if not path.exists():
        return []
    frame = tables.read_csv(path, FailureRow)
    return list(zip(frame["image_id"], frame["reason"], strict=True))


def _read_image_ids(path: Path) -> set[str]:
    return set(tables.read_arrow(path, ["image_id"])["image_id"].to_pylist())


def _image_check(step: str, folder: Path) -> Callable[[ImageRow], bool]:
    """Return a function that checks by its files whether a step is done with an image."""
    store, images = folder / "results" / "atlas.zarr", folder / "resources" / "images"

    def is_acquired(row: ImageRow) -> bool:
        path = PurePosixPath(urlsplit(row.url).path)
        return bool(row.url) and provenance_path(images / path.parent.name / path.name).exists()

    checks: dict[str, Callable[[ImageRow], bool]] = {
        "acquire": is_acquired,
        "tile": lambda row: (store / row.image_id / "zarr.json").exists(),
        "segment": lambda row: (store / row.image_id / "labels/stain/zarr.json").exists(),
        "measure": lambda row: False,
    }
    return checks[step]


def as_table(run: RunStatus) -> Table:
    """Return the status of a run as a table for the terminal."""
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


def _cell(status: StepStatus) -> str:
    return f"{status.done} / {status.failed} / {status.left}"
