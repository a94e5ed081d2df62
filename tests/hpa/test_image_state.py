"""The files of an image, their digest, and whether they have changed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from cacl.errors import ImageError, Reason
from cacl.hpa.image_files import image_files, image_folders
from cacl.hpa.image_state import (
    Change,
    FileState,
    ImageState,
    ReadingLimit,
    change_of,
    digest_image,
    observe,
)
from cacl.hpa.provenance import check_before_reading, check_digest_of
from cacl.image.readers import open_source
from cacl.image.tile_grid import TileGrid
from tests.fixtures import pictures
from tests.fixtures.slides import write_dicom, write_vms

ENOUGH = 10**9


def dicom(folder: Path, *, seed: int = 0, series: str = "1.2.3.4", name: str = "") -> Path:
    """Write a slide of two levels; return the file of the smaller one."""
    folder.mkdir(exist_ok=True)
    pixels = np.roll(pictures.enlarged(768, 1024), seed * 200, axis=1)
    write_dicom(folder / f"{name}0.dcm", pixels, series=series, level=0)
    half = np.ascontiguousarray(pixels[::2, ::2])
    write_dicom(folder / f"{name}1.dcm", half, series=series, level=1)
    return folder / f"{name}1.dcm"


def state_of(path: Path) -> ImageState:
    files = observe(path)
    return ImageState("A1/a", digest_image(path)[0], (files,))


def change(state: ImageState, limit: int = ENOUGH) -> Change:
    return change_of(state, ReadingLimit(limit))


def make_newer(path: Path) -> None:
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1))


def test_image_in_one_file_has_the_digest_of_the_file(tmp_path: Path) -> None:
    path = pictures.jpeg(tmp_path)
    data = path.read_bytes()
    assert image_files(path) == [path]
    assert image_folders(path, [path]) == []
    assert digest_image(path) == (hashlib.sha256(data).hexdigest(), len(data))


def test_series_of_a_folder_is_one_image_and_another_series_is_not(tmp_path: Path) -> None:
    path = dicom(tmp_path / "slides")
    other = dicom(tmp_path / "slides", series="1.2.3.40", name="other")
    (tmp_path / "slides" / "notes.txt").write_text("1.2.3.4")
    with open_source(path) as source:
        assert (source.width, source.height) == (1024, 768)
    assert image_files(path) == [path, path.with_name("0.dcm")]
    assert image_files(other) == [other, other.with_name("other0.dcm")]
    lines = [f"{digest_image_file(path)}  1.dcm\n"]
    lines.append(f"{digest_image_file(path.with_name('0.dcm'))}  0.dcm\n")
    size = sum(each.stat().st_size for each in image_files(path))
    assert digest_image(path) == (hashlib.sha256("".join(lines).encode()).hexdigest(), size)


def digest_image_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_index_of_a_slide_names_its_images(tmp_path: Path) -> None:
    image = write_vms(tmp_path / "a.vms", pictures.enlarged(768, 1024))
    with open_source(tmp_path / "a.vms") as source:
        assert (source.width, source.height) == (1024, 768)
        grid = TileGrid(source.height, source.width, 375, 128)
        before = source.read(grid, range(grid.rows), range(grid.cols))
    assert image_files(tmp_path / "a.vms") == [
        tmp_path / "a.vms",
        image,
        tmp_path / "a_map.jpg",
    ]
    state = state_of(tmp_path / "a.vms")
    index = (tmp_path / "a.vms").read_bytes()
    write_vms(tmp_path / "a.vms", np.ascontiguousarray(pictures.enlarged(768, 1024)[::-1]))
    assert (tmp_path / "a.vms").read_bytes() == index
    with open_source(tmp_path / "a.vms") as source:
        assert (source.read(grid, range(grid.rows), range(grid.cols)) != before).any()
    assert change(state) is Change.CONTENT


def test_folder_beside_a_mirax_index_is_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "a.mrxs"
    path.write_bytes(b"index")
    assert image_files(path) == [path]
    data = tmp_path / "a"
    data.mkdir()
    parts = [data / name for name in ("Data0000.dat", "Data0001.dat", "Index.dat", "Slidedat.ini")]
    for part in parts:
        part.write_bytes(part.name.encode())
    assert image_files(path) == [path, *parts]
    assert image_folders(path, [path, *parts]) == [data]
    state = state_of(path)
    parts[1].write_bytes(b"DATA0001.dat")
    make_newer(parts[1])
    assert change(state) is Change.CONTENT


@pytest.mark.parametrize("name", ["missing.jpg", "missing.mrxs", "missing.vms", "folder"])
def test_file_that_cannot_be_read_is_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    assert image_files(tmp_path / name) == [tmp_path / name]


def test_times_are_compared_first_and_the_content_only_if_they_differ(tmp_path: Path) -> None:
    path = pictures.jpeg(tmp_path)
    state = state_of(path)
    assert change(state, 0) is Change.NONE
    make_newer(path)
    assert change(state) is Change.TIMES
    assert change(state, path.stat().st_size - 1) is Change.UNKNOWN
    data = bytearray(path.read_bytes())
    data[-10] ^= 1
    path.write_bytes(data)
    assert change(state) is Change.CONTENT
    path.write_bytes(data[:-1])
    assert change(state, 0) is Change.CONTENT, "another size needs no reading"
    path.unlink()
    assert change(state, 0) is Change.CONTENT


def test_limit_is_shared_by_all_images(tmp_path: Path) -> None:
    paths = [pictures.jpeg(tmp_path, f"{number}.jpg") for number in range(3)]
    states = [state_of(path) for path in paths]
    for path in paths:
        make_newer(path)
    limit = ReadingLimit(int(paths[0].stat().st_size * 2.5))
    changes = [change_of(state, limit) for state in states]
    assert changes == [Change.TIMES, Change.TIMES, Change.UNKNOWN]


def test_file_of_a_slide_that_is_replaced_added_or_removed_is_noticed(tmp_path: Path) -> None:
    path = dicom(tmp_path / "slide")
    state = state_of(path)
    assert change(state, 0) is Change.NONE
    third = path.with_name("2.dcm")
    write_dicom(third, pictures.enlarged(128, 256), series="1.2.3.4", level=2)
    assert change(state) is Change.CONTENT
    third.unlink()
    assert change(state) is Change.TIMES
    (path.parent / "notes.txt").write_text("Scanned on Monday")
    assert change(state) is Change.TIMES
    dicom(path.parent, seed=1)
    assert change(state) is Change.CONTENT
    assert image_files(path) == [path, path.with_name("0.dcm")]


def test_mirror_and_copy_count_both(tmp_path: Path) -> None:
    original = pictures.jpeg(tmp_path)
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(original.read_bytes())
    copies = tuple((FileState.of(str(path)),) for path in (original, copy))
    state = ImageState("A1/a", digest_image(original)[0], copies)
    assert change(state, 0) is Change.NONE
    copy.unlink()
    assert change(state, 0) is Change.CONTENT


def test_file_of_a_slide_that_changed_since_it_was_acquired_is_noticed(tmp_path: Path) -> None:
    path = dicom(tmp_path / "slide")
    sha256, _ = digest_image(path)
    check = check_before_reading(path, sha256)
    check()
    dicom(path.parent, seed=1)
    make_newer(path.with_name("0.dcm"))
    for check_again in (check, lambda: check_digest_of(path, sha256)):
        with pytest.raises(ImageError) as caught:
            check_again()
        assert caught.value.reason is Reason.CHANGED
