"""Digests of files that cannot hold their own, such as CSV: in the format of `sha256sum`.

A file `x.csv` has its digest in `x.csv.sha256` beside it; a folder that one step writes as a whole
has the digests of all its files in `SHA256SUMS`. `sha256sum --check` reads both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from cacl.errors import TableError
from cacl.tables.atomic import write_bytes, write_text

SUFFIX = ".sha256"
SUMS = "SHA256SUMS"
DIGITS = 64
BLOCK_BYTES = 1 << 20


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_checked_bytes(path: Path, data: bytes) -> None:
    """Write a file and its digest beside it, each atomically.

    The former digest is removed first: a kill leaves a file without a digest, never one beside the
    digest of another.
    """
    digest_file = Path(f"{path}{SUFFIX}")
    digest_file.unlink(missing_ok=True)
    write_bytes(path, data)
    write_text(digest_file, _line(hashlib.sha256(data).hexdigest(), path.name))


def write_checked_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file with its digest; see `write_checked_bytes`."""
    write_checked_bytes(path, text.encode())


def write_sums(folder: Path) -> None:
    """Write `SHA256SUMS` of a folder: one line per file below it, sorted by path.

    Hidden files, which are being written, are left out.
    """
    lines = [_line(sha256_of(path), name) for name, path in sorted(listed_files(folder))]
    write_text(folder / SUMS, "".join(lines))


def listed_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield path relative to the folder, with `/`, and path of each file that sums list."""
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != SUMS and not path.name.startswith("."):
            yield name, path


def read_sums(file: Path) -> dict[str, str]:
    """Return the digest of each file that a file of checksums lists, by relative path.

    Raises
    ------
    TableError
        The file cannot be read as checksums.
    """
    try:
        lines = file.read_bytes().decode("utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise TableError(f"{file} cannot be read ({error}); run the step again") from error
    sums = {line[DIGITS + 2 :]: line[:DIGITS] for line in lines[:-1]}
    if "".join(_line(digest, name) for name, digest in sums.items()) != "\n".join(lines):
        raise TableError(f"{file} is damaged; run the step that writes it again")
    return sums


def recorded_digest(path: Path) -> str | None:
    """Return the digest that is recorded for a file; None if there is no record.

    Raises
    ------
    TableError
        The record cannot be read, or does not list the file.
    """
    own, of_folder = Path(f"{path}{SUFFIX}"), path.parent / SUMS
    record = own if own.exists() else of_folder
    if not record.exists():
        return None
    sums = read_sums(record)
    if path.name not in sums:
        raise TableError(f"{record} does not list {path.name}; run the step that writes it again")
    return sums[path.name]


def check_file(path: Path) -> None:
    """Check a file against its recorded digest, if there is one.

    Raises
    ------
    TableError
        The file has another digest than the recorded one.
    """
    expected = recorded_digest(path) if path.exists() else None
    if expected is None:
        return
    try:
        actual = sha256_of(path)
    except OSError as error:
        raise TableError(f"{path} cannot be read ({error}); run the step again") from error
    if actual != expected:
        raise TableError(
            f"{path} has changed since it was written (SHA-256 {actual[:12]}..., expected "
            f"{expected[:12]}...); delete it, and run the step that writes it again"
        )


def _line(digest: str, name: str) -> str:
    return f"{digest}  {name}\n"
