"""From a JPEG core to the store on one CPU core, against its decoding alone and against peers.

Usage: python benchmarks/tile.py [--tiatoolbox PYTHON] [--rounds N] [--cores N] [--out FILE]

PYTHON is that of an environment with TIAToolbox 2.1, which is none of this project's dependencies:
`pip install --no-deps 'tiatoolbox==2.1.*'` and what its import asks for. Its networks' packages are
not needed. Every round measures each once, one after the other, so that all of them meet the same
load; the fastest round of each counts. Ratios are of CPU time, which on one core is what the work
takes where nothing else wants the core.
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

from benchmarks._lib.images import cores
from benchmarks._lib.report import write_up
from cacl.image.readers import open_source
from cacl.image.tile_grid import TileGrid
from cacl.runtime.digest import digest_of
from cacl.steps.tile import tile_image
from cacl.store import ImageMeta, Store
from cacl.tables.schemas import AcquiredRow

HERE = Path(__file__).parents[1]
SOURCE_PX, TILE_PX = 375, 128
WRITTEN = itertools.count()
DECODE = "libjpeg-turbo decodes the core"
PIXELS = "pixels into the store"
WHOLE = "`cacl tile`: pixels, cell mask and tile table"
TIATOOLBOX = "TIAToolbox {}: open, 64 patches, nothing stored"
SKIMAGE = "Pillow decodes, skimage resizes 64 patches"


@dataclass(frozen=True)
class Took:
    """Seconds of one run."""

    wall_s: float
    cpu_s: float


Measure = Callable[[Path], Took]


def decode(path: Path) -> None:
    """Only decode."""
    simplejpeg.decode_jpeg(path.read_bytes(), "RGB")


def fresh(path: Path) -> str:
    """Return a name that no image has yet: a census writes each core once, and removes none."""
    return f"{path.stem}-{next(WRITTEN)}"


def store_pixels(path: Path, store: Store) -> None:
    """Decode, shrink and write; the mask beside the image is written too, but is empty."""
    with open_source(path) as source:
        grid = TileGrid(source.height, source.width, SOURCE_PX, TILE_PX)
        pixels = source.read(grid, range(grid.rows), range(grid.cols))
        meta = ImageMeta(
            image_id=f"pixels/{fresh(path)}",
            source_sha256="",
            source_height=source.height,
            source_width=source.width,
            source_px=SOURCE_PX,
            tile_px=TILE_PX,
            mpp=None,
            digest="",
        )
        store.write_image(meta, pixels, np.zeros(pixels.shape[1:], bool))


def whole_step(path: Path, store: Store) -> None:
    """Do what `cacl tile` does to an image that the store does not hold yet."""
    row = AcquiredRow(
        image_id=f"whole/{fresh(path)}",
        antibody_id="whole",
        path=str(path),
        sha256=digest_of(time.monotonic_ns()),
        mpp=None,
        **_other_fields(),
    )
    tile_image(store, row, path, source_px=SOURCE_PX, tile_px=TILE_PX)


def _other_fields() -> dict[str, object]:
    known = ("image_id", "antibody_id", "path", "sha256", "mpp")
    return {name: 0 for name in AcquiredRow.__dataclass_fields__ if name not in known}


def skimage_tiles(path: Path) -> None:
    """Shrink each patch by itself, as tutorials do."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    for row in range(0, pixels.shape[0], SOURCE_PX):
        for col in range(0, pixels.shape[1], SOURCE_PX):
            window = pixels[row : row + SOURCE_PX, col : col + SOURCE_PX]
            resize(window, (TILE_PX, TILE_PX), anti_aliasing=True)


@contextmanager
def tiatoolbox(python: Path) -> Iterator[tuple[str, Measure]]:
    """Yield the version, and what cutting a core takes."""
    with subprocess.Popen(
        [python, HERE / "peer_tiatoolbox.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as child:
        said, asked = child.stdout, child.stdin
        assert said is not None
        assert asked is not None

        def cut(path: Path) -> Took:
            print(path, file=asked, flush=True)
            answer = said.readline().split()
            while answer and answer[0].startswith("|"):
                answer = said.readline().split()
            if answer[2:] != ["128", "128", "3"]:
                raise SystemExit(f"TIAToolbox answered {answer}, expected 2 times and 128 128 3")
            return Took(float(answer[0]), float(answer[1]))

        version = said.readline().strip()
        if not version:
            raise SystemExit(f"{python} cannot import TIAToolbox; see the head of this script")
        yield version, cut


def timed(work: Callable[[Path], object], path: Path) -> Took:
    """Return what `work` takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    work(path)
    return Took(time.perf_counter() - wall, time.process_time() - cpu)


def fastest(methods: dict[str, Measure], paths: list[Path], rounds: int) -> dict[str, Took]:
    """Return the mean over cores of each method's fastest round, after one to warm up."""
    sums = dict.fromkeys(methods, Took(0.0, 0.0))
    for path in paths:
        runs: dict[str, list[Took]] = {name: [] for name in methods}
        for _ in range(rounds + 1):
            for name, measure in methods.items():
                runs[name].append(measure(path))
        for name, (_, *took) in runs.items():
            sums[name] = Took(
                sums[name].wall_s + min(run.wall_s for run in took) / len(paths),
                sums[name].cpu_s + min(run.cpu_s for run in took) / len(paths),
            )
    return sums


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tiatoolbox", type=Path, help="Python of an environment that has it")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cores", type=int, default=5)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "tile.md")
    given = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        paths, what = cores(Path(folder), given.cores)
        store = Store(Path(folder) / "atlas.zarr")
        methods: dict[str, Measure] = {
            DECODE: lambda path: timed(decode, path),
            PIXELS: lambda path: timed(lambda at: store_pixels(at, store), path),
            WHOLE: lambda path: timed(lambda at: whole_step(at, store), path),
            SKIMAGE: lambda path: timed(skimage_tiles, path),
        }
        missing = []
        if given.tiatoolbox:
            with tiatoolbox(given.tiatoolbox) as (version, cut):
                methods[TIATOOLBOX.format(version)] = cut
                found = fastest(methods, paths, given.rounds)
        else:
            missing = [[TIATOOLBOX.format("2.1"), "not measured: no --tiatoolbox", "", "", "", ""]]
            found = fastest(methods, paths, given.rounds)
    rows = [
        [
            name,
            f"{1000 * took.wall_s:.1f}",
            f"{1000 * took.cpu_s:.1f}",
            f"{took.cpu_s / found[DECODE].cpu_s:.2f}",
            f"{took.cpu_s / found[PIXELS].cpu_s:.2f}",
            f"{took.cpu_s / found[WHOLE].cpu_s:.2f}",
        ]
        for name, took in found.items()
    ]
    notes = [
        f"images: {what}; {SOURCE_PX} px of the source to {TILE_PX} px, 64 tiles a core",
        f"one CPU core, one thread; mean over cores of the fastest of {given.rounds} rounds",
        f"load average before and after: {load_before:.1f}, {os.getloadavg()[0]:.1f} on "
        f"{os.cpu_count()} cores",
        "pixels into the store: decode, area means, OME-Zarr of image and (empty) cell mask, "
        "renamed into place",
        f"targets: {PIXELS} at most 3 x the decoding; TIAToolbox at least 2 x, skimage at least "
        "10 x as long as that",
    ]
    header = ["work", "ms a core", "CPU ms", "/ decode", "/ pixels into the store", "/ `cacl tile`"]
    write_up(given.out, "From a core to the store", notes, header, [*rows, *missing])


if __name__ == "__main__":
    main()
