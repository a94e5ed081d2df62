"""The files that an image consists of: one, or all files of a slide that is stored in several.

OpenSlide reads more than the named file for these formats: DICOM (all files of the series in the
folder), MIRAX (the folder beside the `.mrxs`), Hamamatsu VMS and VMU (the files that the index
names).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

START_BYTES, HEADER_BYTES = 2**12, 2**18
DICOM_MAGIC = b"DICM"
DICOM_MAGIC_OFFSET = 128
# Tag (0020,000E) in little endian with explicit (UI) or implicit value representation.
SERIES_UID = re.compile(rb"\x20\x00\x0e\x00(?:UI(..)|(..)\0\0)", re.DOTALL)
HAMAMATSU_INDEX = re.compile(rb"^\[(Uncompressed )?Virtual Microscope Specimen\]", re.MULTILINE)
INDEX_VALUE = re.compile(rb"^[^=\n]+=([^\r\n]+)", re.MULTILINE)


def image_files(path: Path) -> list[Path]:
    """Return the files that an image consists of: the named one, then the others by name.

    Parameters
    ----------
    path
        The file that is named, such as one file of a DICOM series. If it cannot be read, it is
        returned alone: the step that reads it says why.
    """
    others = {part for part in _other_files(path) if part != path}
    return [path, *sorted(others)]


def image_folders(path: Path, files: Sequence[Path]) -> list[Path]:
    """Return the folders in which a further file would belong to the image; none for one file."""
    if len(files) == 1:
        return []
    return sorted({file.parent for file in files[1:]})


def _other_files(path: Path) -> list[Path]:
    try:
        if path.suffix.lower() == ".mrxs":
            return _regular_files(path.with_suffix(""))
        if not path.is_file():
            return []
        start = _read(path, START_BYTES)
        if _is_dicom(start):
            return _series(path)
        return _indexed(path) if HAMAMATSU_INDEX.search(start) else []
    except OSError:
        return []


def _series(path: Path) -> list[Path]:
    """Return the DICOM files of the folder that share a series with the named one.

    A header also names series that it refers to: a file that shares any of them is included, and
    so are all files if the named one has no series that can be found.
    """
    wanted = _series_uids(path)
    return [
        candidate
        for candidate in _regular_files(path.parent)
        if _is_dicom(_read(candidate, START_BYTES))
        and not (wanted and wanted.isdisjoint(_series_uids(candidate)))
    ]


def _indexed(path: Path) -> list[Path]:
    """Return the existing files that the index of a VMS or VMU slide names."""
    values = INDEX_VALUE.findall(_read(path, HEADER_BYTES))
    parts = (path.parent / value.decode("utf-8", "surrogateescape").strip() for value in values)
    return [part for part in parts if part.is_file()]


def _regular_files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []


def _is_dicom(start: bytes) -> bool:
    return start[DICOM_MAGIC_OFFSET : DICOM_MAGIC_OFFSET + len(DICOM_MAGIC)] == DICOM_MAGIC


def _series_uids(path: Path) -> set[bytes]:
    head, uids = _read(path, HEADER_BYTES), set()
    for match in SERIES_UID.finditer(head):
        length = int.from_bytes(match[1] or match[2], "little")
        uids.add(head[match.end() : match.end() + length].rstrip(b"\0 "))
    return uids


def _read(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)
