"""PNG files that Pillow does not reject with an error of its own; found by `tests/fuzz`."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from cacl.errors import ImageError, Reason
from cacl.image.readers import open_source, png
from cacl.image.readers.mask import read_mask
from tests.fixtures.pictures import picture


@pytest.mark.parametrize("transparency", [None, 3])
def test_palette_image_without_its_palette_is_damaged(
    tmp_path: Path, transparency: int | None
) -> None:
    path = tmp_path / "core.png"
    options = {} if transparency is None else {"transparency": transparency}
    Image.fromarray(picture(40, 40)).quantize(16).save(path, format="PNG", **options)
    data = path.read_bytes()
    start = data.index(b"PLTE") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4])
    path.write_bytes(data[:start] + data[end:])
    with pytest.raises(ImageError) as caught, open_source(path):
        pass
    assert caught.value.reason is Reason.DAMAGED


@pytest.mark.parametrize("place", ["before the pixels", "in front of the header"])
def test_second_header_that_states_a_huge_image_is_damage(tmp_path: Path, place: str) -> None:
    """Pillow takes the last header, and would allocate 8 GB for it."""
    path = tmp_path / "core.png"
    Image.fromarray(picture(40, 40)).save(path, format="PNG")
    data = path.read_bytes()
    header = struct.pack(">4sIIBBBBB", b"IHDR", 2**16, 2**15, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    if place == "in front of the header":
        text = b"tEXta\0b"
        chunk = struct.pack(">I", 3) + text + struct.pack(">I", zlib.crc32(text))
    at = data.index(b"IDAT") - 4 if place == "before the pixels" else len(png.MAGIC)
    path.write_bytes(data[:at] + chunk + data[at:])
    with pytest.raises(ImageError) as caught, open_source(path):
        pass
    assert caught.value.reason in (Reason.DAMAGED, Reason.UNSUPPORTED_PIXELS, Reason.TOO_LARGE)
    with pytest.raises(ImageError) as caught:
        read_mask(path, 40, 40)
    assert caught.value.reason is Reason.DAMAGED
