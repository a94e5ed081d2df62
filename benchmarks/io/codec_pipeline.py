"""Zarr codec pipelines: `cacl tile` as a whole, writing and reading, by pipeline.

Usage: python -m benchmarks.io.codec_pipeline [--rounds N] [--former FILE] [--out FILE]

FILE is the shard writer and reader that `cacl.store` had before it used zarrs; get it by
`git show 766479b:cacl/store/shard.py > shard.py`. Every round measures each pipeline once on each
core, one after the other in one process, under the same load. CPU time counts
all threads of the process (getrusage).
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import importlib.util
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import zarr

from benchmarks._lib.images import (
    SOURCE_PX,
    TILE_PX,
    UInt8,
    analysis_pixels,
    cores,
    image_meta,
)
from benchmarks._lib.report import RESULTS, load_note, write_table
from cacl.hpa.provenance import digest_file
from cacl.steps.tile import _tile_image
from cacl.store import Store, arrays, ome_zarr
from cacl.tables.schemas import AcquiredRow

READ_TILES = 16
ZARRS = "zarrs, one worker"
DEFAULT = "Zarr's own pipeline"
FORMER = "former code of `cacl.store`"
TASKS = {
    "tile": "`cacl tile` of a core",
    "write": "write image and empty mask",
    "read": "open and read a core",
    "read tiles": f"open a core, read {READ_TILES} tiles",
}
FUNCTIONS = ("create_array", "open_array", "store_arrays")
Pipeline = dict[str, Any]


def default_pipeline() -> Pipeline:
    """Return the replacements that make the store use Zarr's own codec pipeline."""
    return {"ZARRS": {"threading.max_workers": None}}


def former_pipeline(file: Path) -> Pipeline:
    """Return the replacements that make the store use its former writer and reader."""
    spec = importlib.util.spec_from_file_location("former_shard", file)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{file} is not a Python module; see the head of this script")
    former = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = former
    spec.loader.exec_module(former)

    def create_array(path: Path, shape: tuple[int, ...], tile_px: int, axes: Any) -> Any:
        side = tuple(min(size, arrays.MAX_SHARD_TILES * tile_px) for size in shape[-2:])
        lead = shape[:-2]
        layout = former.Layout(shape, (*lead, tile_px, tile_px), (*lead, *side), axes)
        return former.ShardFiles(layout, path)

    def open_array(path: Path) -> Any:
        array = zarr.open_array(path, mode="r")
        if array.nchunks_initialized < array.nchunks:
            raise SystemExit(f"{path} has missing data")
        return former.StoredArray(array, path)

    return {"create_array": create_array, "open_array": open_array, "store_arrays": former.fill}


@contextmanager
def replaced(pipeline: Pipeline) -> Iterator[None]:
    """Replace functions or settings of the store in the block."""
    with ExitStack() as patches:
        for name, value in pipeline.items():
            module = ome_zarr if name in FUNCTIONS else arrays
            patches.enter_context(mock.patch.object(module, name, value))
        yield


def cpu_s() -> float:
    """Return the CPU time of this process so far, all threads together."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measure(work: Callable[[], object]) -> tuple[float, float]:
    """Return the wall and CPU time of `work` in ms."""
    wall, cpu = time.perf_counter(), cpu_s()
    work()
    return 1000 * (time.perf_counter() - wall), 1000 * (cpu_s() - cpu)


def tile_core(path: Path, root: Path) -> None:
    """Do what `cacl tile` does to an image that is not yet in the store."""
    row = AcquiredRow(
        image_id=f"A/{path.stem}",
        antibody_id="A",
        path=str(path),
        sha256=digest_file(path)[0],
        size_bytes=0,
        mpp=None,
    )
    _tile_image(Store(root), row, path, source_px=SOURCE_PX, tile_px=TILE_PX)


def read_tiles(path: Path, root: Path) -> None:
    """Read 16 tiles one by one, the array opened once."""
    array = Store(root).image(f"A/{path.stem}")
    for number in range(READ_TILES):
        y, x = (TILE_PX * (number * step % (array.shape[1] // TILE_PX)) for step in (3, 5))
        np.asarray(array[:, y : y + TILE_PX, x : x + TILE_PX])


def write_core(path: Path, root: Path, pixels: UInt8) -> None:
    """Write an image and an empty mask."""
    meta = image_meta(f"A/{path.stem}", pixels)
    Store(root).write_image(meta, pixels, np.zeros(pixels.shape[1:], bool))


def read_core(path: Path, root: Path) -> None:
    """Open an image and read all of it."""
    np.asarray(Store(root).image(f"A/{path.stem}")[:])


def digest(root: Path) -> str:
    """Return a digest of the names and bytes of all files."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    contents = (str(path.relative_to(root)).encode() + path.read_bytes() for path in files)
    return hashlib.sha256(b"".join(contents)).hexdigest()


Times = dict[str, dict[str, list[tuple[float, float]]]]
"""Wall and CPU times in ms by pipeline and task."""


def measure_rounds(
    pipelines: Mapping[str, Pipeline], paths: list[Path], folder: Path, rounds: int
) -> tuple[Times, dict[str, set[str]]]:
    """Measure all pipelines on all cores; return times, and digests of the tiled stores."""
    times: Times = {name: {task: [] for task in TASKS} for name in pipelines}
    digests: dict[str, set[str]] = {name: set() for name in pipelines}
    images = [analysis_pixels(path) for path in paths]
    for number in range(rounds + 1):
        roots = {name: folder / f"{number}-{index}" for index, name in enumerate(pipelines)}
        for path, pixels in zip(paths, images, strict=True):
            for name, pipeline in pipelines.items():
                with replaced(pipeline):
                    durations = measure_core(path, roots[name], pixels)
                for task, duration in durations.items():
                    if number:  # the first round is a warm-up
                        times[name][task].append(duration)
        for name, root in roots.items():
            digests[name].add(digest(root))
    return times, digests


def measure_core(path: Path, root: Path, pixels: UInt8) -> dict[str, tuple[float, float]]:
    """Measure every task on one core; return wall and CPU times in ms."""
    tasks: dict[str, Callable[[], object]] = {
        "tile": functools.partial(tile_core, path, root),
        "write": functools.partial(write_core, path, root.with_suffix(".pixels"), pixels),
        "read": functools.partial(read_core, path, root),
        "read tiles": functools.partial(read_tiles, path, root),
    }
    return {name: measure(task) for name, task in tasks.items()}


def row(task: str, name: str, times: Times, base: str, digests: set[str]) -> list[str]:
    """Return a row of the table; CPU times are compared with those of the pipeline `base`."""
    wall, cpu = np.median(times[name][task], axis=0)
    ratios = np.array(times[name][task])[:, 1] / np.array(times[base][task])[:, 1]
    equal = "yes" if len(digests) == 1 else "no"
    return [TASKS[task], name, f"{wall:.1f}", f"{cpu:.1f}", f"{np.median(ratios):.2f}", equal]


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--cores", type=int, default=5)
    parser.add_argument("--former", type=Path, help="the former cacl/store/shard.py")
    parser.add_argument("--out", type=Path, default=RESULTS / "codec_pipeline.md")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    pipelines: dict[str, Pipeline] = {ZARRS: {}, DEFAULT: default_pipeline()}
    if options.former:
        pipelines[FORMER] = former_pipeline(options.former)
    base = FORMER if options.former else ZARRS
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        paths, description = cores(Path(folder), options.cores)
        times, digests = measure_rounds(pipelines, paths, Path(folder), options.rounds)
    rows = [row(task, name, times, base, digests[name]) for task in TASKS for name in pipelines]
    notes = [
        f"images: {description}; {SOURCE_PX} px of the source to {TILE_PX} px, 64 tiles per core",
        f"medians over cores and {options.rounds} rounds; the ratio is the median over pairs of "
        f"runs of the CPU time to that of {base} on the same core in the same round",
        load_note(load_before),
        "equal bytes: all files of the tiled cores are the same in every round",
        "target: `cacl tile` with zarrs at most 1.10 x the CPU time of the former code",
    ]
    header = ["work", "pipeline", "wall ms", "CPU ms", f"CPU / {base}", "equal bytes"]
    write_table(options.out, "Zarr codec pipelines", notes, header, rows)


if __name__ == "__main__":
    main()
