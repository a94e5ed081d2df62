"""Codecs, chunks and shards of a stored core: size, time to write and to read.

Usage: python -m benchmarks.io.storage [--cores N] [--rounds N] [--out FILE]

Zarr's own codec pipeline writes and reads all layouts; the last row is `cacl.store`, which uses
zarrs, see `benchmarks.io.codec_pipeline`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import zarr
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from benchmarks._lib.images import TILE_PX, UInt8, analysis_pixels, cores, image_meta
from benchmarks._lib.report import RESULTS, load_note, write_table
from cacl.store import Store, StoredArray

Shuffle = Literal["noshuffle", "shuffle", "bitshuffle"]
RANDOM_TILES = 16
SEED = 0


@dataclass(frozen=True)
class Layout:
    """Chunks, shards and codec of an image (3, y, x); `shard_px` is None for one file per chunk."""

    name: str
    codec: Any
    chunk_px: int = TILE_PX
    shard_px: int | None = 1024

    def create(self, folder: Path, side_px: int) -> zarr.Array[Any]:
        """Return an empty array."""
        shard_px = min(self.shard_px or 0, side_px)
        return zarr.create_array(
            folder,
            shape=(3, side_px, side_px),
            dtype="uint8",
            chunks=(3, self.chunk_px, self.chunk_px),
            shards=(3, shard_px, shard_px) if shard_px else None,
            compressors=self.codec,
        )


def blosc(name: Literal["lz4", "zstd"], level: int, shuffle: Shuffle) -> BloscCodec:
    """Return a codec of the Blosc family."""
    return BloscCodec(cname=name, clevel=level, shuffle=shuffle, typesize=1)


BLOSC: tuple[tuple[Literal["lz4", "zstd"], int], ...] = (
    ("lz4", 1),
    ("lz4", 5),
    ("zstd", 1),
    ("zstd", 5),
)
SHUFFLES: tuple[Shuffle, ...] = ("noshuffle", "shuffle", "bitshuffle")
LAYOUTS = (
    *(Layout(f"zstd {level}", ZstdCodec(level=level)) for level in (-1, 1, 3, 5, 9, 15)),
    *(
        Layout(f"blosc {name} {level}, {shuffle}", blosc(name, level, shuffle))
        for name, level in BLOSC
        for shuffle in SHUFFLES
    ),
    Layout("gzip 1", GzipCodec(level=1)),
    Layout("none", None),
    Layout("zstd 1, one file per tile", ZstdCodec(level=1), shard_px=None),
    Layout("zstd 1, chunks of 64 px", ZstdCodec(level=1), chunk_px=64),
    Layout("zstd 1, chunks of 256 px", ZstdCodec(level=1), chunk_px=256),
    Layout("zstd 1, chunks of 512 px", ZstdCodec(level=1), chunk_px=512),
    Layout("zstd 1, one chunk", ZstdCodec(level=1), chunk_px=1024),
)


@dataclass(frozen=True)
class Cost:
    """Mean cost of a core."""

    bytes_per_core: float
    files: float
    write_ms: float
    tile_ms: float
    image_ms: float


def fastest_ms(work: Callable[[], object], rounds: int) -> float:
    """Return the CPU time in ms of the fastest round, over all threads."""
    times = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return 1000 * min(times)


def measure(
    write: Callable[[Path], object],
    read: Callable[[Path], zarr.Array[Any] | StoredArray],
    data: Path,
    folder: Path,
    rounds: int,
) -> Cost:
    """Write and read an image; `data` is the subfolder of which the files are counted."""
    target = folder / "array"

    def rewrite() -> None:
        shutil.rmtree(target, ignore_errors=True)
        write(target)

    write_ms = fastest_ms(rewrite, rounds)
    files = [path for path in (target / data).rglob("*") if path.is_file()]
    tiles = read(target).shape[-1] // TILE_PX
    corners = np.random.default_rng(SEED).integers(0, tiles, (RANDOM_TILES, 2)) * TILE_PX

    def read_tiles() -> None:
        for y, x in corners:
            np.asarray(read(target)[:, y : y + TILE_PX, x : x + TILE_PX])

    return Cost(
        bytes_per_core=sum(path.stat().st_size for path in files),
        files=len(files),
        write_ms=write_ms,
        tile_ms=fastest_ms(read_tiles, rounds) / RANDOM_TILES,
        image_ms=fastest_ms(lambda: np.asarray(read(target)[:]), rounds),
    )


def zarr_cost(layout: Layout, pixels: UInt8, folder: Path, rounds: int) -> Cost:
    """Measure a layout."""

    def write(target: Path) -> None:
        layout.create(target, pixels.shape[-1])[:] = pixels

    return measure(write, lambda target: zarr.open_array(target, mode="r"), Path(), folder, rounds)


def store_cost(pixels: UInt8, folder: Path, rounds: int) -> Cost:
    """Measure `cacl.store`, which also writes an empty cell mask."""
    meta = image_meta("A/1", pixels)

    def write(target: Path) -> None:
        Store(target).write_image(meta, pixels, np.zeros(pixels.shape[1:], bool))

    def read(target: Path) -> StoredArray:
        return Store(target).image(meta.image_id)

    return measure(write, read, Path("A/1/0"), folder, rounds)


def mean(costs: list[Cost]) -> Mapping[str, float]:
    """Average over cores."""
    return {name: float(np.mean([vars(cost)[name] for cost in costs])) for name in vars(costs[0])}


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cores", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS / "storage.md")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths, description = cores(folder, args.cores)
        images = [analysis_pixels(path) for path in paths]
        jpeg = float(np.mean([path.stat().st_size for path in paths]))
        costs = {
            layout.name: mean([zarr_cost(layout, image, folder, args.rounds) for image in images])
            for layout in LAYOUTS
        }
        store_mean = mean([store_cost(image, folder, args.rounds) for image in images])
        costs["`cacl.store`: zstd 1, zarrs"] = store_mean
    rows = [
        [
            name,
            f"{cost['bytes_per_core'] / 1e6:.3f}",
            f"{cost['bytes_per_core'] / jpeg:.2f}",
            f"{cost['files']:.0f}",
            f"{cost['write_ms']:.1f}",
            f"{cost['tile_ms']:.2f}",
            f"{cost['image_ms']:.1f}",
        ]
        for name, cost in costs.items()
    ]
    notes = [
        f"images: {description}, stored as 1024 x 1024 px, 3.146 MB without a codec; a JPEG has "
        f"{jpeg / 1e6:.3f} MB",
        f"chunks of {TILE_PX} px and one shard per image if not stated; CPU time of the fastest of "
        f"{args.rounds} rounds on one core, mean over images; tile: mean of {RANDOM_TILES} random "
        f"tiles, the array opened for each, seed {SEED}",
        load_note(load_before),
        "files: data and metadata of the image's array; the row of `cacl.store` also writes an "
        "empty cell mask and the metadata of the groups: a core with two masks has 10 files",
    ]
    header = [
        "layout",
        "MB per core",
        "/ JPEG",
        "files",
        "write CPU ms",
        "tile CPU ms",
        "image CPU ms",
    ]
    write_table(args.out, "Storing a core", notes, header, rows)


if __name__ == "__main__":
    main()
