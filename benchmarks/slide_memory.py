"""Peak memory of reading a whole slide through `as_dask`, by the size of the slide.

Usage: python benchmarks/slide_memory.py [side_px ...]

Writes pyramidal TIFFs of side x side px (one tissue tile, repeated), reads each in a fresh process
block by block into a Zarr array, and prints a table.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import dask
import numpy as np
import tifffile
import zarr
from skimage.data import immunohistochemistry

from cacl.grid import TileGrid
from cacl.slides import as_dask, open_source

SIDES_PX = (2_500, 5_000, 10_000, 20_000)
SLIDE_TILE_PX = 256
THREADS = 2


def write_slide(path: Path, side_px: int) -> None:
    """Write a pyramidal TIFF tile by tile, so that writing takes no memory either."""
    tile = np.ascontiguousarray(immunohistochemistry()[:SLIDE_TILE_PX, :SLIDE_TILE_PX])
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for level in range(4):
            side = side_px >> level
            file.write(
                _repeat(cv2.GaussianBlur(tile, (0, 0), 0.5 + level), -(-side // SLIDE_TILE_PX)),
                shape=(side, side, 3),
                dtype=np.uint8,
                tile=(SLIDE_TILE_PX, SLIDE_TILE_PX),
                photometric="rgb",
                compression="jpeg",
                subfiletype=int(level > 0),
                metadata=None,
            )


def read_slide(path: Path) -> None:
    """Read a slide into a Zarr array and print one row of the table."""
    before = peak_mib()
    started = time.perf_counter()
    with (
        open_source(path) as source,
        tempfile.TemporaryDirectory() as folder,
        dask.config.set(scheduler="threads", num_workers=THREADS),
    ):
        grid = TileGrid(source.height, source.width)
        lazy = as_dask(source, grid)
        out = zarr.create_array(folder, shape=lazy.shape, chunks=lazy.chunksize, dtype="uint8")
        lazy.store(out)
        size = source.height * source.width * 3 / 2**20
    seconds = time.perf_counter() - started
    print(
        f"{source.width:>8,} {size:>10,.0f} {before:>10,.0f} {peak_mib():>10,.0f} "
        f"{seconds:>8.1f} {grid.rows * grid.cols / seconds:>8,.0f}"
    )


def peak_mib() -> float:
    """Return the largest resident size of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _repeat(tile: np.ndarray, tiles_a_side: int) -> Iterator[np.ndarray]:
    for _ in range(tiles_a_side**2):
        yield tile


def main(sides_px: list[int]) -> None:
    """Print the table."""
    print(
        f"{'side px':>8} {'RGB MiB':>10} {'start MiB':>10} {'peak MiB':>10} {'s':>8} {'tiles/s':>8}"
    )
    for side_px in sides_px:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "slide.tif"
            write_slide(path, side_px)
            subprocess.run([sys.executable, __file__, str(path)], check=True)


if __name__ == "__main__":
    if sys.argv[1:] and Path(sys.argv[1]).is_file():
        read_slide(Path(sys.argv[1]))
    else:
        main([int(side) for side in sys.argv[1:]] or list(SIDES_PX))
