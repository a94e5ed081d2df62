"""Tiles of an image do not depend on its file format, nor on the blocks that are read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dask
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cacl import tables
from cacl.diagnostics.process_cost import measure_commands
from cacl.hpa.provenance import digest_file
from cacl.image.readers import Source, as_dask, open_source
from cacl.image.readers.downsample import downsample_subpixel, downsample_window
from cacl.image.readers.whole_slide import SlideSource, level_window
from cacl.image.tile_grid import TileGrid
from cacl.tables.schemas import AcquiredRow
from tests.fixtures import pictures
from tests.fixtures.pictures import grid_of, read_all, write_pyramid

ALL = slice(None)


@pytest.fixture(scope="module")
def enlarged() -> np.ndarray:
    """A real human IHC, four times its size: 2048 x 2048 px."""
    return pictures.enlarged(2048, 2048)


@pytest.fixture(scope="module")
def slide(enlarged: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An odd-sized pyramidal TIFF, 2001 x 1893 px."""
    path = tmp_path_factory.mktemp("slide") / "slide.tif"
    return write_pyramid(path, enlarged[:1893, :2001], compression="deflate")


# --- equal tiles for every file format -------------------------------------------------------


@pytest.mark.parametrize(("source_px", "tile_px"), [(375, 128), (512, 128), (300, 256), (256, 256)])
@pytest.mark.parametrize(
    ("compression", "max_mean", "max_difference"), [("deflate", 0.7, 16), ("jpeg", 2, 32)]
)
def test_core_and_pyramid_give_the_same_tiles(
    enlarged: np.ndarray,
    tmp_path: Path,
    compression: str,
    max_mean: float,
    max_difference: int,
    source_px: int,
    tile_px: int,
) -> None:
    """A JPEG core (quality 95) against a pyramidal TIFF, in grey levels of 255.

    For a lossless pyramid, the mean difference is at most 0.7 and the largest at most 16; for a
    JPEG pyramid, with every level compressed once more, at most 2 and 32.
    """
    core, slide = tmp_path / "core.jpg", tmp_path / "slide.tif"
    Image.fromarray(enlarged).save(core, quality=95)
    write_pyramid(slide, enlarged, compression=compression)
    with open_source(core) as one, open_source(slide) as other:
        assert not isinstance(one, SlideSource)
        assert isinstance(other, SlideSource)
    a, b = (read_all(path, source_px, tile_px) for path in (core, slide))
    rows = -(-2048 // source_px)
    assert a.shape == b.shape == (3, rows * tile_px, rows * tile_px)
    difference = np.abs(a.astype(int) - b)
    assert difference.mean() <= max_mean
    assert difference.max() <= max_difference


def test_lossless_files_give_identical_tiles(enlarged: np.ndarray, tmp_path: Path) -> None:
    pixels = enlarged[:800, :900]
    png, striped, tiled, planar = (tmp_path / name for name in ("a.png", "b.tif", "c.tif", "d.tif"))
    Image.fromarray(pixels).save(png)
    tifffile.imwrite(striped, pixels, photometric="rgb", rowsperstrip=37, compression="lzw")
    write_pyramid(tiled, pixels, levels=1)
    tifffile.imwrite(planar, np.moveaxis(pixels, -1, 0), photometric="rgb", planarconfig="separate")
    expected = read_all(png, 375, 128)
    for path in (striped, tiled, planar):
        np.testing.assert_array_equal(read_all(path, 375, 128), expected)


def test_analysis_pixels_are_area_means(enlarged: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "core.png"
    Image.fromarray(enlarged[:512, :768]).save(path)
    blocks = enlarged[:512, :768].reshape(128, 4, 192, 4, 3).mean(axis=(1, 3))
    tiles = read_all(path, 256, 64).transpose(1, 2, 0)
    assert np.abs(tiles - blocks).max() <= 0.5


@pytest.mark.slow
def test_a_lower_level_is_the_area_mean_of_level_0(enlarged: np.ndarray, tmp_path: Path) -> None:
    """375 source px are 187.5 px of a level half as large: odd tiles begin inside a pixel."""
    slide, core = write_pyramid(tmp_path / "a.tif", enlarged), tmp_path / "b.png"
    Image.fromarray(enlarged).save(core)
    difference = np.abs(read_all(slide, 375, 128).astype(int) - read_all(core, 375, 128))
    assert difference.mean() < 0.4
    assert difference.max() <= 8


@given(side=st.integers(8, 60), tile_px=st.integers(2, 8), seed=st.integers(0, 2**32 - 1))
def test_subpixel_downsampling_agrees_with_opencv_on_whole_pixels(
    side: int, tile_px: int, seed: int
) -> None:
    window = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    whole = downsample_window(window, tile_px)
    subpixel = downsample_subpixel(window, tile_px, offset=(0, 0), side=(side, side))
    assert np.abs(whole.astype(int) - subpixel).max() <= 1


def test_subpixel_downsampling_weights_pixels_by_covered_area() -> None:
    window = np.zeros((3, 3, 3), np.uint8)
    window[:, 0], window[:, 1], window[:, 2] = 0, 100, 200
    mean = downsample_subpixel(window, 1, offset=(0.0, 0.5), side=(3.0, 2.0))
    assert mean.tolist() == [[[100, 100, 100]]]
    mean = downsample_subpixel(window, 1, offset=(0.0, 0.75), side=(3.0, 1.0))
    assert mean.tolist() == [[[75, 75, 75]]]


@given(
    index=st.integers(0, 500),
    source_px=st.integers(1, 2000),
    source_size=st.integers(1, 200_000),
    halvings=st.integers(0, 5),
)
def test_level_window_contains_its_tile(
    index: int, source_px: int, source_size: int, halvings: int
) -> None:
    level_size = max(1, source_size >> halvings)
    window = level_window(index, source_px, source_size, level_size)
    assert 0 <= window.offset < 1
    assert window.offset + window.side <= window.size + 1e-6
    assert window.size < window.offset + window.side + 1
    start = (window.first + window.offset) * source_size / level_size
    assert start == pytest.approx(index * source_px, abs=1e-3)


def test_pixels_outside_the_image_are_white(tmp_path: Path) -> None:
    core, slide = tmp_path / "core.png", tmp_path / "slide.tif"
    black = np.zeros((300, 400, 3), np.uint8)
    Image.fromarray(black).save(core)
    write_pyramid(slide, black, levels=1)
    for path in (core, slide):
        tiles = read_all(path, 256, 128)
        assert tiles.shape == (3, 256, 256)
        assert (tiles[:, :150, :200] == 0).all()
        assert (tiles[:, 150:] == 255).all()
        assert (tiles[:, :, 200:] == 255).all()


# --- blocks ----------------------------------------------------------------------------------


@pytest.mark.slow
@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
@pytest.mark.parametrize("kind", ["core", "slide"])
def test_tiles_do_not_depend_on_the_block(
    data: st.DataObject, kind: str, slide: Path, tmp_path: Path
) -> None:
    path = slide if kind == "slide" else pictures.png(tmp_path)
    source_px, tile_px = data.draw(st.sampled_from([(375, 128), (200, 113), (512, 128), (90, 90)]))
    with open_source(path) as source:
        grid = grid_of(source, source_px, tile_px)
        first_row = data.draw(st.integers(0, grid.rows - 1))
        first_col = data.draw(st.integers(0, grid.cols - 1))
        rows = range(
            first_row, data.draw(st.integers(first_row + 1, min(first_row + 3, grid.rows)))
        )
        cols = range(
            first_col, data.draw(st.integers(first_col + 1, min(first_col + 3, grid.cols)))
        )
        block = source.read(grid, rows, slice(cols.start, cols.stop))
        for row in rows:
            for col in cols:
                tile = source.read(grid, range(row, row + 1), range(col, col + 1))
                y, x = grid.window(row - first_row, col - first_col)
                np.testing.assert_array_equal(block[:, y, x], tile)


@pytest.mark.parametrize("block_tiles", [1, 2, 5, 100])
def test_dask_reads_identical_pixels(slide: Path, block_tiles: int) -> None:
    with open_source(slide) as source:
        grid = grid_of(source)
        lazy = as_dask(source, grid, block_tiles=block_tiles)
        assert lazy.shape == (3, grid.height, grid.width)
        assert lazy.dtype == np.uint8
        assert lazy.chunksize[1] <= block_tiles * grid.tile_px
        pixels = lazy.compute(scheduler="threads", num_workers=4)
        np.testing.assert_array_equal(pixels, source.read(grid, ALL, ALL))


def test_dask_reads_only_requested_tiles(slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[tuple[range, range]] = []
    read = SlideSource.read

    def spy(self: Source, grid: TileGrid, rows: range, cols: range) -> np.ndarray:
        requests.append((rows, cols))
        return read(self, grid, rows, cols)

    monkeypatch.setattr(SlideSource, "read", spy)
    with open_source(slide) as source, dask.config.set(scheduler="synchronous"):
        lazy = as_dask(source, grid_of(source), block_tiles=2)
        assert requests == []
        lazy[:, 260:300, :10].compute()
    assert requests == [(range(2, 4), range(2))]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_slide(checkout: Path, tmp_path: Path) -> None:
    """12,000 x 12,000 px are 432 MB as RGB, 405 more than 3,000 x 3,000; tiling takes few more."""
    small, large = (peak_of_tiling(checkout, tmp_path, side) for side in (3_000, 12_000))
    assert large < small + 120


def peak_of_tiling(checkout: Path, folder: Path, side_px: int) -> float:
    """Return the peak memory in MB of `cacl tile` on a slide of that side."""
    slide = folder / f"{side_px}.tif"
    write = (
        "from benchmarks.scale.slide_memory import Path, write_slide;"
        f"write_slide(Path({str(slide)!r}), {side_px})"
    )
    subprocess.run([sys.executable, "-c", write], cwd=checkout, check=True)
    named = {"image_id": f"slide/{side_px}", "antibody_id": "slide", "path": str(slide)}
    acquired = AcquiredRow(
        **named, mpp=None, sha256=digest_file(slide)[0], size_bytes=slide.stat().st_size
    )
    tables.write_parquet(folder / "acquired.parquet", [acquired], AcquiredRow)
    command = [
        *(sys.executable, "-m", "cacl", "tile", "--strict"),
        *("--acquired", str(folder / "acquired.parquet"), "--out", str(folder / "t.parquet")),
        *("--store", str(folder / "s.zarr"), "--failures", str(folder / "f.csv")),
    ]
    return measure_commands([command]).memory_mb


def test_rejects_invalid_arguments(slide: Path) -> None:
    with open_source(slide) as source:
        grid = grid_of(source)
        with pytest.raises(ValueError, match="the grid is for an image of 10 x 10 px, this one"):
            source.read(TileGrid(10, 10), ALL, ALL)
        with pytest.raises(ValueError, match="rows must be a contiguous range within 0 - 6"):
            source.read(grid, range(3, 9), ALL)
        with pytest.raises(ValueError, match="cols must be a contiguous range"):
            source.read(grid, ALL, slice(0, 4, 2))
        with pytest.raises(ValueError, match="block_tiles must be at least 1, got 0"):
            as_dask(source, grid, block_tiles=0)
