"""Warnings about pages and pixel sizes; colours and levels that the corpus does not state."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from cacl.errors import ImageError, Reason
from cacl.image.readers import jpeg, open_source
from cacl.image.readers.tiff import codestream
from cacl.image.readers.tiff.colour import packed_size, unpack_subsampled, ycbcr_to_rgb
from cacl.image.readers.whole_slide import SlideSource
from tests.corpus.images_bombs import CODECS, SIDE
from tests.corpus.images_field import field, label, ycbcr
from tests.corpus.images_jpeg import before_end, encoded, segment
from tests.corpus.images_pages import ome, pages, smaller
from tests.fixtures.pictures import read_all

MEASURES = {"jpeg 2000": codestream.jpeg2000_size, "jpeg xl": codestream.jpegxl_size} | {
    "jpeg xr": codestream.jpegxr_size,
    "png": codestream.png_size,
    "webp": codestream.webp_size,
}


@pytest.mark.parametrize("codec", sorted(MEASURES))
def test_sizes_are_read_from_the_header_of_each_codec(codec: str) -> None:
    _, data, change = CODECS[codec]
    assert MEASURES[codec](change(data, SIDE)) == (SIDE, SIDE)
    if data:
        assert MEASURES[codec](data) == (400, 480)
    with pytest.raises(ValueError, match="no "):
        MEASURES[codec](bytes(100))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (400, 480), (1, 5000), (300, 200), (7, 9)])
def test_sizes_of_jpeg_xl_as_libjxl_writes_them(height: int, width: int) -> None:
    import imagecodecs

    pixels = np.zeros((height, width, 3), np.uint8)
    for container in (False, True):
        data = bytes(imagecodecs.jpegxl_encode(pixels, usecontainer=container))
        assert codestream.jpegxl_size(data) == (height, width)


@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from([(2, 1), (2, 2), (4, 1), (4, 2)]))
def test_subsampled_data_units_are_unpacked(
    rows: int, cols: int, subsampling: tuple[int, int]
) -> None:
    """Each sample is its place: Y counts through the unit, chroma repeats over it."""
    across, down = subsampling
    size = across * down
    count = packed_size(rows, cols, subsampling) // (size + 2)
    units = np.arange(count)[:, None] % 256
    unit = np.concatenate([np.tile(np.arange(size), (count, 1)), units, 255 - units], axis=1)
    pixels = unpack_subsampled(unit.astype(np.uint8).tobytes(), rows, cols, subsampling)
    y, x = np.indices((rows, cols))
    np.testing.assert_array_equal(pixels[..., 0], (y % down) * across + x % across)
    number = (y // down) * -(-cols // across) + x // across
    np.testing.assert_array_equal(pixels[..., 1], number % 256)
    np.testing.assert_array_equal(pixels[..., 2], 255 - number % 256)


def test_ycbcr_becomes_the_rgb_it_was() -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(60, 200, (300, 200, 3), np.uint8)
    pixels = ycbcr(rgb)
    ycbcr_to_rgb(pixels)
    assert np.abs(pixels.astype(int) - rgb).max() <= 2
    with pytest.raises(ValueError, match="ReferenceBlackWhite"):
        ycbcr_to_rgb(pixels, reference=(0, 0, 128, 255, 128, 255))


def test_smaller_pages_that_are_left_out_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "slide.tif"
    pages(path, (label(), {}), (field(), {}), (smaller(4), {}))
    with caplog.at_level(logging.WARNING), open_source(path) as source:
        assert (source.height, source.width) == (400, 480)
    assert "1 smaller page(s), such as a label, are left out (160 x 90 px)" in caplog.text


def test_several_cores_are_named_with_page_and_size(tmp_path: Path) -> None:
    path = tmp_path / "cores.tif"
    pages(path, (label(), {}), *[(field(), {})] * 3)
    with pytest.raises(ImageError) as caught, open_source(path):
        pass
    assert caught.value.reason is Reason.SEVERAL_IMAGES
    assert "3 images (page 2 of 480 x 400 px, page 3 of 480 x 400 px, page 4 " in str(caught.value)


def test_implausible_pixel_size_of_ome_is_ignored_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.ome.tif"
    ome(path, "250", "\u00b5m")
    with caplog.at_level(logging.WARNING), open_source(path) as source:
        assert source.mpp is None
    assert "250 x 250 um that OME-XML states is ignored: expected 0.05 to 5 um" in caplog.text


def test_tiled_file_with_a_thumbnail_first_shows_the_whole_field(tmp_path: Path) -> None:
    """OpenSlide would show the thumbnail as level 0."""
    path = tmp_path / "slide.tif"
    pages(path, (smaller(8), {}), (field(), {}), tile=(128, 128))
    with open_source(path) as source:
        assert not isinstance(source, SlideSource)
    np.testing.assert_array_equal(read_all(path, 80, 80).transpose(1, 2, 0), field())


def test_large_tiled_image_behind_a_small_page_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    pages(path, (label(), {}), (field(), {"tile": (128, 128), "compression": "deflate"}))
    with tifffile.TiffFile(path, mode="r+") as file:
        second = file.pages[1]
        assert isinstance(second, tifffile.TiffPage)
        second.tags["ImageWidth"].overwrite(20_000)
        second.tags["ImageLength"].overwrite(20_000)
    with pytest.raises(ImageError, match="with the large image as its first page"):
        read_all(path, 80, 80)


def test_bytes_outside_the_segments_of_a_jpeg_change_no_pixel() -> None:
    clean = encoded()
    expected = jpeg.decode(jpeg.parse(clean))
    for junk in (bytes(37), b"\x12\xff\x3a\x55" * 9, b"a" * 4000):
        padded = jpeg.parse(before_end(junk)(clean) + bytes(2048))
        np.testing.assert_array_equal(jpeg.decode(padded), expected)
    too_much = jpeg.parse(before_end(b"a" * 9000)(clean))
    with pytest.raises(ValueError, match="extraneous bytes"):
        jpeg.decode(too_much)


def test_end_marker_inside_a_segment_is_not_the_end() -> None:
    """As of the thumbnail in EXIF, when the file is cut after it."""
    clean = encoded()
    commented = clean[:2] + segment(0xFE, b"\xff\xd9" * 500) + clean[2:]
    with pytest.raises(ValueError, match="it ends before its end marker"):
        jpeg.parse(commented[: len(commented) // 2])
