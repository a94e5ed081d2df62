"""Verification of image bytes, and the provenance record beside each file."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from cacl.errors import ImageError, Reason
from cacl.hpa.http.locks import write_locked
from cacl.hpa.image_files import image_files
from cacl.hpa.image_state import digest_image
from cacl.hpa.licence import CREDIT
from cacl.hpa.slide_digests import SlideDigests
from cacl.image.readers import jpeg
from cacl.image.readers.files import read_core
from cacl.runtime.file_digest import FILE_DIGEST, json_with_digest, read_json_with_digest
from cacl.runtime.json_text import parse_json
from cacl.runtime.resources import raise_if_short
from cacl.runtime.source_files import unreadable

MAX_PIXELS = 150_000_000
MARKUP = (b"<", b"\xef\xbb\xbf<")
HEAD_BYTES = 1024
BLOCK_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class ProvenanceRecord:
    """Origin of a file; stored as JSON beside the file.

    Parameters
    ----------
    url
        URL in the catalog.
    sha256, size_bytes
        Digest (hexadecimal) and size of the file.
    hpa_version
        Release of the Human Protein Atlas, such as "23"; empty if unknown.
    licence
        Licence of the release.
    etag
        ETag of the host; empty if the host sent none.
    fetched
        Time of the download, ISO 8601 in UTC; empty for a file of a mirror. No table depends on it.
    credit
        Attribution that the licence requires.
    """

    url: str
    sha256: str
    size_bytes: int
    hpa_version: str
    licence: str
    etag: str = ""
    fetched: str = ""
    credit: str = CREDIT

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            expected = int if name == "size_bytes" else str
            if type(value) is not expected:
                raise TypeError(f"{name} is {type(value).__name__}, expected {expected.__name__}")

    @classmethod
    def for_download(
        cls, path: Path, *, url: str, etag: str, hpa_version: str, licence: str
    ) -> Self:
        """Return the record of a file that was downloaded now.

        Parameters
        ----------
        path
            The complete file, which may still have its temporary name.
        url, etag, hpa_version, licence
            As for the class.

        Raises
        ------
        ImageError
            `NOT_FOUND`: the file cannot be read.
        """
        sha256, size = digest_file(path)
        return cls(
            url=url,
            sha256=sha256,
            size_bytes=size,
            etag=etag,
            fetched=datetime.now(UTC).isoformat(timespec="seconds"),
            hpa_version=hpa_version,
            licence=licence,
        )


def provenance_path(path: Path) -> Path:
    """Return the path of a file's provenance record: `<stem>.json` beside the file."""
    return path.with_suffix(".json")


def write_provenance(path: Path, record: ProvenanceRecord) -> None:
    """Write the provenance record of a file atomically, while the caller holds the file's lock."""
    write_locked(provenance_path(path), json_with_digest(asdict(record), indent=2))


def read_provenance(path: Path) -> ProvenanceRecord | None:
    """Return the provenance record of a file, or None if it has no valid record.

    A record holds the digest of its own bytes; one of an earlier version holds none, and is valid.
    """
    try:
        data = provenance_path(path).read_bytes()
        values: Any = parse_json(data)
        if FILE_DIGEST in values:
            values = read_json_with_digest(data)
            del values[FILE_DIGEST]
        return ProvenanceRecord(**values)
    except OSError as error:
        raise_if_short(error, str(path))
        return None
    except (ValueError, TypeError):
        return None


def digest_file(path: Path) -> tuple[str, int]:
    """Return the SHA-256 of a file and its size in bytes.

    Raises
    ------
    ImageError
        `NOT_FOUND`, `REFUSED` or `DAMAGED`: the file cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as stream:
            while block := stream.read(BLOCK_BYTES):
                digest.update(block)
                size += len(block)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    return digest.hexdigest(), size


def check_digest_of(path: Path, sha256: str, digests: SlideDigests | None = None) -> None:
    """Check that an image has the digest with which it was acquired, over all of its files.

    Parameters
    ----------
    path
        The image.
    sha256
        Its digest.
    digests
        For a region of a slide: digests of slides that this process has read.

    Raises
    ------
    ImageError
        `CHANGED`: it has another digest. `NOT_FOUND`: a file cannot be read.
    """
    actual, _ = digest_image(path) if digests is None else digests.digest(path)
    if actual != sha256:
        raise ImageError(
            Reason.CHANGED,
            f"{path} has changed since it was acquired (SHA-256 {actual[:12]}..., expected "
            f"{sha256[:12]}...); run `cacl acquire` again (`snakemake --forcerun acquire`)",
        )


def check_before_reading(
    path: Path, sha256: str, digests: SlideDigests | None = None
) -> Callable[[], None]:
    """Check an image's digest before it is decoded; return a check that it is still the same.

    If both pass, the bytes that were decoded in between are those of the digest: inode, size and
    modification time of each file are still those from before the files were hashed.

    Parameters
    ----------
    path, sha256, digests
        As for `check_digest_of`.

    Raises
    ------
    ImageError
        As for `check_digest_of`; `CHANGED` also from the check that is returned.
    """
    before = _states(path)
    check_digest_of(path, sha256, digests)

    def check() -> None:
        if _states(path) != before:
            raise ImageError(
                Reason.CHANGED,
                f"{path} was changed while it was read; run `cacl acquire` again (`snakemake "
                "--forcerun acquire`)",
            )

    return check


def _states(path: Path) -> list[tuple[int, ...]]:
    return [_state(file) for file in image_files(path)]


def _state(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    if not stat.S_ISREG(found.st_mode):  # to read a pipe would block for ever
        raise ImageError(Reason.NOT_AN_IMAGE, f"{path} is not a file; correct image_path")
    return found.st_ino, found.st_size, found.st_mtime_ns


def check_jpeg_markers(path: Path) -> None:
    """Check the markers of a JPEG file, from its start to its end marker, without decoding it.

    Raises
    ------
    ImageError
        `NOT_AN_IMAGE`: the file is empty, a web page, or of another format. `DAMAGED`: the end
        marker is missing. `TOO_LARGE`: more bytes than are read at once. `NOT_FOUND` or `REFUSED`:
        the file cannot be read.
    """
    _parse(read_core(path))


def check_jpeg(data: bytes) -> None:
    """Decode a JPEG to check that it is complete and of a bounded size.

    Raises
    ------
    ImageError
        As for `check_jpeg_markers`, and `TOO_LARGE`: more than 150 million pixels.
    """
    image = _parse(data)
    if image.height * image.width > MAX_PIXELS:
        raise ImageError(
            Reason.TOO_LARGE,
            f"The JPEG header declares {image.width} x {image.height} px; expected at most "
            f"{MAX_PIXELS} px",
        )
    try:
        jpeg.decode(image, colours="GRAY", smallest=True)
    except ValueError as error:
        raise ImageError(
            Reason.DAMAGED, f"The JPEG cannot be decoded ({error}); download it again"
        ) from error


def _parse(data: bytes) -> jpeg.Jpeg:
    if not data:
        raise ImageError(Reason.NOT_AN_IMAGE, "The file is empty; expected a JPEG")
    if data[:HEAD_BYTES].lstrip().startswith(MARKUP):
        raise ImageError(
            Reason.NOT_AN_IMAGE,
            "The host sent a web page instead of a JPEG; the image is missing or the host is busy, "
            "so try again later",
        )
    if not data.startswith(jpeg.MAGIC):
        raise ImageError(
            Reason.NOT_AN_IMAGE, f"Not a JPEG: it starts with {data[:8].hex()}, expected ffd8ff"
        )
    try:
        return jpeg.parse(data)
    except ValueError as error:
        raise ImageError(
            Reason.DAMAGED,
            f"The JPEG is truncated or damaged ({error}, after {len(data)} bytes); download it "
            "again, or copy it again from its original",
        ) from error
