"""Memory and file handles of one process that works on many cores.

Usage: python -m benchmarks.reliability.soak [--images N] [--shards N] [--side PX] [--out FILE]

One process acquires, tiles, segments and measures N synthetic cores, one shard after the other, and
states after each shard what it holds. The model is untrained: its masks have no meaning.
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import simplejpeg

from benchmarks._lib.images import JPEG_QUALITY, repeated_tissue
from benchmarks._lib.report import RESULTS, load_note, write_table
from benchmarks._lib.untrained_model import write_untrained_model
from cacl import tables
from cacl.config import LabelsConfig, SegmentConfig, SourceConfig, TilesConfig
from cacl.steps.acquire import acquire
from cacl.steps.catalog import catalog
from cacl.steps.measure import measure
from cacl.steps.parameters import AcquireOptions, ImageJobs, MeasureFiles
from cacl.steps.segment import segment
from cacl.steps.tile import tile
from cacl.tables.schemas import MeasureRow

IMAGES, SHARDS, SIDE_PX = 2_000, 8, 750
WARM_UP_SHARDS = 2
MAX_GROWTH_MB = 20.0
RESET_PEAK = "5"
"""Written to `/proc/self/clear_refs`, it resets the peak resident size; see proc(5)."""


@dataclass(frozen=True)
class Held:
    """What the process holds after a number of images.

    Parameters
    ----------
    images
        Images measured so far.
    resident_mb, peak_mb
        Resident size now, and its peak since the shard before, MB (10^6 bytes).
    files, threads
        Open file handles and threads.
    """

    images: int
    resident_mb: float
    peak_mb: float
    files: int
    threads: int


def write_manifest(folder: Path, images: int, shards: int, side_px: int) -> Path:
    """Write cores that differ from each other and their manifest; one antibody per core."""
    tissue, rng = repeated_tissue(side_px), np.random.default_rng(0)
    lines = ["image_path,antibody_id,patient_id,label"]
    for number in range(images):
        down, right = rng.integers(0, side_px, 2).tolist()
        core = np.ascontiguousarray(np.roll(tissue, (down, right), (0, 1)))
        path = folder / f"{number}.jpg"
        path.write_bytes(simplejpeg.encode_jpeg(core, JPEG_QUALITY))
        lines.append(f"{path.name},AB{number:05d},1,{('negative', 'positive')[number % 2]}")
    manifest = folder / "manifest.csv"
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return manifest


def run_shard(folder: Path, shard: int, source: SourceConfig) -> int:
    """Acquire, tile, segment and measure one shard in this process; return its images."""
    listed, name = folder / f"catalog/shards/{shard}.parquet", f"{shard}.parquet"
    acquired, tiles = folder / "acquired" / name, folder / "tiles" / name
    segmented, census = folder / "segmented" / name, folder / "census" / name
    failures, store = folder / "failures.csv", folder / "atlas.zarr"
    acquire(
        listed, folder / "images", acquired, failures, source, AcquireOptions(jobs=2, strict=True)
    )
    tile(acquired, store, tiles, failures, TilesConfig(), ImageJobs(jobs=2, strict=True))
    segment(
        tiles, store, folder / "model", segmented, failures, SegmentConfig(), threads=2, strict=True
    )
    files = MeasureFiles(
        segmented=segmented,
        images=listed,
        annotations=folder / f"catalog/annotations/{shard}.parquet",
        tiles=tiles,
        store=store,
    )
    measure(
        files,
        census,
        failures,
        ImageJobs(jobs=2, strict=True),
        cell_type=LabelsConfig().cell_type,
        min_tissue_fraction=TilesConfig().min_tissue_fraction,
    )
    return len(tables.read_parquet(census, MeasureRow))


def read_held(images: int) -> Held:
    """Return what this process holds, and reset its peak; Linux only."""
    gc.collect()
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    kib = {line.partition(":")[0]: line.split()[1] for line in lines if line.endswith("kB")}
    Path("/proc/self/clear_refs").write_text(RESET_PEAK, encoding="ascii")
    return Held(
        images=images,
        resident_mb=int(kib["VmRSS"]) * 1024 / 1e6,
        peak_mb=int(kib["VmHWM"]) * 1024 / 1e6,
        files=len(list(Path("/proc/self/fd").iterdir())),
        threads=threading.active_count(),
    )


def soak(folder: Path, images: int, shards: int, side_px: int) -> list[Held]:
    """Run all shards and return what the process holds after each of them."""
    manifest = write_manifest(folder, images, shards, side_px)
    write_untrained_model(folder / "model")
    source = SourceConfig(kind="manifest", manifest=manifest)
    catalog(folder / "catalog", folder / "failures.csv", source, LabelsConfig(), shards=shards)
    done, held = 0, []
    for shard in range(shards):
        done += run_shard(folder, shard, source)
        held.append(read_held(done))
    if done != images:
        raise SystemExit(f"{done} of {images} images were measured")
    return held


def main() -> None:
    """Measure and write the table; exit with an error if memory or file handles grow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--shards", type=int, default=SHARDS)
    parser.add_argument("--side", type=int, default=SIDE_PX)
    parser.add_argument("--out", type=Path, default=RESULTS / "soak.md")
    options = parser.parse_args()
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        held = soak(Path(name), options.images, options.shards, options.side)
    warm = held[WARM_UP_SHARDS - 1 :]
    growth_mb = warm[-1].resident_mb - warm[0].resident_mb
    write_table(
        options.out,
        "Memory and file handles of one process over many cores",
        [
            f"{options.images} synthetic cores of {options.side} x {options.side} px in "
            f"{options.shards} shards; acquire, tile, segment and measure in one process, 2 images "
            "at a time; untrained model of the preset robust",
            f"growth of the resident size after the first {WARM_UP_SHARDS} shards: "
            f"{growth_mb:.1f} MB; target: at most {MAX_GROWTH_MB:.0f} MB",
            load_note(load_before),
        ],
        ["images", "resident MB", "peak MB", "file handles", "threads"],
        [
            [
                f"{state.images:,}",
                f"{state.resident_mb:.1f}",
                f"{state.peak_mb:.1f}",
                str(state.files),
                str(state.threads),
            ]
            for state in held
        ],
    )
    if growth_mb > MAX_GROWTH_MB or warm[-1].files > warm[0].files:
        raise SystemExit("memory or file handles grow with the number of images")


if __name__ == "__main__":
    main()
