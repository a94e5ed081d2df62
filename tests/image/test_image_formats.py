"""Every format is read as viewers show it, and unreadable files give a reason and a remedy."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from cacl.errors import ImageError, Reason
from cacl.image.readers import as_dask, check_size, open_source
from cacl.image.readers.downsample import downsample_window
from cacl.image.readers.whole_slide import SlideSource
from cacl.image.tile_grid import TileGrid
from tests.fixtures import pictures
from tests.fixtures.bad_images import BAD_IMAGES, BadImage, Writer, overwrite_tags
from tests.fixtures.pictures import grid_of, picture, read_all, write_pyramid

ALL = slice(None)


@pytest.fixture(scope="module")
def enlarged() -> np.ndarray:
    return pictures.enlarged(2048, 2048)


# --- formats ---------------------------------------------------------------------------------


def test_real_slide(shared_data: Path) -> None:
    slide = shared_data / "slides" / "CMU-1-Small-Region.svs"
    with open_source(slide) as source:
        assert isinstance(source, SlideSource)
        assert (source.height, source.width, source.mpp) == (2967, 2220, 0.499)
        grid = grid_of(source)
        assert (grid.rows, grid.cols) == (8, 6)
        tiles = source.read(grid, ALL, ALL)
    level_0 = tifffile.imread(slide, key=0)
    assert level_0.shape == (2967, 2220, 3)
    tile = downsample_window(np.ascontiguousarray(level_0[1125:1500, 750:1125]), 128)
    y, x = grid.window(3, 2)
    assert np.abs(tiles[:, y, x].transpose(1, 2, 0).astype(int) - tile).max() <= 2
    assert (tiles[:, 2967 * 128 // 375 + 1 :] == 255).all()


def test_damaged_slides(shared_data: Path, tmp_path: Path) -> None:
    svs = (shared_data / "slides" / "CMU-1-Small-Region.svs").read_bytes()
    cut = tmp_path / "cut.svs"
    cut.write_bytes(svs[:1_000_000])
    with pytest.raises(ImageError, match="truncated or damaged") as caught, open_source(cut):
        pass
    assert caught.value.reason is Reason.DAMAGED

    rotten = tmp_path / "rotten.svs"
    rotten.write_bytes(svs[:500_000] + bytes(200_000) + svs[700_000:])
    with open_source(rotten) as source:
        grid = grid_of(source)
        with pytest.raises(ImageError, match="truncated or damaged") as caught:
            source.read(grid, ALL, ALL)
        assert caught.value.reason is Reason.DAMAGED
        with pytest.raises(ImageError, match="truncated or damaged"):
            as_dask(source, grid).compute(scheduler="threads")


def test_slide_in_a_compression_that_openslide_does_not_decode(
    shared_data: Path, tmp_path: Path
) -> None:
    path = tmp_path / "strange.svs"
    path.write_bytes((shared_data / "slides" / "CMU-1-Small-Region.svs").read_bytes())
    overwrite_tags(path, Compression=50_002)
    with pytest.raises(ImageError, match="Unsupported TIFF compression") as caught:
        read_all(path, 375, 128)
    assert caught.value.reason is Reason.UNSUPPORTED_PIXELS
    assert "export it as a pyramidal OME-TIFF" in str(caught.value)


def test_truncated_pyramid_is_damaged(enlarged: np.ndarray, tmp_path: Path) -> None:
    whole = write_pyramid(tmp_path / "whole.tif", enlarged, compression="deflate").read_bytes()
    for fraction in (0.05, 0.3, 0.6):
        cut = tmp_path / "cut.tif"
        cut.write_bytes(whole[: int(len(whole) * fraction)])
        with pytest.raises(ImageError) as caught:
            read_all(cut, 375, 128)
        assert caught.value.reason is Reason.DAMAGED


def test_slide_that_openslide_rejects_is_damaged_and_not_too_large(tmp_path: Path) -> None:
    """As a large truncated pyramid; the remedy "save it as a pyramid" would mislead."""
    path = pictures.tiff(tmp_path, tile=(128, 128), compression="jpegxl")
    assert read_all(path, 200, 100).shape == (3, 200, 300), "small enough to be decoded whole"
    overwrite_tags(path, ImageWidth=60_000, ImageLength=60_000)
    with pytest.raises(ImageError, match="a large tiled TIFF that OpenSlide cannot read") as caught:
        read_all(path, 200, 100)
    assert caught.value.reason is Reason.DAMAGED


def test_content_and_not_the_name_determines_the_format(
    tmp_path: Path, enlarged: np.ndarray
) -> None:
    expected = read_all(pictures.png(tmp_path), 200, 100)
    np.testing.assert_array_equal(read_all(pictures.png(tmp_path, "a.jpg"), 200, 100), expected)
    np.testing.assert_array_equal(read_all(pictures.tiff(tmp_path, "a.png"), 200, 100), expected)
    pyramid = write_pyramid(tmp_path / "slide.jpg", enlarged)
    with open_source(pyramid) as source:
        assert isinstance(source, SlideSource)


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"subsampling": 0}, {"optimize": True}, {"keep_rgb": True}]
)
def test_jpeg_variants(tmp_path: Path, options: pictures.JpegOptions) -> None:
    tiles = read_all(pictures.jpeg(tmp_path, **options), 200, 100)
    expected = read_all(pictures.png(tmp_path), 200, 100)
    assert np.abs(tiles.astype(int) - expected).mean() < 1.2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_as_viewers_show_it(tmp_path: Path, orientation: int) -> None:
    path = pictures.turned_jpeg(tmp_path, orientation)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    with open_source(path) as source:
        assert (source.height, source.width) == expected.shape[:2]
        grid = TileGrid(source.height, source.width, 50, 50)
        tiles = source.read(grid, ALL, ALL)[:, : source.height, : source.width]
    np.testing.assert_array_equal(tiles.transpose(1, 2, 0), expected)


def test_tiff_and_png_orientation(tmp_path: Path) -> None:
    turned = np.rot90(picture(), k=-1)
    tiff = pictures.tiff(tmp_path, extratags=[(274, "H", 1, 6, True)])
    exif = Image.Exif()
    exif[0x0112] = 6
    png = tmp_path / "turned.png"
    Image.fromarray(picture()).save(png, exif=exif)
    for path in (tiff, png):
        tiles = read_all(path, 100, 100)
        np.testing.assert_array_equal(tiles.transpose(1, 2, 0)[:420, :400], turned)


def test_invalid_exif_is_ignored(tmp_path: Path) -> None:
    path = pictures.jpeg(tmp_path, exif=b"Exif\0\0" + b"\xff" * 40)
    with open_source(path) as source:
        assert (source.height, source.width) == (400, 420)


def test_transparent_pixels_are_composited_on_white(tmp_path: Path) -> None:
    png, tiff, premultiplied = pictures.rgba_png(tmp_path), tmp_path / "a.tif", tmp_path / "b.tif"
    rgba = np.asarray(Image.open(png))
    tifffile.imwrite(tiff, rgba, photometric="rgb", extrasamples=["unassalpha"])
    tifffile.imwrite(premultiplied, rgba, photometric="rgb", extrasamples=["assocalpha"])
    for path in (png, tiff, premultiplied):
        tiles = read_all(path, 105, 105).transpose(1, 2, 0)
        assert (tiles[:400, :210] == 255).all()
        np.testing.assert_array_equal(tiles[:400, 210:420], picture()[:, 210:])


def test_half_transparent_pixels_are_half_white(tmp_path: Path) -> None:
    path = tmp_path / "half.tif"
    rgba = np.full((100, 100, 4), (100, 50, 0, 128), np.uint8)
    tifffile.imwrite(path, rgba, photometric="rgb", extrasamples=["unassalpha"])
    alpha = 128 / 255
    expected = np.rint([value * alpha + 255 * (1 - alpha) for value in (100, 50, 0)])
    assert read_all(path, 100, 100)[:, 5, 5].tolist() == expected.tolist()


def test_fourth_channel_other_than_alpha_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "extra.tif"
    pixels = np.dstack([picture(), np.zeros((400, 420), np.uint8)])
    tifffile.imwrite(path, pixels, photometric="rgb", extrasamples=["unspecified"])
    np.testing.assert_array_equal(
        read_all(path, 200, 100), read_all(pictures.png(tmp_path), 200, 100)
    )


def test_palette_png(tmp_path: Path) -> None:
    path = pictures.palette_png(tmp_path)
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"))
    tiles = read_all(path, 100, 100).transpose(1, 2, 0)[:400, :420]
    np.testing.assert_array_equal(tiles, expected)


def test_wide_image(tmp_path: Path) -> None:
    with open_source(pictures.wide_jpeg(tmp_path)) as source:
        assert (source.height, source.width) == (3000, 20_000)
        grid = grid_of(source)
        assert (grid.rows, grid.cols) == (8, 54)
        assert (source.read(grid, range(1), range(53, 54))[:, :, 43:] == 255).all()


# --- resolution ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resolution", "unit", "mpp"),
    [
        ((20_000, 20_000), "CENTIMETER", 0.5),
        ((50_800, 50_800), "INCH", 0.5),
        ((20_000, 20_400), "CENTIMETER", 0.4951),
        ((20_000, 40_000), "CENTIMETER", None),
        ((72, 72), "INCH", None),
        ((300, 300), "INCH", None),
        ((20_000, 20_000), "NONE", None),
        ((10_000_000, 10_000_000), "CENTIMETER", None),
    ],
)
@pytest.mark.parametrize("tile", [None, (128, 128)])
def test_mpp_of_a_tiff(
    tmp_path: Path,
    resolution: tuple[int, int],
    unit: str,
    mpp: float | None,
    tile: tuple[int, int] | None,
) -> None:
    path = pictures.tiff(tmp_path, resolution=resolution, resolutionunit=unit, tile=tile)
    with open_source(path) as source:
        assert isinstance(source, SlideSource) == (tile is not None)
        assert source.mpp == (mpp if mpp is None else pytest.approx(mpp, abs=1e-4))


def test_jpeg_and_png_have_no_mpp(tmp_path: Path) -> None:
    dense = tmp_path / "dense.png"
    Image.fromarray(picture()).save(dense, dpi=(50_800, 50_800))
    for path in (pictures.jpeg(tmp_path, dpi=(50_800, 50_800)), dense):
        with open_source(path) as source:
            assert source.mpp is None


# --- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", BAD_IMAGES, ids=lambda bad: bad.name)
@pytest.mark.timeout(20)
def test_bad_image_has_its_reason_and_a_remedy(bad: BadImage, tmp_path: Path) -> None:
    path = bad.write(tmp_path)
    started = time.perf_counter()
    with pytest.raises(ImageError) as caught, open_source(path):
        pass
    assert time.perf_counter() - started < 5, "rejected before decoding"
    assert caught.value.reason is bad.reason
    message = str(caught.value)
    assert path.name[:8].rstrip("\0") in message.replace("\\x00", "\0")
    assert ";" in message, "the problem; the remedy"
    assert "\n" not in message


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every file")
def test_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = pictures.jpeg(tmp_path)
    path.chmod(0)
    with pytest.raises(ImageError, match="no permission; make it readable") as caught:
        read_all(path, 100, 100)
    assert caught.value.reason is Reason.REFUSED


@pytest.mark.parametrize(
    ("error", "reason", "remedy"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), Reason.REFUSED, "make it readable"),
        (OSError(errno.EIO, "Input/output error"), Reason.DAMAGED, "check the disk"),
        (FileNotFoundError(errno.ENOENT, "No such file"), Reason.NOT_FOUND, "correct the path"),
    ],
)
def test_errors_of_the_operating_system_have_a_reason_and_a_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: OSError, reason: Reason, remedy: str
) -> None:
    """As if a file is removed or a disk fails between two accesses."""

    def fail(_: Path) -> bytes:
        raise error

    path = pictures.jpeg(tmp_path)
    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(ImageError, match=remedy) as caught:
        read_all(path, 100, 100)
    assert caught.value.reason is reason


def test_image_smaller_than_a_tile_is_too_small(tmp_path: Path) -> None:
    with open_source(pictures.one_pixel(tmp_path)) as source:
        assert source.read(grid_of(source), ALL, ALL).shape == (3, 128, 128)
        with pytest.raises(ImageError, match="The image is 1 x 1 px, smaller than") as caught:
            check_size(source, grid_of(source))
        assert caught.value.reason is Reason.TOO_SMALL
    with open_source(pictures.jpeg(tmp_path)) as source:
        check_size(source, grid_of(source, 400))
        with pytest.raises(ImageError, match="420 x 400 px, smaller than one tile of 401 x 401"):
            check_size(source, grid_of(source, 401))


TAMPERED = {Reason.DAMAGED, Reason.TOO_LARGE, Reason.UNSUPPORTED_PIXELS, Reason.NOT_AN_IMAGE}


def reason_of(path: Path) -> Reason | None:
    """Return why the first row of tiles cannot be read, or None if it can."""
    try:
        with open_source(path) as source:
            source.read(grid_of(source, 128), range(1), ALL)
    except ImageError as error:
        return error.reason
    return None


def tiled_tiff(folder: Path) -> Path:
    return pictures.tiff(folder, tile=(128, 128), compression="deflate")


@pytest.mark.parametrize("write", [pictures.jpeg, pictures.png, pictures.tiff, tiled_tiff])
def test_corrupt_bytes_give_an_image_error_or_an_image(write: Writer, tmp_path: Path) -> None:
    """Random bytes in the header and in the pixels never raise any other exception."""
    good = write(tmp_path).read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "mutant"
    reasons = set()
    for _ in range(150):
        data = bytearray(good)
        for position in (rng.integers(4, 400), rng.integers(4, len(data))):
            data[position] = rng.integers(256)
        path.write_bytes(data)
        reasons.add(reason_of(path))
    assert Reason.DAMAGED in reasons
    assert reasons <= {None, *TAMPERED}
