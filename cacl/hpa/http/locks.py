"""Files that appear whole or not at all, however often their writer is killed.

The temporary file of a target has one name, `.<name>.part`, and a lock: what a killed process
leaves behind is taken up or removed by the next one, and two processes never write the same file.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cacl.errors import ConfigError

log = logging.getLogger(__name__)
CLIENT_LOCK = "client"


@contextmanager
def locked_part(target: Path, *, keep: bool = False) -> Iterator[Path]:
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


@contextmanager
def host_lock(root: Path) -> Iterator[None]:
    """Let the processes that fill one folder ask the host one after the other.

    The rate and the number of connections are a promise to the host, not one of each process, so
    the catalog and the images of a folder take turns too.

    Parameters
    ----------
    root
        Folder laid out as the host is.

    Raises
    ------
    ConfigError
        The folder cannot be written.
    """
    log.info("Asking the host for files to %s once no other process does", root)
    with ExitStack() as stack:
        try:
            stack.enter_context(locked_part(root / CLIENT_LOCK))
        except OSError as error:
            raise ConfigError(
                f"The folder {root} cannot be written ({error.strerror}); name another one"
            ) from error
        yield


def commit(part: Path, target: Path) -> None:
    """Give a temporary file its name."""
    part.replace(target)


def write_locked(target: Path, data: bytes) -> None:
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
