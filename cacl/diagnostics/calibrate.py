"""Measure this machine: run every step on a few synthetic cores, as Snakemake would run it."""

from __future__ import annotations

import csv
import dataclasses
import math
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cacl import tables
from cacl.config import Config, ControlsConfig
from cacl.diagnostics.process_cost import Cost, disk_bytes, measure_commands
from cacl.diagnostics.status import STEP_FOLDERS
from cacl.diagnostics.timing import timing_preset
from cacl.model.config import NetworkConfig, Preset
from cacl.model.presets import get_preset, with_classes
from cacl.model.training.plan import (
    PlannedNetwork,
    continued_stages,
    independent_networks,
    most_extra_steps,
    stages,
)
from cacl.runtime.progress import track
from cacl.tables.schemas import AcquiredRow, ImageRow, MeasureRow, SegmentedRow, TileStatRow

ANTIBODIES = 4
PATIENTS = 2
FIRST_ANTIBODY = "HPA900001"
TRAIN_THREADS = 2
CONTROL_THREADS = 2
TRAIN_STEPS = 120
INPUT_SCHEMAS = {
    "acquire": ImageRow,
    "tile": AcquiredRow,
    "segment": TileStatRow,
    "measure": SegmentedRow,
}
PREVIOUS_STEP = {"tile": "acquire", "segment": "tile", "measure": "segment"}


@dataclass(frozen=True)
class Rate:
    """The cost of a step: a constant part per job, and a part per unit.

    A unit is an image, or for training a step of the optimiser.
    """

    start_s: float
    unit_s: float
    start_cpu_s: float
    unit_cpu_s: float
    memory_mb: float
    unit_bytes: float = 0.0


@dataclass(frozen=True)
class Calibration:
    """The rates of a machine by step, and the number of jobs that run in parallel."""

    rates: dict[str, Rate]
    cores: int


def calibrate(settings: Config, folder: Path, *, cores: int) -> Calibration:
    """Run every step on eight synthetic cores; a step that works on shards runs on all CPU cores.

    Parameters
    ----------
    settings
        The configuration; its tiles, preset and morphology are used.
    folder
        An empty folder.
    cores
        Number of single-threaded jobs that run in parallel.

    Raises
    ------
    CaclError
        A step fails; the message ends in the error message of the step.
    """
    runner = _Runner(folder, settings)
    steps: dict[str, Callable[[], Rate]] = {
        "phantom": runner.phantom,
        "catalog": runner.catalog,
        "acquire": lambda: runner.shard_step("acquire", cores),
        "tile": lambda: runner.shard_step("tile", cores),
        "select": runner.select,
        "train": runner.train,
        "segment": lambda: runner.shard_step("segment", cores),
        "measure": lambda: runner.shard_step("measure", cores),
        "report": runner.report,
    }
    tracked = track(steps.items(), "estimate: calibrating, steps", len(steps))
    rates = {name: measure_rate() for name, measure_rate in tracked}
    report = rates.pop("report")
    rates |= {"controls": controls_rate(rates["segment"], settings.controls), "report": report}
    return Calibration(rates, cores)


def controls_rate(segment: Rate, controls: ControlsConfig) -> Rate:
    """Return the rate of the spike-in controls per core, which is segmented with every band.

    It is derived: eight cores have no antibody that the training does not see. The job has two
    threads; segmentation is measured with one.
    """
    images = len(controls.widths_um) * (1 + len(controls.doses_od))
    return dataclasses.replace(
        segment,
        unit_s=images * segment.unit_s / CONTROL_THREADS,
        unit_cpu_s=images * segment.unit_cpu_s,
        unit_bytes=0.0,
    )


def networks_of(settings: Config) -> list[PlannedNetwork]:
    """Return the networks that a configuration trains, in the order of training."""
    train = settings.train
    preset = _preset_of(settings)
    return (continued_stages if train.start_from else stages)(preset, train.max_steps)


def extra_steps_of(settings: Config) -> int:
    """Return the steps that a training adds at most if its teachers separate poorly."""
    train = settings.train
    limited = train.model or train.start_from or train.max_steps or train.max_minutes
    return 0 if limited else most_extra_steps(_preset_of(settings))


def _preset_of(settings: Config) -> Preset:
    train, classes = settings.train, max(1, len(settings.labels.classes))
    return with_classes(get_preset(train.preset, train.seeds), classes)


@dataclass(frozen=True)
class _Runner:
    folder: Path
    settings: Config

    def path(self, name: str) -> Path:
        return self.folder / name

    def step_table(self, step: str, copy: int = 0) -> Path:
        return self.folder / str(copy) / STEP_FOLDERS[step] / "0.parquet"

    def phantom(self) -> Rate:
        """Draw half of the antibodies, then all."""

        def options(name: str, antibodies: int) -> Sequence[object]:
            folders = ("--host", self.path(name), "--truth", self.path(f"{name}-truth"))
            return (*folders, "--antibodies", antibodies, "--patients", PATIENTS, "--jobs", 1)

        few = ANTIBODIES // 2
        return _rate_of("phantom", options("few", few), options("host", ANTIBODIES), few)

    def catalog(self) -> Rate:
        """List one antibody, then all."""

        def options(name: str, *selection: object) -> Sequence[object]:
            out = ("--out", self.path(name), "--failures", self.path(f"{name}.csv"))
            return (*self._source(), *out, "--shards", 1, "--tissues", "duodenum", *selection)

        first_only = options("one", "--antibodies", FIRST_ANTIBODY)
        return _rate_of("catalog", first_only, options("catalog"), 1)

    def select(self) -> Rate:
        """Select tiles; the cost hardly depends on their number."""
        images = ("--images", self.path("catalog/images.parquet"))
        out = ("--out", self.path("chosen.parquet"))
        tiles = ("--tiles", self.step_table("tile"))
        store = ("--store", self.path("0/atlas.zarr"))
        cost = measure_commands([_command("select", *images, *store, *out, *tiles)])
        return Rate(cost.seconds, 0.0, cost.cpu_s, 0.0, cost.memory_mb)

    def shard_step(self, step: str, cores: int) -> Rate:
        """Run a step of a shard without images and with all of them, once per CPU core."""
        image_list = self._input_table(step, 0)
        rows = tables.read_parquet(image_list, INPUT_SCHEMAS[step])
        images = len({row.image_id for row in rows})
        empty = self.path(f"no-{image_list.parent.name}.parquet")
        tables.write_parquet(empty, [], INPUT_SCHEMAS[step])
        start = measure_commands([self._shard_command(step, copy, empty) for copy in range(cores)])
        bytes_before = disk_bytes(self.path("0"))
        commands = [
            self._shard_command(step, copy, self._input_table(step, copy)) for copy in range(cores)
        ]
        cost = measure_commands(commands)
        written = max(0, disk_bytes(self.path("0")) - bytes_before)
        return rate_between(start, 0, cost, max(1, images), written / max(1, images))

    def _input_table(self, step: str, copy: int) -> Path:
        if step == "acquire":
            return self.path("catalog/shards/0.parquet")
        return self.step_table(PREVIOUS_STEP[step], copy)

    def _shard_command(self, step: str, copy: int, image_list: Path) -> Sequence[str]:
        home, tiles = self.path(str(copy)), self.settings.tiles
        out = ("--out", self.step_table(step, copy), "--failures", home / f"{step}.csv")
        store = ("--store", home / "atlas.zarr")
        tissue = tiles.cli_args("min_tissue_fraction").split()
        options: dict[str, Sequence[object]] = {
            "acquire": ("--shard", image_list, "--images", home / "images", *self._source(), *out),
            "tile": ("--acquired", image_list, *store, *out, *tiles.cli_args().split()),
            "segment": (
                *("--tiles", image_list, "--model", self.path("model"), "--threads", 1),
                *(*store, *out, *self.settings.segment.cli_args().split()),
            ),
            "measure": (
                *("--segmented", image_list, "--images", self.path("catalog/shards/0.parquet")),
                *("--annotations", self.path("catalog/annotations/0.parquet"), *store, *out),
                *("--tiles", self.step_table("tile", copy), *tissue),
            ),
        }
        return _command(step, *options[step])

    def _source(self) -> tuple[object, ...]:
        return ("--kind", "phantom", "--mirror", self.path("host"), "--hpa-version", "23")

    def train(self) -> Rate:
        """Train each kind of network for some steps."""
        name, seeds = self.settings.train.preset, self.settings.train.seeds
        preset = dataclasses.replace(timing_preset(name), n_ensemble=seeds)
        trained = stages(preset, TRAIN_STEPS)
        out = self.path("model")
        options = (
            *("--tiles", self.path("chosen.parquet"), "--store", self.path("0/atlas.zarr")),
            *("--preset", name, "--seeds", seeds, "--out", out),
            *("--max-steps", TRAIN_STEPS, "--threads", TRAIN_THREADS),
        )
        cost = measure_commands([_command("train", *options, module="cacl.diagnostics.timing")])
        with (out / "speed.csv").open(encoding="utf-8") as file:
            speed = {
                int(row["step"]): float(row["tiles_per_second"]) for row in csv.DictReader(file)
            }
        unit_s = seconds_per_step(speed, trained, networks_of(self.settings))
        n_steps = sum(planned.steps for planned in trained)
        start_s = max(0.0, cost.seconds - n_steps * seconds_per_step(speed, trained, trained))
        cpu_load = cost.cpu_s / cost.seconds
        # The largest process was measured; one process starts as many as are trained at a time.
        memory_mb = cost.memory_mb * (1 + _at_a_time(independent_networks(trained, 0)))
        return Rate(start_s, unit_s, start_s * cpu_load, unit_s * cpu_load, memory_mb)

    def report(self) -> Rate:
        """Report on one image, then on all."""
        images = tables.read_frame([self.step_table("measure")], MeasureRow)
        first_only = self.path("one.parquet")
        tables.write_parquet(first_only, images.head(1), MeasureRow)
        start = measure_commands([self._report_command("report-one", first_only)])
        cost = measure_commands([self._report_command("report", self.step_table("measure"))])
        written = disk_bytes(self.path("report")) - disk_bytes(self.path("report-one"))
        units = max(2, len(images))
        return rate_between(start, 1, cost, units, max(0, written) / (units - 1))

    def _report_command(self, out: str, census: Path) -> Sequence[str]:
        home = self.path("0")
        options = (
            *("--census", census, "--failures", home / "measure.csv"),
            *("--store", home / "atlas.zarr", "--model", self.path("model")),
            *("--catalog", self.path("catalog"), "--jobs", TRAIN_THREADS),
        )
        return _command("report", *options, "--out", self.path(out))


def _command(*arguments: object, module: str = "cacl") -> list[str]:
    return [sys.executable, "-m", module, *map(str, arguments)]


def _rate_of(
    step: str, few_options: Sequence[object], all_options: Sequence[object], few: int
) -> Rate:
    """Run a step for a few antibodies, then for all, and return its rate per image."""
    few_cost = measure_commands([_command(step, *few_options)])
    all_cost = measure_commands([_command(step, *all_options)])
    return rate_between(few_cost, few * PATIENTS, all_cost, ANTIBODIES * PATIENTS)


def rate_between(
    less: Cost, less_units: int, more: Cost, more_units: int, unit_bytes: float = 0.0
) -> Rate:
    """Return the rate of a step from its costs for less and for more units.

    Parameters
    ----------
    less, more
        Costs of the two runs.
    less_units, more_units
        Number of units of the two runs.
    unit_bytes
        Disk usage of a unit.
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


def _at_a_time(networks: int) -> int:
    """Return how many processes of their own train so many networks; 0 for a single network."""
    return min(networks, TRAIN_THREADS) if networks > 1 else 0


def seconds_per_step(
    speed: Mapping[int, float],
    trained: Sequence[PlannedNetwork],
    plan: Sequence[PlannedNetwork],
) -> float:
    """Return the mean time of a training step of `plan`, from the speeds of a shorter training.

    The median speed of all networks of an architecture counts: some intervals include warm-up,
    scoring of tiles or saving, which a whole training does a few times and not every few steps. A
    network of several classes is assumed to take the time of a network of one class. Networks that
    need no other are trained in parallel.

    Parameters
    ----------
    speed
        Tiles per second of each logged interval, by the step that the interval ends with.
    trained
        The networks of the shorter training, in the order of training.
    plan
        The networks that are to be trained.
    """
    by_architecture: dict[NetworkConfig, list[float]] = {}
    start = 0
    for planned in trained:
        end = start + planned.steps
        speeds = [value for step, value in speed.items() if start < step <= end]
        by_architecture.setdefault(planned.preset.network, []).extend(speeds)
        start = end
    all_speeds = list(speed.values())

    def tiles_per_second(planned: PlannedNetwork) -> float:
        architecture = with_classes(planned.preset, 1).network
        return max(statistics.median(by_architecture[architecture] or all_speeds), 1e-9)

    seconds, number = 0.0, 0
    while number < len(plan):
        group = plan[number : number + max(1, independent_networks(plan, number))]
        turns = math.ceil(len(group) / max(1, _at_a_time(len(group))))
        seconds += turns * statistics.mean(
            planned.steps * planned.preset.optim.batch_size / tiles_per_second(planned)
            for planned in group
        )
        number += len(group)
    return seconds / sum(planned.steps for planned in plan)
