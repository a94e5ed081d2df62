"""Files that appear whole or not at all, however often their writer is killed.

The temporary file of a target has one name, `.<name>.part`, and a lock: what a killed process
leaves behind is taken up or removed by the next one, and two processes never write the same file.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def claimed(target: Path, *, keep: bool = False) -> Iterator[Path]:
    """Hold the lock on a target; yield the path of its temporary file, to write and to `commit`.

    Blocks while another process or thread has the lock, so look again whether the target is there.

    Parameters
    ----------
    target
        The file to be.
    keep
        After an error, leave the temporary file for the next attempt to go on with.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    handle = _lock(part)
    kept = keep
    try:
        yield part
        kept = False
    finally:
        if not kept and _is(handle, part):
            part.unlink()
        os.close(handle)


def commit(part: Path, target: Path) -> None:
    """Give a temporary file its name."""
    part.replace(target)


def write_claimed(target: Path, data: bytes) -> None:
    """Write a small file of a claimed target's, such as its receipt, whole or not at all."""
    part = target.with_name(f".{target.name}.part")
    try:
        part.write_bytes(data)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _lock(part: Path) -> int:
    """Open and lock a file that still has its name once it is locked."""
    while True:
        handle = os.open(part, os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if _is(handle, part):
            return handle
        os.close(handle)


def _is(handle: int, path: Path) -> bool:
    """Return whether an open file still has this name."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
