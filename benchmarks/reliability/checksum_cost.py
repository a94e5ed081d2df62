"""What checksums cost: time and size of images, masks and tables, with and without them.

Usage: python -m benchmarks.reliability.checksum_cost [--rounds N] [--cores N] [--out FILE]

Each round measures both, one after the other, in one process; the ratio is the median over the
rounds of the paired CPU times.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
from zarr.codecs import ZstdCodec

from benchmarks._lib.images import UInt8, analysis_pixels, cores
from benchmarks._lib.report import RESULTS, write_table
from cacl import tables
from cacl.hpa.provenance import digest_file
from cacl.store import arrays
from cacl.store.arrays import create_array, open_array, store_arrays
from cacl.tables.schemas import TileStatRow

TILE_PX = 128
TABLE_ROWS = 64_000


def without_checksums(level: int, **_: object) -> object:
    """Return the codec of the store without its checksum."""
    return ZstdCodec(level=level, checksum=False)


def write_array(path: Path, values: UInt8) -> None:
    """Write an array as the store does."""
    axes = ("c", "y", "x")[-values.ndim :]
    store_arrays([(create_array(path, values.shape, TILE_PX, axes), values)])


def size_of(path: Path) -> int:
    """Return the size of a file, or of all files of a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def ratio(plain: Callable[[], object], checked: Callable[[], object], rounds: int) -> float:
    """Return the median of the paired CPU times, checked over plain."""
    ratios = []
    for _ in range(rounds):
        seconds = []
        for work in (plain, checked):
            start = time.process_time()
            work()
            seconds.append(time.process_time() - start)
        ratios.append(seconds[1] / seconds[0])
    return statistics.median(ratios)


def measure_array(folder: Path, values: UInt8, rounds: int) -> tuple[float, float, float]:
    """Return the ratios of the time of writing, of reading, and of the size of an array."""
    plain, checked = folder / "plain", folder / "checked"

    def write_plain() -> None:
        with mock.patch.object(arrays, "ZstdCodec", without_checksums):
            write_array(folder / f"p{next_name()}", values)

    def write_checked() -> None:
        write_array(folder / f"c{next_name()}", values)

    with mock.patch.object(arrays, "ZstdCodec", without_checksums):
        write_array(plain, values)
    write_array(checked, values)
    reading = ratio(
        lambda: np.asarray(open_array(plain)), lambda: np.asarray(open_array(checked)), rounds
    )
    return ratio(write_plain, write_checked, rounds), reading, size_of(checked) / size_of(plain)


NAMES = iter(range(10**9))


def next_name() -> int:
    """Return a number that no array has yet."""
    return next(NAMES)


def measure_table(folder: Path, rounds: int) -> tuple[float, float, float]:
    """Return the ratios of the time of writing, of reading, and of the size of a table."""
    rng = np.random.default_rng(0)
    rows = [
        TileStatRow(
            image_id=f"HPA{number // 64:06d}/1_A_7_2",
            antibody_id=f"HPA{number // 64:06d}",
            row=number // 8 % 8,
            col=number % 8,
            tissue_fraction=float(rng.random()),
            dab_fraction=float(rng.random()),
            digest=f"{number // 64:064x}",
        )
        for number in range(TABLE_ROWS)
    ]
    frame = tables.to_table(rows, TileStatRow).to_pandas()
    plain, checked = folder / "plain.parquet", folder / "checked.parquet"

    def write_plain() -> None:
        pq.write_table(tables.to_table(frame, TileStatRow), plain, compression="zstd")

    def write_checked() -> None:
        tables.write_parquet(checked, frame, TileStatRow)

    writing = ratio(write_plain, write_checked, rounds)
    reading = ratio(lambda: pq.read_table(plain), lambda: tables.read_arrow(checked), rounds)
    return writing, reading, size_of(checked) / size_of(plain)


def measure_hash(path: Path, rounds: int) -> float:
    """Return the ratio of decoding and hashing a core to decoding it."""

    def decode() -> None:
        analysis_pixels(path)

    def hash_and_decode() -> None:
        digest_file(path)
        decode()

    return ratio(decode, hash_and_decode, rounds)


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS / "checksum_cost.md")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths, what = cores(folder, options.cores)
        for number, path in enumerate(paths):
            pixels = analysis_pixels(path)
            mask = (pixels[0] < 150).astype(np.uint8)
            for kind, values in (("image", pixels), ("mask", mask)):
                measured = measure_array(folder / f"{number}{kind}", values, options.rounds)
                rows.append([f"{kind} of core {number + 1}", *(f"{one:.3f}" for one in measured)])
            hashed = measure_hash(path, options.rounds)
            rows.append([f"decoding core {number + 1}, with its hash", "", f"{hashed:.3f}", ""])
        measured = measure_table(folder, options.rounds)
        rows.append([f"table of {TABLE_ROWS} tiles", *(f"{one:.3f}" for one in measured)])
    notes = [
        f"{what}; {options.rounds} rounds; ratios with checksum / without: median of paired CPU "
        "times, bytes on disk",
    ]
    header = ("what", "writing", "reading", "size")
    write_table(options.out, "Cost of checksums", notes, header, rows)


if __name__ == "__main__":
    main()
