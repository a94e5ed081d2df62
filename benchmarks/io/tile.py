"""Time from a JPEG core to the store on one CPU core, relative to decoding and to other tools.

Usage: python -m benchmarks.io.tile [--tiatoolbox PYTHON] [--rounds N] [--cores N] [--out FILE]

PYTHON is the interpreter of an environment with TIAToolbox 2.1, which is not a dependency of this
project: `pip install --no-deps 'tiatoolbox==2.1.*'` and the packages that its import needs, without
those of its networks. Each round measures every method once, one after the other, so that all have
the same load; the fastest round of each method counts. Ratios are of CPU time, which on one core is
the time that the work takes on an idle machine.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import Image
from skimage.transform import resize

from benchmarks._lib.images import SOURCE_PX, TILE_PX, analysis_pixels, cores, image_meta
from benchmarks._lib.report import RESULTS, load_note, write_table
from cacl.hpa.provenance import digest_file
from cacl.steps.tile import _tile_image
from cacl.store import Store
from cacl.tables.schemas import AcquiredRow

WRITTEN = itertools.count()
DECODE = "libjpeg-turbo decodes the core"
PIXELS = "pixels into the store"
TILE_STEP = "`cacl tile`: pixels, cell mask and tile table"
TIATOOLBOX = "TIAToolbox {}: open, 64 patches, nothing stored"
SKIMAGE = "Pillow decodes, skimage resizes 64 patches"


@dataclass(frozen=True)
class Duration:
    """Duration of one run in seconds."""

    wall_s: float
    cpu_s: float


Measure = Callable[[Path], Duration]


def decode(path: Path) -> None:
    """Decode the JPEG only."""
    simplejpeg.decode_jpeg(path.read_bytes(), "RGB")


def new_name(path: Path) -> str:
    """Return a new image name: a census writes each core once and removes none."""
    return f"{path.stem}-{next(WRITTEN)}"


def store_pixels(path: Path, store: Store) -> None:
    """Decode, downsample and write the image with an empty mask."""
    pixels = analysis_pixels(path)
    meta = image_meta(f"pixels/{new_name(path)}", pixels)
    store.write_image(meta, pixels, np.zeros(pixels.shape[1:], bool))


def tile_step(path: Path, store: Store) -> None:
    """Process an image that is not in the store like `cacl tile`."""
    row = AcquiredRow(
        image_id=f"tile/{new_name(path)}",
        antibody_id="tile",
        path=str(path),
        sha256=digest_file(path)[0],
        size_bytes=0,
        mpp=None,
    )
    _tile_image(store, row, path, source_px=SOURCE_PX, tile_px=TILE_PX)


def skimage_tiles(path: Path) -> None:
    """Downsample each patch separately, as tutorials do."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    for row in range(0, pixels.shape[0], SOURCE_PX):
        for col in range(0, pixels.shape[1], SOURCE_PX):
            window = pixels[row : row + SOURCE_PX, col : col + SOURCE_PX]
            resize(window, (TILE_PX, TILE_PX), anti_aliasing=True)


@contextmanager
def tiatoolbox(python: Path) -> Iterator[tuple[str, Measure]]:
    """Yield the version, and a function that measures the tiling of a core."""
    with subprocess.Popen(  # nosec B603  # a list, no shell
        [python, Path(__file__).with_name("peer_tiatoolbox.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as child:
        output, requests = child.stdout, child.stdin
        assert output is not None  # nosec B101  # narrows a type
        assert requests is not None  # nosec B101  # narrows a type

        def tile(path: Path) -> Duration:
            print(path, file=requests, flush=True)
            response = output.readline().split()
            while response and response[0].startswith("|"):
                response = output.readline().split()
            if response[2:] != ["128", "128", "3"]:
                raise SystemExit(f"TIAToolbox: got {response}, expected 2 times and 128 128 3")
            return Duration(float(response[0]), float(response[1]))

        version = output.readline().strip()
        if not version:
            raise SystemExit(f"{python} cannot import TIAToolbox; see the head of this script")
        yield version, tile


def timed(work: Callable[[Path], object], path: Path) -> Duration:
    """Return the duration of `work`."""
    wall, cpu = time.perf_counter(), time.process_time()
    work(path)
    return Duration(time.perf_counter() - wall, time.process_time() - cpu)


def fastest(methods: dict[str, Measure], paths: list[Path], rounds: int) -> dict[str, Duration]:
    """Return the mean over cores of each method's fastest round, without a first round."""
    sums = dict.fromkeys(methods, Duration(0.0, 0.0))
    for path in paths:
        runs: dict[str, list[Duration]] = {name: [] for name in methods}
        for _ in range(rounds + 1):
            for name, measure in methods.items():
                runs[name].append(measure(path))
        for name, (_, *durations) in runs.items():
            sums[name] = Duration(
                sums[name].wall_s + min(run.wall_s for run in durations) / len(paths),
                sums[name].cpu_s + min(run.cpu_s for run in durations) / len(paths),
            )
    return sums


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tiatoolbox", type=Path, help="Python of an environment that has it")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cores", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS / "tile.md")
    args = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        paths, description = cores(Path(folder), args.cores)
        store = Store(Path(folder) / "atlas.zarr")
        methods: dict[str, Measure] = {
            DECODE: lambda path: timed(decode, path),
            PIXELS: lambda path: timed(lambda core: store_pixels(core, store), path),
            TILE_STEP: lambda path: timed(lambda core: tile_step(core, store), path),
            SKIMAGE: lambda path: timed(skimage_tiles, path),
        }
        missing = []
        if args.tiatoolbox:
            with tiatoolbox(args.tiatoolbox) as (version, tile):
                methods[TIATOOLBOX.format(version)] = tile
                results = fastest(methods, paths, args.rounds)
        else:
            missing = [[TIATOOLBOX.format("2.1"), "not measured: no --tiatoolbox", "", "", "", ""]]
            results = fastest(methods, paths, args.rounds)
    rows = [
        [
            name,
            f"{1000 * duration.wall_s:.1f}",
            f"{1000 * duration.cpu_s:.1f}",
            f"{duration.cpu_s / results[DECODE].cpu_s:.2f}",
            f"{duration.cpu_s / results[PIXELS].cpu_s:.2f}",
            f"{duration.cpu_s / results[TILE_STEP].cpu_s:.2f}",
        ]
        for name, duration in results.items()
    ]
    notes = [
        f"images: {description}; {SOURCE_PX} px of the source to {TILE_PX} px, 64 tiles per core",
        f"one CPU core, one thread; mean over cores of the fastest of {args.rounds} rounds",
        load_note(load_before),
        "pixels into the store: decode, area means, OME-Zarr of image and (empty) cell mask, "
        "atomic rename",
        f"targets: {PIXELS} at most 3 x decoding; TIAToolbox at least 2 x and skimage at least "
        f"10 x {PIXELS}",
    ]
    header = [
        "work",
        "ms per core",
        "CPU ms",
        "/ decode",
        "/ pixels into the store",
        "/ `cacl tile`",
    ]
    write_table(args.out, "From a core to the store", notes, header, [*rows, *missing])


if __name__ == "__main__":
    main()
