from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from benchmarks._lib.bit_flips import flips, is_flipped
from cacl import tables
from cacl.config import TilesConfig
from cacl.errors import Reason, StrictError
from cacl.image.cell_mask import cell_mask
from cacl.steps.parameters import ImageJobs
from cacl.steps.tile import tile
from cacl.store import Store
from cacl.tables.schemas import AcquiredRow, FailureRow, TileStatRow
from tests.fixtures.bad_images import BAD_IMAGES
from tests.fixtures.pictures import blank, one_pixel


def sha256_of(path: Path) -> str:
    """Return the digest of a file; empty if it is none, or has a name that cannot be."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    except OSError:
        return ""


def acquired(path: Path, name: str, mpp: float | None = None) -> AcquiredRow:
    return AcquiredRow(
        image_id=f"HPA000001/{name}",
        antibody_id="HPA000001",
        path=str(path),
        sha256=sha256_of(path),
        size_bytes=0,
        mpp=mpp,
    )


@pytest.fixture
def core(tmp_path: Path) -> Path:
    """A core of 2 x 3 tiles; the left half of tile (0, 1) is brown, its right half background."""
    import cv2

    rgb = np.full((128, 192, 3), 245, np.uint8)
    rgb[:64, :64] = (150, 140, 190)
    rgb[:64, 64:96] = (120, 80, 50)
    path = tmp_path / "core.png"
    assert cv2.imwrite(str(path), rgb[..., ::-1])
    return path


class Run:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "tiles.parquet"

    def __call__(self, rows: list[AcquiredRow], **options: Any) -> list[TileStatRow]:
        tables.write_parquet(self.folder / "acquired.parquet", rows, AcquiredRow)
        sides = {"source_px": 64, "tile_px": 32} | options
        names = ("jobs", "dask_scheduler", "strict")
        jobs = ImageJobs(**{name: sides.pop(name) for name in names if name in sides})
        tile(
            self.folder / "acquired.parquet",
            self.folder / "atlas.zarr",
            self.out,
            self.folder / "failures.csv",
            TilesConfig(**sides),
            jobs,
        )
        return tables.read_parquet(self.out, TileStatRow)

    @property
    def failures(self) -> dict[str, str]:
        frame = tables.read_csv(self.folder / "failures.csv", FailureRow)
        return dict(zip(frame.image_id, frame.reason, strict=True))

    @property
    def store(self) -> Store:
        return Store(self.folder / "atlas.zarr")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_tissue_and_dab_fractions_per_tile(run: Run, core: Path) -> None:
    stats = run([acquired(core, "core", mpp=0.5)])
    assert [(stat.row, stat.col) for stat in stats] == [(r, c) for r in (0, 1) for c in range(3)]
    tissue = [stat.tissue_fraction for stat in stats]
    dab = [stat.dab_fraction for stat in stats]
    assert tissue == pytest.approx([1, 0.5, 0, 0, 0, 0], abs=0.1)
    assert dab == pytest.approx([0, 1, 0, 0, 0, 0], abs=0.1)
    meta = run.store.meta("HPA000001/core")
    assert (meta.source_height, meta.source_width, meta.mpp) == (128, 192, 1.0)
    assert run.store.image("HPA000001/core").shape == (3, 64, 96)


def test_second_run_writes_no_image_and_equal_tables(run: Run, core: Path) -> None:
    first = run([acquired(core, "core")])
    table = run.out.read_bytes()
    marker = run.store.path("HPA000001/core") / "zarr.json"
    before = marker.stat().st_mtime_ns
    assert run([acquired(core, "core")]) == first
    assert run.out.read_bytes() == table
    assert marker.stat().st_mtime_ns == before


def test_other_parameters_rewrite_the_image(run: Run, core: Path) -> None:
    first = run([acquired(core, "core")])
    again = run([acquired(core, "core")], tile_px=64)
    assert again[0].digest != first[0].digest
    assert run.store.image("HPA000001/core").shape == (3, 128, 192)


def test_bad_images_become_failures_and_the_rest_is_tiled(run: Run, core: Path) -> None:
    folder = run.folder / "bad"
    folder.mkdir()
    rows, expected = [acquired(core, "first")], {}
    for bad in BAD_IMAGES:
        bad_folder = folder / bad.name
        bad_folder.mkdir()
        name = "".join(char if char.isalnum() else "-" for char in bad.name)
        rows.append(acquired(bad.write(bad_folder), name))
        expected[f"HPA000001/{name}"] = str(bad.reason)
    for name, write, reason in [
        ("one-pixel", one_pixel, Reason.TOO_SMALL),
        ("blank", blank, Reason.NO_TISSUE),
    ]:
        rows.append(acquired(write(folder), name))
        expected[f"HPA000001/{name}"] = str(reason)
    rows.append(acquired(core, "last"))
    stats = run(rows, jobs=2)
    assert run.failures == expected
    assert {stat.image_id for stat in stats} == {"HPA000001/first", "HPA000001/last"}


def test_unsafe_image_id_becomes_a_failure(run: Run, core: Path) -> None:
    row = AcquiredRow(**(vars(acquired(core, "core")) | {"image_id": "../../etc/core"}))
    assert run([row]) == []
    assert run.failures == {"../../etc/core": "unsafe_id"}


def test_strict_raises_after_the_tables_are_written(run: Run, core: Path, tmp_path: Path) -> None:
    rows = [acquired(core, "core"), acquired(tmp_path / "missing.jpg", "missing")]
    with pytest.raises(StrictError):
        run(rows, strict=True)
    assert run.failures == {"HPA000001/missing": "not_found"}
    assert len(tables.read_parquet(run.out, TileStatRow)) == 6


def test_whole_slide_is_tiled_block_by_block(run: Run, shared_data: Path) -> None:
    slide = shared_data / "slides" / "CMU-1-Small-Region.svs"
    stats = run([acquired(slide, "slide")], source_px=375, tile_px=128)
    meta = run.store.meta("HPA000001/slide")
    assert (meta.source_height, meta.source_width) == (2967, 2220)
    assert meta.mpp == pytest.approx(0.499 * 375 / 128, rel=1e-3)
    assert len(stats) == 8 * 6
    assert 0.3 < np.mean([stat.tissue_fraction for stat in stats]) < 0.4


def test_real_cores_have_tissue_and_background(run: Run, shared_data: Path) -> None:
    paths = sorted((shared_data / "cores").glob("*.jpg"))
    stats = run([acquired(path, path.stem) for path in paths], source_px=375, tile_px=128, jobs=2)
    assert run.failures == {}
    assert len(stats) == 5 * 64
    for path in paths:
        of_core = [stat for stat in stats if stat.image_id.endswith(f"/{path.stem}")]
        fractions = np.array([stat.tissue_fraction for stat in of_core]).reshape(8, 8)
        assert fractions.min() < 0.01
        assert 0.05 < fractions.mean() < 0.85


def test_image_that_changed_since_it_was_acquired_is_not_tiled(run: Run, core: Path) -> None:
    """A flipped bit that a decoder does not notice would give other pixels under the old digest."""
    row = acquired(core, "core")
    for place in flips(core, 100):
        with is_flipped(core, place):
            assert run([row]) == []
        assert run.failures == {"HPA000001/core": "changed"}
    assert not run.store.path("HPA000001/core").exists()
    assert len(run([row])) == 6


def test_image_that_changes_while_it_is_read_is_not_tiled(
    run: Run, core: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace_and_mask(*args: Any) -> Any:
        core.write_bytes(core.read_bytes() + b"x")
        return cell_mask(*args)

    row = acquired(core, "core")
    monkeypatch.setattr("cacl.image.analysis_image.cell_mask", replace_and_mask)
    assert run([row]) == []
    assert run.failures == {"HPA000001/core": "changed"}
    assert not run.store.path("HPA000001/core").exists()


@pytest.mark.parametrize("name", ["0/c/0/0/0", "0/zarr.json", "zarr.json", "labels/cell/zarr.json"])
def test_damaged_image_in_the_store_is_written_again(run: Run, core: Path, name: str) -> None:
    first = run([acquired(core, "core")])
    path = run.store.path("HPA000001/core") / name
    before = path.read_bytes()
    path.write_bytes(before[:20] + bytes([before[20] ^ 1]) + before[21:])
    assert run([acquired(core, "core")]) == first
    assert path.read_bytes() == before


@pytest.mark.parametrize(("mpp", "warns"), [(0.25, True), (0.4, False), (0.8, True), (None, False)])
def test_pixel_sizes_of_manifest_and_file_that_differ_give_a_warning(
    run: Run, core: Path, mpp: float | None, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    path = core.with_suffix(".tif")
    pixels = np.asarray(Image.open(core))
    tifffile.imwrite(path, pixels, photometric="rgb", resolution=(2e4, 2e4), resolutionunit=3)
    run([acquired(path, "core", mpp=mpp)], source_px=64, tile_px=64)
    assert ("the image file 0.5; the manifest counts" in caplog.text) == warns
    assert run.store.meta("HPA000001/core").mpp == pytest.approx(mpp or 0.5)
