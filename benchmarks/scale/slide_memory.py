"""Peak memory of tiling and segmenting a whole slide, by the size of the slide.

Usage: python benchmarks/slide_memory.py [side_px ...] [--threads N] [--out FILE]

Writes pyramidal TIFFs of side x side px (one tissue tile, repeated), and runs `cacl tile` and `cacl
segment` on each in processes of their own. The model has the architecture of the preset robust and
was not trained: what it finds is without meaning, what it takes is not.
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
import torch
from skimage.data import immunohistochemistry

from benchmarks._lib.report import write_up
from cacl import tables
from cacl.diagnostics.process_cost import Cost, disk_bytes, measure_commands
from cacl.hpa.target_class import SINGLE_CLASS
from cacl.model.checkpoint import save_model
from cacl.model.config import ROBUST
from cacl.model.inference.masks import Thresholds
from cacl.model.networks.autoencoder import AutoEncoder
from cacl.tables.schemas import AcquiredRow, SegmentedRow

HERE = Path(__file__).parents[1]
SIDES_PX = (5_000, 10_000, 50_000)
SLIDE_TILE_PX = 256
TARGET_MB = 2147


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


def _repeat(tile: np.ndarray, tiles_a_side: int) -> Iterator[np.ndarray]:
    for _ in range(tiles_a_side**2):
        yield tile


def write_model(folder: Path) -> None:
    """Write a model that was not trained."""
    torch.manual_seed(0)
    network = AutoEncoder(ROBUST.network)
    codes = torch.randn_like(network.codebook.codes)
    network.codebook.set_codes(codes, torch.ones(len(codes), dtype=torch.bool))
    limits = (Thresholds(low=0.0, high=0.0, edge_high=0.0, min_area_fraction=0.0),)
    folder.mkdir()
    save_model(folder, [network], ROBUST, classes=(SINGLE_CLASS,), thresholds=limits, attributes={})


def run(folder: Path, side_px: int, threads: int) -> tuple[Cost, Cost, float]:
    """Tile and segment a slide; return what both take, and the store's MB."""
    path, store = folder / f"{side_px}.tif", folder / f"{side_px}.zarr"
    write_slide(path, side_px)
    row = AcquiredRow(
        image_id=f"slide/{side_px}",
        antibody_id="slide",
        path=str(path),
        sha256=str(side_px),
        size_bytes=path.stat().st_size,
        mpp=None,
    )
    tables.write_parquet(folder / "acquired.parquet", [row], AcquiredRow)
    cacl, failures = [sys.executable, "-m", "cacl"], ["--failures", str(folder / "failed.csv")]
    into = ["--store", str(store), "--strict", *failures]
    tiles, done = str(folder / "tiles.parquet"), folder / "segmented.parquet"
    tiled = measure_commands(
        [[*cacl, "tile", "--acquired", str(folder / "acquired.parquet"), *into, "--out", tiles]]
    )
    segmented = measure_commands(
        [
            [
                *(*cacl, "segment", "--tiles", tiles, "--model", str(folder / "model"), *into),
                *("--out", str(done), "--threads", str(threads)),
            ]
        ]
    )
    if len(tables.read_parquet(done, SegmentedRow)) != 1:
        raise SystemExit(f"the slide of {side_px} px was not segmented")
    path.unlink()
    return tiled, segmented, disk_bytes(store) / 1e6


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("sides", nargs="*", type=int, default=list(SIDES_PX), metavar="SIDE_PX")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "slide_memory.md")
    given = parser.parse_args()
    load_before, rows = os.getloadavg()[0], []
    with tempfile.TemporaryDirectory() as name:
        write_model(Path(name) / "model")
        for side_px in given.sides:
            tiled, segmented, store_mb = run(Path(name), side_px, given.threads)
            rows.append(
                [
                    f"{side_px:,}",
                    f"{3 * side_px**2 / 1e6:,.0f}",
                    f"{tiled.memory_mb:,.0f}",
                    f"{segmented.memory_mb:,.0f}",
                    f"{tiled.seconds:,.0f}",
                    f"{segmented.seconds:,.0f}",
                    f"{tiled.cpu_s:,.0f}",
                    f"{segmented.cpu_s:,.0f}",
                    f"{store_mb:,.0f}",
                ]
            )
    notes = [
        "slides: pyramidal TIFF of 256 px JPEG tiles, one tissue tile repeated; 375 px of the "
        f"source to 128 px; {given.threads} threads",
        f"load average before and after: {load_before:.1f}, {os.getloadavg()[0]:.1f} on "
        f"{os.cpu_count()} cores",
        f"target: a slide of 50,000 x 50,000 px within {TARGET_MB:,} MB (2 GiB)",
    ]
    header = ["side px", "RGB MB", "tile: peak MB", "segment: peak MB", "tile s", "segment s"]
    header += ["tile CPU s", "segment CPU s", "store MB"]
    write_up(given.out, "Memory of whole slides", notes, header, rows)


if __name__ == "__main__":
    main()
