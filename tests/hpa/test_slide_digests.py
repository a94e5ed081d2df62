"""Digests of slides with many cores: computed once, and again if the slide may have changed."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from cacl.errors import ImageError
from cacl.hpa.image_state import Change, ImageState, ReadingLimit, change_of, observe
from cacl.hpa.provenance import check_before_reading, digest_file
from cacl.hpa.slide_digests import SlideDigests

AGE_S = 100


def write(path: Path, data: bytes, age_s: float = AGE_S) -> Path:
    """Write a file with a modification time in the past."""
    path.write_bytes(data)
    settled = int((time.time() - age_s) // 10 * 10)
    os.utime(path, (settled, settled))
    return path


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_slide_is_read_once(tmp_path: Path) -> None:
    path, digests = write(tmp_path / "slide.svs", b"first"), SlideDigests()
    assert digests.digest(path) == digest_file(path) == (sha256(b"first"), 5)
    before = path.stat()
    path.write_bytes(b"other")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digests.digest(path)[0] == sha256(b"first"), "it was read again"


def test_changed_slide_is_read_again(tmp_path: Path) -> None:
    path, digests = write(tmp_path / "slide.svs", b"first"), SlideDigests()
    digests.digest(path)
    write(path, b"second", AGE_S / 2)
    assert digests.digest(path)[0] == sha256(b"second")
    path.unlink()
    with pytest.raises(ImageError, match="There is no file"):
        digests.digest(path)


def test_slide_that_was_just_written_is_not_kept(tmp_path: Path) -> None:
    path, digests = tmp_path / "slide.svs", SlideDigests()
    path.write_bytes(b"first")
    digests.digest(path)
    before = path.stat()
    path.write_bytes(b"other")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digests.digest(path)[0] == sha256(b"other")


def test_change_while_a_core_is_read_is_seen(tmp_path: Path) -> None:
    path, digests = write(tmp_path / "slide.svs", b"first"), SlideDigests()
    check = check_before_reading(path, sha256(b"first"), digests)
    check()
    write(path, b"other", AGE_S / 2)
    with pytest.raises(ImageError, match="was changed while it was read"):
        check()
    with pytest.raises(ImageError, match="has changed since it was acquired"):
        check_before_reading(path, sha256(b"first"), digests)


def test_plan_reads_the_slide_of_many_cores_once(tmp_path: Path) -> None:
    path = write(tmp_path / "slide.svs", b"x" * 1000)
    states = [
        ImageState(f"A/{number}", sha256(b"x" * 1000), (observe(path),)) for number in range(100)
    ]
    write(path, b"x" * 1000, AGE_S / 2)
    limit = ReadingLimit(1500)
    assert {change_of(state, limit) for state in states} == {Change.TIMES}
    assert limit.left == 500
