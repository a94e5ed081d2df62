"""A real file system of a few kilobytes, for tests of what a full disk does."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(place: Path, size_kb: int) -> Iterator[None]:
    """Mount a file system of so many KB, or skip the test where that is not allowed."""
    place.mkdir(parents=True)
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None:
        pytest.skip("there is no mount command, so no small file system")
    options = ["-t", "tmpfs", "-o", f"size={size_kb}k", "cacl-test", str(place)]
    done = subprocess.run([mount, *options], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run([umount, str(place)], check=True)
