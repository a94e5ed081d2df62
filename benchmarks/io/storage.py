"""How a core is best stored: codecs, chunks and shards by size, writing and reading.

Usage: python benchmarks/storage.py [--cores N] [--rounds N] [--out FILE]

All arrays are written and read by Zarr itself, but for the last row, which `cacl.store` writes.
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
from typing import Any

import cv2
import numpy as np
import zarr
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from benchmarks._lib.images import cores
from benchmarks._lib.report import write_up
from cacl.image.readers import open_source
from cacl.image.tile_grid import TileGrid
from cacl.store import ImageMeta, Store

HERE = Path(__file__).parents[1]
SOURCE_PX, TILE_PX = 375, 128
RANDOM_TILES = 16
SEED = 0


@dataclass(frozen=True)
class Layout:
    """How an image (3, y, x) is cut and packed; `shard_px` 0 for a file a chunk."""

    name: str
    codec: Any
    chunk_px: int = TILE_PX
    shard_px: int = 1024

    def create(self, folder: Path, side_px: int) -> zarr.Array:
        """Return an empty array."""
        shard_px = min(self.shard_px, side_px)
        return zarr.create_array(
            folder,
            shape=(3, side_px, side_px),
            dtype="uint8",
            chunks=(3, self.chunk_px, self.chunk_px),
            shards=(3, shard_px, shard_px) if shard_px else None,
            compressors=self.codec,
        )


def blosc(name: str, level: int, shuffle: str) -> BloscCodec:
    """Return a codec of the Blosc family."""
    return BloscCodec(cname=name, clevel=level, shuffle=shuffle, typesize=1)


LAYOUTS = (
    *(Layout(f"zstd {level}", ZstdCodec(level=level)) for level in (-1, 1, 3, 5, 9, 15)),
    *(
        Layout(f"blosc {name} {level}, {shuffle}", blosc(name, level, shuffle))
        for name, level in (("lz4", 1), ("lz4", 5), ("zstd", 1), ("zstd", 5))
        for shuffle in ("noshuffle", "shuffle", "bitshuffle")
    ),
    Layout("gzip 1", GzipCodec(level=1)),
    Layout("none", None),
    Layout("zstd 1, a file a tile", ZstdCodec(level=1), shard_px=0),
    Layout("zstd 1, chunks of 64 px", ZstdCodec(level=1), chunk_px=64),
    Layout("zstd 1, chunks of 256 px", ZstdCodec(level=1), chunk_px=256),
    Layout("zstd 1, chunks of 512 px", ZstdCodec(level=1), chunk_px=512),
    Layout("zstd 1, one chunk", ZstdCodec(level=1), chunk_px=1024),
)


@dataclass(frozen=True)
class Found:
    """What one core costs."""

    bytes_a_core: float
    files: float
    write_ms: float
    tile_ms: float
    image_ms: float


def fastest_ms(work: Callable[[], object], rounds: int) -> float:
    """Return the CPU time of the fastest of several rounds, all threads together."""
    times = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return 1000 * min(times)


def measure(
    write: Callable[[Path], object],
    read: Callable[[Path], zarr.Array],
    data: Path,
    folder: Path,
    rounds: int,
) -> Found:
    """Write an image and read it; `data` is the part of the folder whose files count."""
    place = folder / "array"

    def again() -> None:
        shutil.rmtree(place, ignore_errors=True)
        write(place)

    write_ms = fastest_ms(again, rounds)
    files = [path for path in (place / data).rglob("*") if path.is_file()]
    tiles = read(place).shape[-1] // TILE_PX
    drawn = np.random.default_rng(SEED).integers(0, tiles, (RANDOM_TILES, 2)) * TILE_PX

    def some_tiles() -> None:
        for y, x in drawn:
            np.asarray(read(place)[:, y : y + TILE_PX, x : x + TILE_PX])

    return Found(
        bytes_a_core=sum(path.stat().st_size for path in files),
        files=len(files),
        write_ms=write_ms,
        tile_ms=fastest_ms(some_tiles, rounds) / RANDOM_TILES,
        image_ms=fastest_ms(lambda: np.asarray(read(place)[:]), rounds),
    )


def by_zarr(layout: Layout, pixels: np.ndarray, folder: Path, rounds: int) -> Found:
    """Measure a layout."""

    def write(place: Path) -> None:
        layout.create(place, pixels.shape[-1])[:] = pixels

    return measure(write, lambda place: zarr.open_array(place, mode="r"), Path(), folder, rounds)


def by_the_store(pixels: np.ndarray, folder: Path, rounds: int) -> Found:
    """Measure what `cacl.store` does; the empty cell mask beside the image is written too."""
    side = pixels.shape[-1] // TILE_PX * SOURCE_PX
    meta = ImageMeta(
        image_id="A/1",
        source_sha256="",
        source_height=side,
        source_width=side,
        source_px=SOURCE_PX,
        tile_px=TILE_PX,
        mpp=None,
        digest="",
    )

    def write(place: Path) -> None:
        Store(place).write_image(meta, pixels, np.zeros(pixels.shape[1:], bool))

    def read(place: Path) -> zarr.Array:
        return Store(place).image(meta.image_id)

    return measure(write, read, Path("A/1/0"), folder, rounds)


def mean(parts: list[Found]) -> Mapping[str, float]:
    """Average over cores."""
    return {name: float(np.mean([vars(part)[name] for part in parts])) for name in vars(parts[0])}


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cores", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "storage.md")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths, what = cores(folder, given.cores)
        images = []
        for path in paths:
            with open_source(path) as source:
                grid = TileGrid(source.height, source.width, SOURCE_PX, TILE_PX)
                images.append(source.read(grid, range(grid.rows), range(grid.cols)))
        jpeg = float(np.mean([path.stat().st_size for path in paths]))
        found = {
            layout.name: mean([by_zarr(layout, image, folder, given.rounds) for image in images])
            for layout in LAYOUTS
        }
        ours = mean([by_the_store(image, folder, given.rounds) for image in images])
        found["the store: zstd 1, written by itself"] = ours
    rows = [
        [
            name,
            f"{one['bytes_a_core'] / 1e6:.3f}",
            f"{one['bytes_a_core'] / jpeg:.2f}",
            f"{one['files']:.0f}",
            f"{one['write_ms']:.1f}",
            f"{one['tile_ms']:.2f}",
            f"{one['image_ms']:.1f}",
        ]
        for name, one in found.items()
    ]
    notes = [
        f"images: {what}, stored as 1024 x 1024 px, whose bytes without a codec are 3.146 MB; a "
        f"JPEG has {jpeg / 1e6:.3f} MB",
        f"chunks of {TILE_PX} px and one shard an image unless said; CPU time of the fastest of "
        f"{given.rounds} rounds, on one core, mean over images; a tile is one of "
        f"{RANDOM_TILES} drawn ones, its array opened anew, seed {SEED}",
        f"load average before and after: {load_before:.1f}, {os.getloadavg()[0]:.1f} on "
        f"{os.cpu_count()} cores",
        "files are those of the image's array (data and metadata); the store's row writes an empty "
        "cell mask and the groups' metadata as well: a core with two masks is 10 files",
    ]
    header = [
        "layout",
        "MB a core",
        "/ JPEG",
        "files",
        "write CPU ms",
        "tile CPU ms",
        "image CPU ms",
    ]
    write_up(given.out, "Storing a core", notes, header, rows)


if __name__ == "__main__":
    main()
