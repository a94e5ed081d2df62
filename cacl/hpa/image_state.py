"""What the files of an image looked like when they were read, and whether they have changed.

Size and modification time are compared first; only if one differs are the files read again.
"""

from __future__ import annotations

import hashlib
import os.path
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from stat import S_ISDIR

from cacl.errors import ImageError
from cacl.hpa.image_files import image_files, image_folders

MISSING = -1


@dataclass(frozen=True)
class FileState:
    """Path, size in bytes and modification time in ns; size and time are -1 for a missing file.

    The size of a folder is 0: its modification time tells whether files were added or removed.
    """

    path: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: str) -> FileState:
        """Return the present state of a file or folder."""
        try:
            found = os.stat(path)  # noqa: PTH116 - a Path for each of 75,000 files takes longer
        except (OSError, ValueError):
            return cls(path, MISSING, MISSING)
        return cls(path, 0 if S_ISDIR(found.st_mode) else found.st_size, found.st_mtime_ns)


@dataclass(frozen=True)
class ImageState:
    """An image as a step has read it.

    Parameters
    ----------
    image_id
        The image.
    sha256
        Its digest, see `digest_image`.
    copies
        For each place of the image (the original, and the copy of a mirror's image) the states of
        its files; the first one is the named file.
    """

    image_id: str
    sha256: str
    copies: tuple[tuple[FileState, ...], ...]


class Change(Enum):
    """Whether the files of an image are those that were read."""

    NONE = auto()
    TIMES = auto()
    CONTENT = auto()
    UNKNOWN = auto()


class ReadingLimit:
    """Number of bytes that may still be read to find out what has changed."""

    def __init__(self, size_bytes: int) -> None:
        self.left = size_bytes
        self._digests: dict[tuple[FileState, ...], str] = {}

    def allows(self, size_bytes: int) -> bool:
        """Take a number of bytes, if so many are left."""
        if size_bytes > self.left:
            return False
        self.left -= size_bytes
        return True

    def digest(self, files: tuple[FileState, ...]) -> str | None:
        """Return the digest of the image of these files, which is read once; None at the limit.

        The cores of a slide are images of one file.

        Raises
        ------
        ImageError
            As for `digest_image`.
        """
        if files not in self._digests:
            if not self.allows(sum(file.size for file in files)):
                return None
            self._digests[files] = digest_image(Path(files[0].path))[0]
        return self._digests[files]


def digest_image(path: Path) -> tuple[str, int]:
    """Return the SHA-256 of an image and its size in bytes, over all files that it consists of.

    The digest of an image in one file is that of the file. The digest of a slide in several files
    is that of the text `<sha256>  <name>` per file, in the order of `image_files`, where the name
    is relative to the folder of the named file.

    Raises
    ------
    ImageError
        `NOT_FOUND`: a file cannot be read.
    """
    from cacl.hpa.provenance import digest_file  # imports NumPy, and few plans read an image

    files = image_files(path)
    digests = [digest_file(file) for file in files]
    total = sum(size for _, size in digests)
    if len(files) == 1:
        return digests[0][0], total
    names = (os.path.relpath(file, path.parent) for file in files)
    lines = (f"{sha256}  {name}\n" for (sha256, _), name in zip(digests, names, strict=True))
    text = "".join(lines).encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).hexdigest(), total


def observe(path: Path) -> tuple[FileState, ...]:
    """Return the states of the files of an image, and of the folders that hold further files."""
    files = image_files(path)
    return tuple(FileState.of(str(each)) for each in (*files, *image_folders(path, files)))


def change_of(state: ImageState, limit: ReadingLimit, folder: Path = Path()) -> Change:
    """Return whether the files of an image differ from its state.

    Parameters
    ----------
    state
        The image as a step has read it.
    limit
        Bytes that may be read. If they do not suffice, a changed time counts as `UNKNOWN`.
    folder
        Folder to which the paths in `state` are relative.
    """
    changes = [_change_of_copy(copy, state.sha256, limit, folder) for copy in state.copies]
    return max(changes, key=lambda change: change.value, default=Change.NONE)


def _change_of_copy(
    files: Iterable[FileState], sha256: str, limit: ReadingLimit, folder: Path
) -> Change:
    before = list(files)
    now = [FileState.of(f"{folder / state.path}") for state in before]
    pairs = list(zip(before, now, strict=True))
    if all((old.size, old.mtime_ns) == (new.size, new.mtime_ns) for old, new in pairs):
        return Change.NONE
    if any(old.size != new.size for old, new in pairs):  # a missing file has another size, too
        return Change.CONTENT
    try:
        digest = limit.digest(tuple(now))
    except ImageError:
        return Change.CONTENT
    if digest is None:
        return Change.UNKNOWN
    return Change.TIMES if digest == sha256 else Change.CONTENT
