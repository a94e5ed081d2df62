"""Runs one image of the corpus through `acquire` and `tile`; as a module, all of them in turn.

Usage: python -m tests.corpus.image_case FOLDER

The folder has the files and `manifest.csv`; a line of JSON is printed for each case.
"""

from __future__ import annotations

import ctypes
import gc
import json
import logging
import sys
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks._lib.process import peak_mb
from cacl import tables
from cacl.config import SourceConfig, TilesConfig
from cacl.hpa.manifest import read_manifest
from cacl.steps.acquire import acquire
from cacl.steps.parameters import AcquireOptions, ImageJobs
from cacl.steps.tile import tile
from cacl.store import Store
from cacl.tables.schemas import FailureRow, ImageRow, TileStatRow
from tests.corpus.images import CASES
from tests.corpus.images_field import (
    DAB_FRACTION,
    HEIGHT,
    PATCHES,
    TILE_PX,
    WIDTH,
    Case,
    Measured,
    Refused,
    Writer,
)
from tests.corpus.images_jpeg import save
from tests.corpus.images_tiff import rgb

WARM_UP: dict[str, Writer] = {
    "warm up.jpg": save,
    "warm up.png": partial(save, image_format="PNG"),
    "warm up.tif": partial(rgb, tile=(128, 128)),
}


@dataclass(frozen=True)
class Outcome:
    """How a case ended.

    Parameters
    ----------
    end
        `measured`, or the reason of the failure row.
    differences
        What differs from how it is to end; empty if nothing.
    peak_mb
        Peak resident memory above that before the case, in MB (10^6 bytes).
    seconds
        CPU time.
    """

    end: str
    differences: tuple[str, ...]
    peak_mb: float
    seconds: float


class Corpus:
    """The images that the manifest of a folder lists, and their store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows = read_manifest(folder / "manifest.csv")
        self._store = Store(folder / "atlas.zarr")

    def load_libraries(self) -> None:
        """Process images that are no cases, so that cases are measured without libraries."""
        for number, (name, write) in enumerate(WARM_UP.items()):
            path = self._folder / name
            write(path)
            self._process(replace(self._rows[0], image_id=f"warm-up/{number}", path=str(path)))
        gc.collect()
        gc.freeze()  # objects of the libraries are not searched again for each case

    def measure(self, number: int, case: Case) -> Outcome:
        """Run the image of a case through `acquire` and `tile`; measure memory and CPU time."""
        row = self._rows[number]
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the peak
        before, start = peak_mb(), time.process_time()
        tiles, failures = self._process(row)
        used = peak_mb() - before, time.process_time() - start
        if len(failures) != int(not tiles):
            return Outcome("both", (f"{len(tiles)} tiles and {len(failures)} failures",), *used)
        if failures:
            reason, message = failures[0]
            is_right = isinstance(case.end, Refused) and (
                reason == case.end.reason and case.end.remedy in message
            )
            wrong = () if is_right else (f"{reason}: {message}, not {case.end}",)
            return Outcome(reason, wrong, *used)
        if isinstance(case.end, Refused):
            return Outcome("measured", (f"measured, not {case.end}",), *used)
        return Outcome("measured", self._wrong_measures(row.image_id, case.end, tiles), *used)

    def _process(self, row: ImageRow) -> tuple[list[TileStatRow], list[tuple[str, str]]]:
        """Return the tiles of an image, and reason and message of its failure."""
        shard, acquired, tiles = (self._folder / f"{name}.parquet" for name in ("s", "a", "t"))
        failed = self._folder / "acquire.csv", self._folder / "tile.csv"
        tables.write_parquet(shard, [row], ImageRow)
        source = SourceConfig(kind="manifest", manifest=self._folder / "manifest.csv")
        acquire(shard, self._folder / "images", acquired, failed[0], source, AcquireOptions())
        config = TilesConfig(source_px=TILE_PX, tile_px=TILE_PX)
        tile(acquired, self._store.root, tiles, failed[1], config, ImageJobs())
        failures = [
            (str(failure.reason), str(failure.message))
            for path in failed
            for failure in tables.read_csv(path, FailureRow).itertuples()
        ]
        return tables.read_parquet(tiles, TileStatRow), failures

    def _wrong_measures(
        self, image_id: str, end: Measured, tiles: list[TileStatRow]
    ) -> tuple[str, ...]:
        meta, wrong = self._store.meta(image_id), []
        if (meta.source_height, meta.source_width) != (HEIGHT, WIDTH):
            return (f"the image is {meta.source_width} x {meta.source_height} px",)
        if (meta.mpp is None) != (end.mpp is None) or not np.isclose(
            meta.mpp or 0, end.mpp or 0, rtol=1e-3
        ):
            wrong.append(f"mpp is {meta.mpp}, not {end.mpp}")
        pixels = np.asarray(self._store.image(image_id)[:])
        for name, (window, colour) in PATCHES.items():
            mean = pixels[:, *window].mean(axis=(1, 2))
            if np.abs(mean - colour).max() > end.tolerance:
                wrong.append(f"{name} is {mean}, not {colour}")
        tissue = sum(row.tissue_fraction for row in tiles)
        dab = sum(row.tissue_fraction * row.dab_fraction for row in tiles) / tissue
        if abs(dab - DAB_FRACTION) > 0.02:
            wrong.append(f"the DAB fraction is {dab:.3f}, not {DAB_FRACTION:.3f}")
        return tuple(wrong)


def main() -> None:
    """Measure all cases in this process, in their order."""
    logging.disable(logging.CRITICAL)
    corpus = Corpus(Path(sys.argv[1]))
    corpus.load_libraries()
    for number, case in enumerate(CASES):
        sys.stdout.write(json.dumps(asdict(corpus.measure(number, case))) + "\n")


if __name__ == "__main__":
    main()
