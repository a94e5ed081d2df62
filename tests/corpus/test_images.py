"""Every image of the corpus is measured with the right value, or refused with a remedy."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from cacl import tables
from cacl.hpa.manifest import read_manifest
from cacl.store import Store
from cacl.tables.schemas import FailureRow, ImageRow, TileStatRow
from tests.corpus.images import CASES, MAX_MEMORY_MB, MAX_SECONDS, counts, write_corpus
from tests.corpus.images_field import (
    DAB_FRACTION,
    HEIGHT,
    PATCHES,
    TILE_PX,
    WIDTH,
    Case,
    Measured,
    Refused,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
IMAGE_IDS = {case.name: f"corpus/{number:03}" for number, case in enumerate(CASES)}


@dataclass(frozen=True)
class Run:
    """`cacl acquire` and `cacl tile` over the whole corpus at once."""

    store: Store
    stats: dict[str, list[TileStatRow]]
    failures: dict[str, tuple[str, str]]
    memory_mb: float
    seconds: float


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("corpus")
    tables.write_parquet(folder / "shard", read_manifest(write_corpus(folder)), ImageRow)
    names = ("acquired", "acquire.csv", "tiles", "tile.csv", "atlas.zarr")
    acquired, not_acquired, tiles, not_tiled, store = (str(folder / name) for name in names)
    started = time.perf_counter()
    memory_mb = max(
        peak_of(
            folder,
            *("acquire", "--shard", str(folder / "shard"), "--images", str(folder / "i")),
            *("--out", acquired, "--failures", not_acquired, "--kind", "manifest"),
        ),
        peak_of(
            folder,
            *("tile", "--acquired", acquired, "--store", store, "--out", tiles),
            *("--failures", not_tiled, "--source-px", str(TILE_PX), "--tile-px", str(TILE_PX)),
        ),
    )
    seconds = time.perf_counter() - started
    stats: dict[str, list[TileStatRow]] = {}
    for row in tables.read_parquet(Path(tiles), TileStatRow):
        stats.setdefault(row.image_id, []).append(row)
    failures = {
        str(row.image_id): (str(row.reason), str(row.message))
        for table in (not_acquired, not_tiled)
        for row in tables.read_csv(Path(table), FailureRow).itertuples()
    }
    return Run(Store(folder / "atlas.zarr"), stats, failures, memory_mb, seconds)


def peak_of(folder: Path, *arguments: str) -> float:
    """Run `cacl` and return its peak memory in MB.

    The resource usage that the system returns contains that of the process that started it.
    """
    status = folder / "status"
    script = (
        "import atexit, runpy, shutil, sys\n"
        "atexit.register(shutil.copyfile, '/proc/self/status', sys.argv.pop(1))\n"
        "runpy.run_module('cacl', run_name='__main__', alter_sys=True)\n"
    )
    command = [sys.executable, "-c", script, str(status), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = status.read_text(encoding="utf-8").splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1000


def test_corpus_is_large_and_its_names_are_unique() -> None:
    assert len(CASES) >= 80
    assert len(IMAGE_IDS) == len(CASES)
    assert counts()["measured"] >= 80


def test_every_image_ends_once(run: Run) -> None:
    assert sorted([*run.stats, *run.failures]) == sorted(IMAGE_IDS.values())


def test_memory_and_time_are_bounded(
    run: Run, record_testsuite_property: Callable[[str, object], None]
) -> None:
    record_testsuite_property("memory_mb", run.memory_mb)
    record_testsuite_property("seconds", run.seconds)
    assert run.memory_mb < MAX_MEMORY_MB
    assert run.seconds < MAX_SECONDS


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(run: Run, case: Case) -> None:
    image_id = IMAGE_IDS[case.name]
    if isinstance(case.end, Refused):
        reason, message = run.failures[image_id]
        assert reason == case.end.reason, message
        assert case.end.remedy in message
        return
    assert image_id not in run.failures, run.failures[image_id]
    check_measures(run, image_id, case.end)


def check_measures(run: Run, image_id: str, end: Measured) -> None:
    meta = run.store.meta(image_id)
    assert (meta.source_height, meta.source_width) == (HEIGHT, WIDTH)
    assert meta.mpp == (end.mpp if end.mpp is None else pytest.approx(end.mpp, rel=1e-3))
    pixels = np.asarray(run.store.image(image_id)[:])
    for name, (window, colour) in PATCHES.items():
        mean = pixels[:, *window].mean(axis=(1, 2))
        assert np.abs(mean - colour).max() <= end.tolerance, f"{name} is {mean}, not {colour}"
    tissue = sum(row.tissue_fraction for row in run.stats[image_id])
    dab = sum(row.tissue_fraction * row.dab_fraction for row in run.stats[image_id])
    assert dab / tissue == pytest.approx(DAB_FRACTION, abs=0.02)
