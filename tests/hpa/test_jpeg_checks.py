"""JPEG files of a mirror or host: complete with oddities, or cut short."""

from __future__ import annotations

from pathlib import Path

import pytest

from cacl.errors import ImageError, ManifestError, Reason
from cacl.hpa.pixel_size import parse_mpp
from cacl.hpa.provenance import check_jpeg, check_jpeg_markers
from tests.corpus.images_jpeg import (
    END,
    after_end,
    after_start,
    before_end,
    encoded,
    thumbnail_in_exif,
)


def check_both(folder: Path, data: bytes) -> None:
    path = folder / "core.jpg"
    path.write_bytes(data)
    check_jpeg_markers(path)
    check_jpeg(data)


@pytest.mark.parametrize("junk", [bytes(37), b"\x12\xff\x3a\x55" * 9, b"\xff" * 37, b"x" * 2000])
def test_jpeg_with_bytes_before_its_end_is_complete(junk: bytes, tmp_path: Path) -> None:
    check_both(tmp_path, before_end(junk)(encoded()))


@pytest.mark.parametrize("junk", [bytes(2048), b"\xff\xd8\xff" * 5000, encoded()])
def test_jpeg_with_bytes_after_its_end_is_complete(junk: bytes, tmp_path: Path) -> None:
    check_both(tmp_path, after_end(junk)(encoded()))


def test_end_marker_of_the_thumbnail_is_not_the_end(tmp_path: Path) -> None:
    """The file ends within 1024 bytes of its thumbnail's end marker."""
    whole = after_start(thumbnail_in_exif())(encoded())
    check_both(tmp_path, whole)
    path = tmp_path / "cut.jpg"
    path.write_bytes(whole[: whole.index(END) + 900])
    with pytest.raises(ImageError, match="copy it again from its original") as caught:
        check_jpeg_markers(path)
    assert caught.value.reason is Reason.DAMAGED


def test_decoding_finds_missing_pixels_before_an_end_marker() -> None:
    data = encoded()
    with pytest.raises(ImageError, match="premature end") as caught:
        check_jpeg(data[: len(data) // 2] + END)
    assert caught.value.reason is Reason.DAMAGED


@pytest.mark.parametrize(("text", "mpp"), [("", None), ("0.5", 0.5), ("0.05", 0.05), ("5", 5.0)])
def test_pixel_size_of_a_manifest(text: str, mpp: float | None) -> None:
    assert parse_mpp(text) == mpp


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("250", "250 looks like nanometres, so write 0.25"),
        ("0.00025", "0.00025 looks like millimetres, so write 0.25"),
        ("2.5e-7", "2.5e-07 looks like metres, so write 0.25"),
        ("101600", "101600 looks like dots per inch, so write 0.25"),
        ("40", "40 looks like the magnification of the objective"),
        ("1e-9", "see the scanner's properties"),
        ("1e9", "see the scanner's properties"),
        ("-1", "such as 0.5"),
        ("nan", "such as 0.5"),
        ("0,25 um", "such as 0.5"),
    ],
)
def test_pixel_size_that_no_microscope_has_is_refused(text: str, remedy: str) -> None:
    with pytest.raises(ManifestError, match="expected micrometres per pixel") as caught:
        parse_mpp(text)
    assert remedy in str(caught.value)
