"""Masks in PNG: colour types, transparency, a second channel, and files that cannot be used."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from cacl.errors import ImageError, Reason
from cacl.image.readers.mask import read_mask

HEIGHT, WIDTH = 4, 6
MASK = np.zeros((HEIGHT, WIDTH), dtype=bool)
MASK[1:3, 2:5] = True
LEVELS = MASK.astype(np.uint8)


def image_of(kind: str) -> Image.Image:
    """Return the mask as an image of a colour type."""
    if kind == "bits":
        return Image.fromarray(MASK)
    if kind == "sixteen bits":
        return Image.fromarray(LEVELS.astype(np.uint16))
    if kind == "palette":
        image = Image.fromarray(LEVELS)
        image.putpalette([0, 0, 0, 0, 0, 9])
        return image
    if kind == "blue":
        return Image.merge("RGB", [Image.new("L", (WIDTH, HEIGHT))] * 2 + [image_of("grey")])
    if kind == "white where it is transparent":
        painted = Image.new("RGBA", (WIDTH, HEIGHT), (255, 255, 255, 0))
        painted.paste((200, 0, 0, 255), (2, 1, 5, 3))
        return painted
    if kind == "opaque":
        return Image.merge("LA", [image_of("grey"), Image.new("L", (WIDTH, HEIGHT), 255)])
    return Image.fromarray(LEVELS * 255 if kind == "255" else LEVELS)


KINDS = (
    "grey", "255", "bits", "sixteen bits", "palette", "blue", "white where it is transparent",
    "opaque",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_black_is_the_mask_in_every_colour_type(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "mask.png"
    image_of(kind).save(path)
    found = read_mask(path, HEIGHT, WIDTH)
    assert np.array_equal(found.mask, MASK)
    assert found.second is None
    assert not found.has_several_values


def test_second_channel_of_grey_pixels(tmp_path: Path) -> None:
    cells = np.zeros_like(LEVELS)
    cells[:3] = 1
    Image.fromarray(np.stack([LEVELS, cells], axis=-1), "LA").save(tmp_path / "mask.png")
    found = read_mask(tmp_path / "mask.png", HEIGHT, WIDTH)
    assert np.array_equal(found.mask, MASK)
    assert found.second is not None
    assert np.array_equal(found.second, cells > 0)


@pytest.mark.parametrize("colour", [False, True])
def test_several_values_are_noticed(tmp_path: Path, colour: bool) -> None:
    values = LEVELS.copy()
    values[1, 2] = 2
    shown = np.stack([LEVELS, values, LEVELS], axis=-1) if colour else values
    cv2.imwrite(str(tmp_path / "mask.png"), shown)
    found = read_mask(tmp_path / "mask.png", HEIGHT, WIDTH)
    assert np.array_equal(found.mask, MASK)
    assert found.has_several_values


def test_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(LEVELS)).save(tmp_path / "mask.png", exif=exif)
    assert np.array_equal(read_mask(tmp_path / "mask.png", HEIGHT, WIDTH).mask, MASK)
    Image.fromarray(np.rot90(LEVELS)).save(tmp_path / "mask.png")
    with pytest.raises(ImageError, match="has 4 x 6 px, but its image has 6 x 4 px"):
        read_mask(tmp_path / "mask.png", HEIGHT, WIDTH)


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"

    def reason(sentence: str, height: int = HEIGHT) -> Reason:
        with pytest.raises(ImageError, match=sentence) as caught:
            read_mask(path, height, WIDTH)
        assert str(path) in str(caught.value)
        return caught.value.reason

    assert reason("There is no file") is Reason.NOT_FOUND
    cv2.imwrite(str(path), LEVELS)
    data = path.read_bytes()
    assert reason("has 6 x 4 px, but its image has 6 x 5 px", height=5) is Reason.DAMAGED
    path.write_bytes(data[:-20])
    assert reason("truncated or damaged") is Reason.DAMAGED
    flipped = bytearray(data)
    flipped[data.index(b"IDAT") + 6] ^= 1
    path.write_bytes(bytes(flipped))
    assert reason("the checksum of its chunk b'IDAT' is wrong") is Reason.DAMAGED
    path.write_bytes(b"II*\0")
    assert reason("expected a mask in PNG") is Reason.NOT_AN_IMAGE
    cv2.imwrite(str(path), np.stack([LEVELS.astype(np.uint16)] * 3, axis=-1))
    assert reason("several channels of 16 bits") is Reason.UNSUPPORTED_PIXELS
