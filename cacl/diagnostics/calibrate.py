"""Measure this machine: run every step on a few synthetic cores, as Snakemake would run it."""

from __future__ import annotations

import csv
import dataclasses
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cacl import tables
from cacl.config import Config
from cacl.diagnostics.status import RECEIPTS
from cacl.diagnostics.timing import timing_preset
from cacl.errors import CaclError
from cacl.model.config import NetworkConfig, get_preset, with_classes
from cacl.model.training.plan import Planned, networks
from cacl.runtime.progress import track
from cacl.tables.schemas import AcquiredRow, ImageRow, MeasureRow, SegmentedRow, TileStatRow

ANTIBODIES = 4
PATIENTS = 2
FIRST_ANTIBODY = "HPA900001"
TRAIN_THREADS = 2
TRAIN_STEPS = 120
RECORDS = {
    "acquire": ImageRow,
    "tile": AcquiredRow,
    "segment": TileStatRow,
    "measure": SegmentedRow,
}


@dataclass(frozen=True)
class Cost:
    """What one run of a command took."""

    seconds: float
    cpu_s: float
    memory_mb: float


@dataclass(frozen=True)
class Rate:
    """What a step costs: a job to begin with, and every unit (an image; a step of training)."""

    start_s: float
    unit_s: float
    start_cpu_s: float
    unit_cpu_s: float
    memory_mb: float
    unit_bytes: float = 0.0


@dataclass(frozen=True)
class Calibration:
    """The rates of a machine, by step, and how many of its jobs run at a time."""

    rates: dict[str, Rate]
    cores: int


def calibrate(settings: Config, folder: Path, *, cores: int) -> Calibration:
    """Run every step on eight synthetic cores, the steps of a shard on all CPU cores at a time.

    Parameters
    ----------
    settings
        The configuration; its tiles, preset and morphology are what is run.
    folder
        An empty folder.
    cores
        Jobs of one thread that run at a time.

    Raises
    ------
    CaclError
        A step fails; the message ends in what it said.
    """
    run = _Runner(folder, settings)
    steps: dict[str, Callable[[], Rate]] = {
        "phantom": run.phantom,
        "catalog": run.catalog,
        "acquire": lambda: run.shard_step("acquire", cores),
        "tile": lambda: run.shard_step("tile", cores),
        "select": run.select,
        "train": run.train,
        "segment": lambda: run.shard_step("segment", cores),
        "measure": lambda: run.shard_step("measure", cores),
        "report": run.report,
    }
    told = track(steps.items(), "estimate: calibrating, steps", len(steps))
    rates = {name: work() for name, work in told}
    return Calibration(rates, cores)


def networks_of(settings: Config) -> list[Planned]:
    """Return the networks that a configuration trains, in turn."""
    train, classes = settings.train, max(1, len(settings.labels.classes))
    preset = with_classes(get_preset(train.preset, train.seeds), classes)
    return networks(preset, train.max_steps)


@dataclass(frozen=True)
class _Runner:
    folder: Path
    settings: Config

    def path(self, name: str) -> Path:
        return self.folder / name

    def receipts(self, step: str, copy: int = 0) -> Path:
        return self.folder / str(copy) / RECEIPTS[step] / "0.parquet"

    def phantom(self) -> Rate:
        """Draw half of the antibodies, then all."""

        def options(name: str, antibodies: int) -> Sequence[object]:
            place = ("--host", self.path(name), "--truth", self.path(f"{name}-truth"))
            return (*place, "--antibodies", antibodies, "--patients", PATIENTS, "--jobs", 1)

        few = ANTIBODIES // 2
        return self.grown("phantom", options("few", few), options("host", ANTIBODIES), few)

    def catalog(self) -> Rate:
        """List one antibody, then all."""

        def options(name: str, *chosen: object) -> Sequence[object]:
            out = ("--out", self.path(name), "--failures", self.path(f"{name}.csv"))
            return (*self._source(), *out, "--shards", 1, "--tissues", "duodenum", *chosen)

        one = options("one", "--antibodies", FIRST_ANTIBODY)
        return self.grown("catalog", one, options("catalog"), 1)

    def grown(self, step: str, less: Sequence[object], more: Sequence[object], few: int) -> Rate:
        """Run a command for a few antibodies, then for all; what it takes longer is due to them."""
        first = measured([_command(step, *less)])
        cost = measured([_command(step, *more)])
        return rate_between(first, few * PATIENTS, cost, ANTIBODIES * PATIENTS)

    def select(self) -> Rate:
        """Choose tiles; what it takes hardly depends on their number."""
        listed = ("--images", self.path("catalog/images.parquet"))
        out = ("--out", self.path("chosen.parquet"))
        cost = measured([_command("select", *listed, *out, "--tiles", self.receipts("tile"))])
        return Rate(cost.seconds, 0.0, cost.cpu_s, 0.0, cost.memory_mb)

    def shard_step(self, step: str, cores: int) -> Rate:
        """Run a shard's step without images and with all of them, in as many copies as cores."""
        listed = self._listed(step, 0)
        rows = tables.read_parquet(listed, RECORDS[step])
        images = len({row.image_id for row in rows})
        empty = self.path(f"no-{listed.parent.name}.parquet")
        tables.write_parquet(empty, [], RECORDS[step])
        start = measured([self._shard_command(step, copy, empty) for copy in range(cores)])
        before = disk_bytes(self.path("0"))
        commands = [
            self._shard_command(step, copy, self._listed(step, copy)) for copy in range(cores)
        ]
        cost = measured(commands)
        written = max(0, disk_bytes(self.path("0")) - before)
        return rate_between(start, 0, cost, max(1, images), written / max(1, images))

    def _listed(self, step: str, copy: int) -> Path:
        before = {"tile": "acquire", "segment": "tile", "measure": "segment"}
        if step == "acquire":
            return self.path("catalog/shards/0.parquet")
        return self.receipts(before[step], copy)

    def _shard_command(self, step: str, copy: int, listed: Path) -> Sequence[str]:
        home, tiles = self.path(str(copy)), self.settings.tiles
        out = ("--out", self.receipts(step, copy), "--failures", home / f"{step}.csv")
        store = ("--store", home / "atlas.zarr")
        tissue = tiles.cli_args("min_tissue_fraction").split()
        given: dict[str, Sequence[object]] = {
            "acquire": ("--shard", listed, "--images", home / "images", *self._source(), *out),
            "tile": ("--acquired", listed, *store, *out, *tiles.cli_args().split()),
            "segment": (
                *("--tiles", listed, "--model", self.path("model"), "--threads", 1),
                *(*store, *out, *self.settings.segment.cli_args().split()),
            ),
            "measure": (
                *("--segmented", listed, "--images", self.path("catalog/shards/0.parquet")),
                *("--annotations", self.path("catalog/annotations/0.parquet"), *store, *out),
                *("--tiles", self.receipts("tile", copy), *tissue),
            ),
        }
        return _command(step, *given[step])

    def _source(self) -> tuple[object, ...]:
        return ("--kind", "phantom", "--mirror", self.path("host"), "--hpa-version", "23")

    def train(self) -> Rate:
        """Train each kind of network for some steps."""
        name, seeds = self.settings.train.preset, self.settings.train.seeds
        tried = networks(dataclasses.replace(timing_preset(name), n_ensemble=seeds), TRAIN_STEPS)
        out = self.path("model")
        options = (
            *("--tiles", self.path("chosen.parquet"), "--store", self.path("0/atlas.zarr")),
            *("--preset", name, "--seeds", seeds, "--out", out),
            *("--max-steps", TRAIN_STEPS, "--threads", TRAIN_THREADS),
        )
        cost = measured([_command("train", *options, module="cacl.diagnostics.timing")])
        with (out / "speed.csv").open(encoding="utf-8") as file:
            speed = {
                int(row["step"]): float(row["tiles_per_second"]) for row in csv.DictReader(file)
            }
        unit_s = seconds_a_step(speed, tried, networks_of(self.settings))
        trained_s = sum(one.steps for one in tried) * seconds_a_step(speed, tried, tried)
        load = cost.cpu_s / cost.seconds
        start_s = max(0.0, cost.seconds - trained_s)
        return Rate(start_s, unit_s, start_s * load, unit_s * load, cost.memory_mb)

    def report(self) -> Rate:
        """Report on one image, then on all."""
        images = tables.read_frame([self.receipts("measure")], MeasureRow)
        one = self.path("one.parquet")
        tables.write_parquet(one, images.head(1), MeasureRow)
        start = measured([self._report_command("report-one", one)])
        cost = measured([self._report_command("report", self.receipts("measure"))])
        written = disk_bytes(self.path("report")) - disk_bytes(self.path("report-one"))
        units = max(2, len(images))
        return rate_between(start, 1, cost, units, max(0, written) / (units - 1))

    def _report_command(self, out: str, census: Path) -> Sequence[str]:
        home = self.path("0")
        read = ("--census", census, "--failures", home / "measure.csv")
        rest = ("--store", home / "atlas.zarr", "--model", self.path("model"))
        catalog = ("--catalog", self.path("catalog"), "--jobs", TRAIN_THREADS)
        return _command("report", *read, *rest, *catalog, "--out", self.path(out))


def rate_between(
    less: Cost, less_units: int, more: Cost, more_units: int, unit_bytes: float = 0.0
) -> Rate:
    """Return the rate of a step from what it took for less and for more units.

    Parameters
    ----------
    less, more
        What the two runs took.
    less_units, more_units
        How many images they had.
    unit_bytes
        What an image adds on disk.
    """
    units = more_units - less_units
    unit_s = max(0.0, more.seconds - less.seconds) / units
    unit_cpu_s = max(0.0, more.cpu_s - less.cpu_s) / units
    return Rate(
        start_s=max(0.0, less.seconds - less_units * unit_s),
        unit_s=unit_s,
        start_cpu_s=max(0.0, less.cpu_s - less_units * unit_cpu_s),
        unit_cpu_s=unit_cpu_s,
        memory_mb=max(less.memory_mb, more.memory_mb),
        unit_bytes=unit_bytes,
    )


def seconds_a_step(
    speed: Mapping[int, float],
    tried: Sequence[Planned],
    plan: Sequence[Planned],
) -> float:
    """Return the mean time of a step of a training from the speeds of the parts of a shorter one.

    The median part of all networks of an architecture counts: some warm up, judge tiles or save as
    well, which a whole training does a few times and not every few steps. Of several classes a
    network counts as if it learned one.

    Parameters
    ----------
    speed
        Tiles a second of each part, by the step that it ends with.
    tried, plan
        The networks that were trained in turn, and those that will be.
    """
    parts: dict[NetworkConfig, list[float]] = {}
    end = 0
    for planned in tried:
        own = [one for step, one in speed.items() if end < step <= end + planned.steps]
        parts.setdefault(planned.preset.network, []).extend(own)
        end += planned.steps
    every = list(speed.values())
    seconds = sum(
        one.steps
        * one.preset.optim.batch_size
        / max(statistics.median(parts[with_classes(one.preset, 1).network] or every), 1e-9)
        for one in plan
    )
    return seconds / sum(one.steps for one in plan)


def _command(*parts: object, module: str = "cacl") -> list[str]:
    return [sys.executable, "-m", module, *map(str, parts)]


def measured(commands: Sequence[Sequence[str]]) -> Cost:
    """Run commands at the same time; return the mean time and the largest memory of one.

    Raises
    ------
    CaclError
        One of them fails.
    """
    begun = time.monotonic()
    running = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # noqa: S603
        for command in commands
    ]
    seconds, cpu_s, memory_mb = 0.0, 0.0, 0.0
    for command, process in zip(commands, running, strict=True):
        said = process.stderr.read() if process.stderr else b""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            words = said.decode(errors="replace").strip().splitlines()[-1:]
            raise CaclError(
                f"The calibration failed in `cacl {command[3]}` ({' '.join(words)}); run "
                "`cacl doctor` to see what this machine lacks"
            )
        seconds = max(seconds, time.monotonic() - begun)
        cpu_s += (usage.ru_utime + usage.ru_stime) / len(commands)
        memory_mb = max(memory_mb, usage.ru_maxrss * 1024 / 1e6)
    return Cost(seconds, cpu_s, memory_mb)


def disk_bytes(folder: Path) -> int:
    """Return the bytes that a folder's files occupy; a file with two names counts once."""
    inodes = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            found = path.stat()
            inodes[found.st_ino] = found.st_blocks * 512
    return sum(inodes.values())
