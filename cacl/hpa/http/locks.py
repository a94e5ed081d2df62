"""Files that appear complete or not at all, even if their writer is killed.

The temporary file of a target is `.<name>.part`. A lock file beside it, `.<name>.lock`, keeps two
threads or processes from writing the same target. The next writer reuses or removes the files
that a killed process leaves behind.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from cacl.errors import ConfigError
from cacl.runtime.lock_holder import lock_holder

log = logging.getLogger(__name__)


@contextmanager
def locked_part(target: Path, *, keep: bool = False) -> Iterator[Path]:
    """Hold the lock of a target; yield the path of its temporary file, to write and to `commit`.

    The function blocks while another process or thread holds the lock, so check afterwards
    whether the target exists.

    Parameters
    ----------
    target
        Path of the file to write. Its folder is created if it is missing.
    keep
        After an error, keep the temporary file, so that the next attempt can continue it.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = _part_of(target)
    with _lock_file(target):
        keep_part = keep
        try:
            yield part
            keep_part = False
        finally:
            if not keep_part:
                part.unlink(missing_ok=True)


def remove_leftovers(target: Path) -> None:
    """Remove the temporary file and the lock of a complete target that a killed process left.

    Those of a living process stay.
    """
    if not _part_of(target).exists() and not _lock_of(target).exists():
        return
    with suppress(Timeout, OSError), _lock_file(target, wait=False):
        _part_of(target).unlink(missing_ok=True)


@contextmanager
def host_lock(root: Path) -> Iterator[None]:
    """Allow one client at a time per download folder.

    The request rate and the number of connections are limits per host, not per process. So the
    processes that download catalogs and images to one folder contact the host one after another.

    Parameters
    ----------
    root
        Folder with the layout of the host. It is created if it is missing.

    Raises
    ------
    ConfigError
        The folder cannot be written.
    """
    with ExitStack() as stack:
        try:
            root.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_lock_file(root / "client"))
        except OSError as error:
            raise ConfigError(
                f"The folder {root} cannot be written ({error.strerror}); name another folder"
            ) from error
        yield


def commit(part: Path, target: Path) -> None:
    """Rename a temporary file to its target."""
    part.replace(target)


def write_locked(target: Path, data: bytes) -> None:
    """Write a small file atomically, while the caller holds the lock of the file it belongs to."""
    part = _part_of(target)
    try:
        part.write_bytes(data)
        commit(part, target)
    finally:
        part.unlink(missing_ok=True)


def _part_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.part")


def _lock_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.lock")


@contextmanager
def _lock_file(target: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold `.<name>.lock` and remove it afterwards; without `wait`, raise `Timeout` if it is held.

    Removal under the lock is safe: filelock (from 3.21 on) retries when the file that it locked no
    longer has a name.
    """
    path = _lock_of(target)
    with _acquire(FileLock(path), wait=wait):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _acquire(lock: FileLock, *, wait: bool) -> AbstractContextManager[object]:
    """Acquire a lock; say which process holds it before waiting for that process."""
    try:
        return lock.acquire(blocking=False)
    except Timeout:
        if not wait:
            raise
    path = Path(lock.lock_file)
    log.info("Waiting for %s, which has locked %s", lock_holder(path), path)
    return lock.acquire()
