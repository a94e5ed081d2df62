"""PNG files that Pillow does not reject with an error of its own; found by `tests/fuzz`."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from cacl.errors import ImageError, Reason
from cacl.image.readers import open_source
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
