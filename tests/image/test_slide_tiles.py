"""Slides and TIFFs of which the fuzzer found that they end the process or fill the memory."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cacl.errors import ImageError, Reason
from cacl.image.readers import open_source
from tests.fuzz.images import slides

APERIO = 2
TILE_WIDTH, TILE_LENGTH, TILE_BYTES = 322, 323, 325


def aperio(changes: dict[int, bytes], page: int = 0) -> bytes:
    """Return a small SVS of which the values of some tags of one page begin with other bytes."""
    data = bytearray(slides()[APERIO])
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        changed = file.pages[page]
        assert isinstance(changed, tifffile.TiffPage)
        for code, value in changes.items():
            place = changed.tags[code].valueoffset
            data[place : place + len(value)] = value
    return bytes(data)


def reason(path: Path, data: bytes) -> tuple[Reason, str]:
    path.write_bytes(data)
    with pytest.raises(ImageError) as raised, open_source(path):
        pass
    return raised.value.reason, str(raised.value)


@pytest.mark.parametrize("page", [0, 1])
def test_tiles_outside_the_file_are_refused(tmp_path: Path, page: int) -> None:
    found = reason(tmp_path / "a.svs", aperio({TILE_BYTES: struct.pack("<H", 65535)}, page))
    assert found[0] is Reason.DAMAGED
    assert "1 tiles outside its" in found[1]


@pytest.mark.parametrize(("code", "side"), [(TILE_WIDTH, 0), (TILE_LENGTH, 2), (TILE_WIDTH, 24)])
def test_invalid_sides_of_tiles_are_refused(tmp_path: Path, code: int, side: int) -> None:
    found = reason(tmp_path / "a.svs", aperio({code: struct.pack("<H", side)}))
    assert found[0] is Reason.DAMAGED


def test_a_tile_by_which_openslide_divides_by_zero_is_refused(tmp_path: Path) -> None:
    sides = {TILE_WIDTH: struct.pack("<H", 2560), TILE_LENGTH: struct.pack("<H", 2)}
    assert reason(tmp_path / "a.svs", aperio(sides))[0] is Reason.DAMAGED


def test_a_side_of_several_numbers_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.zeros((64, 64, 3), np.uint8), photometric="rgb", metadata=None)
    data = bytearray(stream.getvalue())
    (directory,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, directory)
    places = {
        struct.unpack_from("<H", data, at)[0]: at
        for at in range(directory + 2, directory + 2 + 12 * entries, 12)
    }
    # BitsPerSample, three numbers, becomes the width; the length becomes a large number.
    struct.pack_into("<H", data, places[258], 256)
    struct.pack_into("<H", data, places[256], 258)
    struct.pack_into("<HII", data, places[257] + 2, 4, 1, 2**32 - 1)
    found = reason(tmp_path / "a.tif", bytes(data))
    assert found[0] is Reason.DAMAGED
    assert "a side of a page is not one number" in found[1]


def test_the_unchanged_slide_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.svs"
    path.write_bytes(slides()[APERIO])
    with open_source(path) as source:
        assert (source.height, source.width) == (96, 80)
