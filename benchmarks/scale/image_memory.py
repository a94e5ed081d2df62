"""Peak memory of tiling an image against the estimate from its header.

Usage: python -m benchmarks.scale.image_memory [SIDE_PX ...] [--out FILE]

Writes one image per reader and size (one tissue tile, repeated), and tiles each in a process of its
own. The estimate must be at least the peak, else an image starts that does not fit.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import simplejpeg
import tifffile
from PIL import Image

from benchmarks._lib.images import SOURCE_PX, TILE_PX, UInt8, repeated_tissue
from benchmarks._lib.process import read_usage
from benchmarks._lib.report import RESULTS, load_note, write_table
from cacl.image.readers import memory_need

SIDES_PX = (3000, 6000)
KINDS: dict[str, tuple[str, Callable[[Path, UInt8], object]]] = {
    "JPEG": (".jpg", lambda path, rgb: path.write_bytes(simplejpeg.encode_jpeg(rgb, 80))),
    "JPEG, progressive, 4:4:4": (
        ".jpg",
        lambda path, rgb: Image.fromarray(rgb).save(
            path, quality=80, progressive=True, subsampling=0
        ),
    ),
    "JPEG, rotated": (".jpg", lambda path, rgb: _rotated_jpeg(path, rgb)),
    "PNG": (".png", lambda path, rgb: Image.fromarray(rgb).save(path, compress_level=1)),
    "PNG, transparent": (
        ".png",
        lambda path, rgb: Image.fromarray(_rgba(rgb)).save(path, compress_level=1),
    ),
    "TIFF, strips": (
        ".tif",
        lambda path, rgb: tifffile.imwrite(
            path, rgb, photometric="rgb", compression="zlib", rowsperstrip=64
        ),
    ),
    "TIFF, one strip": (
        ".tif",
        lambda path, rgb: tifffile.imwrite(
            path, rgb, photometric="rgb", compression="zlib", rowsperstrip=len(rgb)
        ),
    ),
    "TIFF, planes": (
        ".tif",
        lambda path, rgb: tifffile.imwrite(
            path,
            np.ascontiguousarray(rgb.transpose(2, 0, 1)),
            photometric="rgb",
            planarconfig="separate",
        ),
    ),
    "TIFF, transparent": (
        ".tif",
        lambda path, rgb: tifffile.imwrite(
            path, _rgba(rgb), photometric="rgb", extrasamples=["unassalpha"]
        ),
    ),
    "whole slide": (
        ".tif",
        lambda path, rgb: tifffile.imwrite(
            path, rgb, photometric="rgb", tile=(256, 256), compression="jpeg"
        ),
    ),
}


def _rgba(rgb: UInt8) -> UInt8:
    return np.dstack([rgb, np.full(rgb.shape[:2], 200, np.uint8)])


def _rotated_jpeg(path: Path, rgb: UInt8) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(rgb).save(path, quality=80, exif=exif)


def write_image(folder: Path, kind: str, side_px: int) -> Path:
    """Write an image of a kind; return its path."""
    suffix, write = KINDS[kind]
    path = folder / f"image{suffix}"
    write(path, repeated_tissue(side_px))
    return path


def peak_mb(folder: Path, path: Path) -> float:
    """Return the peak memory of tiling an image, in MB above that of the process before."""
    small = folder / "small.jpg"
    small.write_bytes(simplejpeg.encode_jpeg(repeated_tissue(2 * SOURCE_PX), 80))
    module = "benchmarks.scale.image_memory_worker"
    return read_usage(module, str(folder / "store"), str(small), str(path)).peak_mb


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sides", nargs="*", type=int, default=list(SIDES_PX), metavar="SIDE_PX")
    parser.add_argument("--out", type=Path, default=RESULTS / "image_memory.md")
    options = parser.parse_args()
    load_before, rows = os.getloadavg()[0], []
    for kind in KINDS:
        for side_px in options.sides:
            with tempfile.TemporaryDirectory() as name:
                path = write_image(Path(name), kind, side_px)
                need_mb = memory_need(path, source_px=SOURCE_PX, tile_px=TILE_PX) / 1e6
                peak = peak_mb(Path(name), path)
            pixels = f"{side_px**2 / 1e6:.1f}"
            rows.append([kind, pixels, f"{need_mb:.0f}", f"{peak:.0f}", f"{need_mb / peak:.1f}"])
    notes = [
        f"one tissue tile repeated; {SOURCE_PX} px of the source to {TILE_PX} px; estimate and peak"
        " are above the memory of the process before the image",
        load_note(load_before),
        "target: no peak above its estimate",
    ]
    header = ["reader", "pixels (10^6)", "estimated MB", "peak MB", "estimated / peak"]
    write_table(options.out, "Memory of an image", notes, header, rows)


if __name__ == "__main__":
    main()
