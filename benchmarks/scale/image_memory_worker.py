"""Tile one image in this process; print its peak memory above that of the process before.

Usage: python -m benchmarks.scale.image_memory_worker STORE SMALL_IMAGE IMAGE

The small image loads the libraries first. `benchmarks.scale.image_memory` calls this script.
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks._lib.images import SOURCE_PX, TILE_PX
from benchmarks._lib.process import Usage, peak_mb
from cacl import tables
from cacl.config import TilesConfig
from cacl.hpa.provenance import digest_file
from cacl.steps.parameters import ImageJobs
from cacl.steps.tile import tile
from cacl.tables.schemas import AcquiredRow


def tile_image(store: Path, path: Path) -> None:
    """Tile an image as `cacl tile` does."""
    row = AcquiredRow(
        image_id=f"image/{path.stem}",
        antibody_id="image",
        path=str(path),
        sha256=digest_file(path)[0],
        size_bytes=path.stat().st_size,
        mpp=None,
    )
    folder = store.parent
    tables.write_parquet(folder / "acquired.parquet", [row], AcquiredRow)
    config = TilesConfig(source_px=SOURCE_PX, tile_px=TILE_PX, min_tissue_fraction=0.0)
    outputs = folder / "tiles.parquet", folder / "failures.csv"
    tile(folder / "acquired.parquet", store, *outputs, config, ImageJobs(strict=True))


def main() -> None:
    """Measure one image."""
    store, small, path = (Path(name) for name in sys.argv[1:])
    tile_image(store, small)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the peak
    before = peak_mb()
    tile_image(store, path)
    print(json.dumps(asdict(Usage(1, 0.0, 0.0, peak_mb() - before))))


if __name__ == "__main__":
    main()
