"""Peak memory of tiling and segmenting a whole slide, by the size of the slide.

Usage: python -m benchmarks.scale.slide_memory [SIDE_PX ...] [--threads N] [--out FILE]

Writes pyramidal TIFFs of side x side px (one tissue tile, repeated), and runs `cacl tile` and `cacl
segment` on each in processes of their own. The model has the architecture of the preset robust and
is untrained: its masks have no meaning, its memory and time are those of a trained one.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import tifffile
from skimage.data import immunohistochemistry

from benchmarks._lib.images import UInt8
from benchmarks._lib.report import RESULTS, load_note, write_table
from benchmarks._lib.untrained_model import write_untrained_model
from cacl import tables
from cacl.diagnostics.process_cost import Cost, disk_bytes, measure_commands
from cacl.hpa.provenance import digest_file
from cacl.tables.schemas import AcquiredRow, SegmentedRow

SIDES_PX = (5_000, 10_000, 50_000)
SLIDE_TILE_PX = 256
TARGET_MB = 2147


def write_slide(path: Path, side_px: int) -> None:
    """Write a pyramidal TIFF tile by tile, in constant memory."""
    tile = np.ascontiguousarray(immunohistochemistry()[:SLIDE_TILE_PX, :SLIDE_TILE_PX])
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for level in range(4):
            side = side_px >> level
            blurred = cv2.GaussianBlur(tile, (0, 0), 0.5 + level).astype(np.uint8)
            file.write(
                _repeat(blurred, -(-side // SLIDE_TILE_PX)),
                shape=(side, side, 3),
                dtype=np.uint8,
                tile=(SLIDE_TILE_PX, SLIDE_TILE_PX),
                photometric="rgb",
                compression="jpeg",
                subfiletype=int(level > 0),
                metadata=None,
            )


def _repeat(tile: UInt8, tiles_per_side: int) -> Iterator[UInt8]:
    for _ in range(tiles_per_side**2):
        yield tile


def cacl_command(*arguments: object) -> list[str]:
    """Return a command line of `cacl`."""
    return [sys.executable, "-m", "cacl", *map(str, arguments)]


def run(folder: Path, side_px: int, threads: int) -> tuple[Cost, Cost, float]:
    """Tile and segment a slide; return the costs of both and the size of the store in MB."""
    path, store = folder / f"{side_px}.tif", folder / f"{side_px}.zarr"
    write_slide(path, side_px)
    row = AcquiredRow(
        image_id=f"slide/{side_px}",
        antibody_id="slide",
        path=str(path),
        sha256=digest_file(path)[0],
        size_bytes=path.stat().st_size,
        mpp=None,
    )
    tables.write_parquet(folder / "acquired.parquet", [row], AcquiredRow)
    failures = ("--failures", folder / "failures.csv")
    tiles, segmented = folder / "tiles.parquet", folder / "segmented.parquet"
    tile_cost = measure_commands(
        [
            cacl_command(
                *("tile", "--acquired", folder / "acquired.parquet", "--store", store),
                *("--strict", *failures, "--out", tiles),
            )
        ]
    )
    segment_cost = measure_commands(
        [
            cacl_command(
                *("segment", "--tiles", tiles, "--model", folder / "model", "--store", store),
                *("--strict", *failures, "--out", segmented, "--threads", threads),
            )
        ]
    )
    if len(tables.read_parquet(segmented, SegmentedRow)) != 1:
        raise SystemExit(f"the slide of {side_px} px was not segmented")
    path.unlink()
    return tile_cost, segment_cost, disk_bytes(store) / 1e6


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sides", nargs="*", type=int, default=list(SIDES_PX), metavar="SIDE_PX")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS / "slide_memory.md")
    options = parser.parse_args()
    load_before, rows = os.getloadavg()[0], []
    with tempfile.TemporaryDirectory() as name:
        write_untrained_model(Path(name) / "model")
        for side_px in options.sides:
            tile_cost, segment_cost, store_mb = run(Path(name), side_px, options.threads)
            rows.append(
                [
                    f"{side_px:,}",
                    f"{3 * side_px**2 / 1e6:,.0f}",
                    f"{tile_cost.memory_mb:,.0f}",
                    f"{segment_cost.memory_mb:,.0f}",
                    f"{tile_cost.seconds:,.0f}",
                    f"{segment_cost.seconds:,.0f}",
                    f"{tile_cost.cpu_s:,.0f}",
                    f"{segment_cost.cpu_s:,.0f}",
                    f"{store_mb:,.0f}",
                ]
            )
    notes = [
        "slides: pyramidal TIFF of 256 px JPEG tiles, one tissue tile repeated; 375 px of the "
        f"source to 128 px; {options.threads} threads",
        load_note(load_before),
        f"target: a slide of 50,000 x 50,000 px within {TARGET_MB:,} MB (2 GiB)",
    ]
    header = ["side px", "RGB MB", "tile: peak MB", "segment: peak MB", "tile s", "segment s"]
    header += ["tile CPU s", "segment CPU s", "store MB"]
    write_table(options.out, "Memory of whole slides", notes, header, rows)


if __name__ == "__main__":
    main()
