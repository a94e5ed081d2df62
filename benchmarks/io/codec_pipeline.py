"""Zarr codec pipelines: `cacl tile` as a whole, writing and reading, by pipeline.

Usage: python -m benchmarks.io.codec_pipeline [--rounds N] [--former FILE] [--out FILE]

FILE is the shard writer and reader that `cacl.store` had before it used zarrs; get it by
`git show 766479b:cacl/store/shard.py > shard.py`. Every round measures each pipeline once on each
core, one after the other in one process, so that all of them meet the same load. CPU time counts
all threads of the process (getrusage).
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import zarr

from benchmarks._lib.images import cores
from benchmarks._lib.report import write_up
from cacl.image.readers import open_source
from cacl.image.tile_grid import TileGrid
from cacl.steps.tile import _tile_image
from cacl.store import ImageMeta, Store, arrays, ome_zarr
from cacl.tables.schemas import AcquiredRow

HERE = Path(__file__).parents[1]
SOURCE_PX, TILE_PX = 375, 128
READ_TILES = 16
ZARRS = "zarrs, one worker"
DEFAULT = "Zarr's own pipeline"
FORMER = "former code of `cacl.store`"
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
def used(pipeline: Pipeline) -> Iterator[None]:
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
        sha256="",
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


def write_core(path: Path, root: Path, pixels: np.ndarray) -> None:
    """Write an image and an empty mask."""
    side = pixels.shape[-1] // TILE_PX * SOURCE_PX
    meta = ImageMeta(
        image_id=f"A/{path.stem}",
        source_sha256="",
        source_height=side,
        source_width=side,
        source_px=SOURCE_PX,
        tile_px=TILE_PX,
        mpp=None,
        digest="",
    )
    Store(root).write_image(meta, pixels, np.zeros(pixels.shape[1:], bool))


def digest(root: Path) -> str:
    """Return a digest of the names and bytes of all files."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    parts = (str(path.relative_to(root)).encode() + path.read_bytes() for path in files)
    return hashlib.sha256(b"".join(parts)).hexdigest()


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--former", type=Path, help="the former cacl/store/shard.py")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "codec_pipeline.md")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    pipelines: dict[str, Pipeline] = {ZARRS: {}, DEFAULT: default_pipeline()}
    if args.former:
        pipelines[FORMER] = former_pipeline(args.former)
    load_before = os.getloadavg()[0]
    times: dict[str, dict[str, list[tuple[float, float]]]] = {}
    digests: dict[str, set[str]] = {name: set() for name in pipelines}
    with tempfile.TemporaryDirectory() as folder:
        paths, description = cores(Path(folder), 5)
        images = []
        for path in paths:
            with open_source(path) as source:
                grid = TileGrid(source.height, source.width, SOURCE_PX, TILE_PX)
                images.append(source.read(grid, range(grid.rows), range(grid.cols)))
        for number in range(args.rounds + 1):
            roots = {name: Path(folder) / f"{number}-{k}" for k, name in enumerate(pipelines)}
            for path, pixels in zip(paths, images, strict=True):
                for name, pipeline in pipelines.items():
                    root = roots[name]
                    written = root.with_suffix(".pixels")
                    with used(pipeline):
                        work: dict[str, Callable[[], object]] = {
                            "tile": lambda p=path, r=root: tile_core(p, r),
                            "write": lambda p=path, r=written, v=pixels: write_core(p, r, v),
                            "read": lambda p=path, r=root: Store(r).image(f"A/{p.stem}")[:],
                            "read tiles": lambda p=path, r=root: read_tiles(p, r),
                        }
                        for task, run in work.items():
                            duration = measure(run)
                            if number:  # the first round warms up
                                times.setdefault(name, {}).setdefault(task, []).append(duration)
            for name, root in roots.items():
                digests[name].add(digest(root))

    def cells(name: str, task: str) -> list[str]:
        wall, cpu = np.median(times[name][task], axis=0)
        base = np.array(times[FORMER if args.former else ZARRS][task])[:, 1]
        ratio = np.median(np.array(times[name][task])[:, 1] / base)
        return [f"{wall:.1f}", f"{cpu:.1f}", f"{ratio:.2f}"]

    tasks = {
        "tile": "`cacl tile` of a core",
        "write": "write image and empty mask",
        "read": "open and read a core",
        "read tiles": f"open a core, read {READ_TILES} tiles",
    }
    rows = [
        [title, name, *cells(name, task), "yes" if len(digests[name]) == 1 else "no"]
        for task, title in tasks.items()
        for name in pipelines
    ]
    base_name = FORMER if args.former else ZARRS
    notes = [
        f"images: {description}; {SOURCE_PX} px of the source to {TILE_PX} px, 64 tiles a core",
        f"medians over cores and {args.rounds} rounds; the ratio is the median over pairs of runs "
        f"of the CPU time to that of {base_name} on the same core in the same round",
        f"load average before and after: {load_before:.1f}, {os.getloadavg()[0]:.1f} on "
        f"{os.cpu_count()} cores",
        "equal bytes: all files of the tiled cores are the same in every round",
        "target: `cacl tile` with zarrs at most 1.10 x the CPU time of the former code",
    ]
    header = ["work", "pipeline", "wall ms", "CPU ms", f"CPU / {base_name}", "equal bytes"]
    write_up(args.out, "Zarr codec pipelines", notes, header, rows)


if __name__ == "__main__":
    main()
