"""Files and folders that appear complete or not at all, even if their writer is killed.

A product is written under a temporary name beside it, `.<name>.tmp`, and renamed. The writer holds
a lock (`flock`) on it, which the system releases when the process ends, however it ends. So the
next writer of the product takes over what a killed process left, and waits for a living one. After
the rename nothing is left of a file; `remove_leftover` removes what may be left of a folder.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cacl.runtime.lock_holder import lock_holder

log = logging.getLogger(__name__)
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""Errors of a file system without locks, such as Lustre mounted without `flock`."""

LOCK, NEW, OLD = "lock", "new", "old"


@contextmanager
def replaced_file(target: Path) -> Iterator[Path]:
    """Yield the path of an empty file that replaces `target` if the block succeeds.

    The function waits while another process or thread writes the same target. The path may be
    opened again, written and truncated.

    Parameters
    ----------
    target
        Path of the file to write. Its folder is created if it is missing.

    Raises
    ------
    OSError
        Disk full or no permission; `target` is then unchanged.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(target)
    handle = _lock(temporary)
    if handle is None:
        temporary, handle = _unique_file(target)
    try:
        os.ftruncate(handle, 0)
        yield temporary
        temporary.replace(target)
    finally:
        if _is_named(handle, temporary):
            temporary.unlink()
        os.close(handle)


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces `target` if the block succeeds.

    Parameters
    ----------
    target
        Path of the folder to write; its parent is created if it is missing.

    Raises
    ------
    OSError
        Disk full or no permission; `target` is then unchanged.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(target)
    handle = _lock_folder(temporary)
    if handle is None:
        with suppress(OSError):
            temporary.rmdir()
        temporary = Path(tempfile.mkdtemp(prefix=f"{temporary.name}.", dir=target.parent))
    try:
        _empty(temporary, target)
        new, old = temporary / NEW, temporary / OLD
        new.mkdir()
        yield new
        if target.exists():
            target.rename(old)
        new.rename(target)
    finally:
        _remove(temporary, target, handle)


def remove_leftover(target: Path) -> None:
    """Remove what a killed writer left beside `target`; a living writer is not disturbed.

    It is needed where a product that is up to date is not written again.
    """
    temporary = _temporary(target)
    if not temporary.is_dir():
        return
    with suppress(OSError):  # the folder may be read-only, and its product is complete
        handle = _lock_folder(temporary, wait=False)
        if handle is not None:
            _remove(temporary, target, handle)


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name}.tmp")


def _unique_file(target: Path) -> tuple[Path, int]:
    """Create a temporary file that needs no lock, because its name is not used again."""
    handle, name = tempfile.mkstemp(prefix=f"{_temporary(target).name}.", dir=target.parent)
    mask = os.umask(0)
    os.umask(mask)
    os.fchmod(handle, 0o666 & ~mask)
    return Path(name), handle


def _lock(path: Path, *, wait: bool = True) -> int | None:
    """Create or open a file, and lock it.

    Returns
    -------
    Its descriptor; None if it cannot be locked: the file system has no locks, the file is another
    user's, or (without `wait`) another process has locked it.
    """
    while True:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            handle = os.open(path, flags, 0o666)
        except PermissionError:
            if path.exists():
                return None
            raise
        keep = False
        try:
            _wait_for(handle, path, wait=wait)
            keep = _is_named(handle, path)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            path.unlink(missing_ok=True)
            return None
        finally:
            if not keep:
                os.close(handle)
        if keep:  # otherwise its owner has renamed or removed it meanwhile
            return handle


def _wait_for(handle: int, path: Path, *, wait: bool) -> None:
    """Lock an open file; without `wait`, raise `BlockingIOError` if it is locked."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if not wait:
            raise
        log.info("Waiting for %s, which writes %s", lock_holder(path), path)
        fcntl.flock(handle, fcntl.LOCK_EX)


def _lock_folder(folder: Path, *, wait: bool = True) -> int | None:
    """Create a temporary folder if it is missing, and lock it; see `_lock`."""
    while True:
        with suppress(FileExistsError):  # not `exist_ok`: it fails if the owner removes the folder
            folder.mkdir()
        with suppress(FileNotFoundError):  # its owner has just removed it
            return _lock(folder / LOCK, wait=wait)


def _is_named(handle: int, path: Path) -> bool:
    """Return whether a path still names the open file."""
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False


def _empty(temporary: Path, target: Path) -> None:
    """Remove the content of a killed writer; put back what it was about to replace."""
    old = temporary / OLD
    if old.exists() and not target.exists():
        old.rename(target)
    for folder in (temporary / NEW, old):
        if folder.exists():
            shutil.rmtree(folder)


def _remove(temporary: Path, target: Path, handle: int | None) -> None:
    """Remove a temporary folder and its lock, which the caller holds."""
    with suppress(OSError):
        _empty(temporary, target)
    with suppress(OSError):
        (temporary / LOCK).unlink(missing_ok=True)
        temporary.rmdir()  # fails, rightly, if the next writer has already created its lock
    if handle is not None:
        os.close(handle)
