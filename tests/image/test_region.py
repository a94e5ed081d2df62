"""Regions of slides and of other images, read as images of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from cacl.errors import ImageError, Reason
from cacl.image.readers import memory_need, open_source
from cacl.image.region import Region, parse_region
from cacl.image.tile_grid import TileGrid
from tests.fixtures import pictures

ALL = slice(None)


def read(path: Path, region: Region | None, source_px: int, tile_px: int) -> NDArray[np.uint8]:
    with open_source(path, region) as source:
        grid = TileGrid(source.height, source.width, source_px, tile_px)
        return source.read(grid, ALL, ALL)


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("2500x2400+1200+3400", Region(1200, 3400, 2500, 2400)),
        (" 1 X 2 + 0 + 0 ", Region(0, 0, 1, 2)),
        ("7\u00d78+1+2", Region(1, 2, 7, 8)),
        ("999999999x1+0+999999999", Region(0, 999999999, 999999999, 1)),
    ],
)
def test_region_is_read_from_text(text: str, region: Region) -> None:
    assert Region.parse(text) == region
    assert Region.parse(str(region)) == region
    assert parse_region("") is None


@pytest.mark.parametrize(
    "text",
    [
        *("x", "1x1", "1x1+0", "0x9+1+1", "9x0+1+1", "-1x1+0+0", "1x1+-1+0", "1x1-1+0"),
        *("1.5x1+0+0", "1,000x1+0+0", "1e3x1+0+0", "nanxnan+0+0", "1200:3400:25:25", "1x1+0+0+0"),
        *("9999999999x1+0+0", "\u0661x1+0+0", "1x1+0+0\n1x1+0+0", "=1x1+0+0"),
    ],
)
def test_other_texts_are_no_region(text: str) -> None:
    with pytest.raises(ValueError, match="such as 2500x2500"):
        Region.parse(text)


@pytest.mark.parametrize("values", [(-1, 0, 1, 1), (0, -1, 1, 1), (0, 0, 0, 1), (0, 0, 1, 0)])
def test_region_without_pixels_cannot_be_made(values: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="negative corner or a side below 1 px"):
        Region(*values)


@pytest.mark.parametrize("name", ["slide.tif", "core.png", "strips.tif"])
@pytest.mark.parametrize("region", [Region(0, 0, 700, 900), Region(123, 77, 311, 290)])
def test_region_has_the_pixels_of_the_cut_out_image(
    tmp_path: Path, name: str, region: Region
) -> None:
    pixels, path = noise(900, 700), tmp_path / name
    if name == "slide.tif":
        pictures.write_pyramid(path, pixels)
    elif name == "strips.tif":
        tifffile.imwrite(path, pixels, photometric="rgb")
    else:
        from PIL import Image

        Image.fromarray(pixels).save(path)
    cut = pixels[region.y : region.y + region.height, region.x : region.x + region.width]
    cut_path = tmp_path / "cut.tif"
    tifffile.imwrite(cut_path, cut, photometric="rgb")
    for source_px, tile_px in ((64, 64), (50, 32)):
        assert np.array_equal(
            read(path, region, source_px, tile_px), read(cut_path, None, source_px, tile_px)
        ), (source_px, tile_px)


def test_neighbours_of_a_region_are_white_at_low_resolution(tmp_path: Path) -> None:
    pixels = np.zeros((1024, 1024, 3), np.uint8)
    pixels[256:512, 384:640] = 200
    path = pictures.write_pyramid(tmp_path / "slide.tif", pixels)
    small = read(path, Region(384, 256, 256, 256), 180, 45)
    assert small.shape == (3, 90, 90)
    assert (small[:, :64, :64] == 200).all()
    assert (small[:, 64:] == 255).all()
    assert (small[:, :, 64:] == 255).all()


@pytest.mark.parametrize("name", ["slide.tif", "core.jpg"])
@pytest.mark.parametrize(
    "region", [Region(0, 0, 701, 900), Region(500, 500, 201, 10), Region(10**8, 0, 10**8, 10**8)]
)
def test_region_outside_the_image_is_refused(tmp_path: Path, name: str, region: Region) -> None:
    path = tmp_path / name
    if name == "slide.tif":
        pictures.write_pyramid(path, noise(900, 700))
    else:
        from PIL import Image

        Image.fromarray(noise(900, 700)).save(path)
    with pytest.raises(ImageError, match="has 700 x 900 px; correct the column region") as caught:
        read(path, region, 64, 64)
    assert caught.value.reason is Reason.OUTSIDE_IMAGE
    if name == "slide.tif":
        with pytest.raises(ImageError, match="correct the column region"):
            memory_need(path, source_px=64, tile_px=64, region=region)


def test_other_parts_of_a_slide_are_not_decoded(tmp_path: Path) -> None:
    """A slide with a damaged tile elsewhere is read: its blocks are decoded one by one."""
    pixels = noise(1024, 1024)
    path = pictures.write_pyramid(tmp_path / "slide.tif", pixels, levels=1, compression="zlib")
    with tifffile.TiffFile(path) as file:
        offset = file.pages[0].dataoffsets[-1]
    data = bytearray(path.read_bytes())
    data[offset : offset + 400] = bytes(400)
    path.write_bytes(data)
    with pytest.raises(ImageError, match="truncated or damaged"):
        read(path, None, 64, 64)
    region = Region(10, 20, 500, 500)
    small = read(path, region, 100, 100)
    assert np.array_equal(small.transpose(1, 2, 0), pixels[20:520, 10:510])


def test_memory_of_a_region_is_that_of_its_size(tmp_path: Path) -> None:
    path = pictures.write_pyramid(tmp_path / "slide.tif", noise(2048, 2048))
    whole = memory_need(path, source_px=64, tile_px=64)
    part = memory_need(path, source_px=64, tile_px=64, region=Region(0, 0, 256, 256))
    own = pictures.write_pyramid(tmp_path / "own.tif", noise(256, 256), levels=1)
    assert part < whole
    assert part == pytest.approx(memory_need(own, source_px=64, tile_px=64), rel=0.01)
    core = pictures.jpeg(tmp_path)
    need = memory_need(core, source_px=64, tile_px=64)
    assert memory_need(core, source_px=64, tile_px=64, region=Region(0, 0, 9, 9)) <= 1.1 * need
