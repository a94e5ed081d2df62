"""Verify an image's bytes, and keep beside it a receipt that says where they came from."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import simplejpeg

from cacl.errors import ImageError, Reason
from cacl.hpa.http.locks import write_locked
from cacl.hpa.licence import CREDIT

JPEG_START = b"\xff\xd8\xff"
JPEG_END = b"\xff\xd9"
MAX_PIXELS = 150_000_000
MARKUP = (b"<", b"\xef\xbb\xbf<")
TAIL_BYTES = 1024
BLOCK_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class ProvenanceRecord:
    """Where a file's bytes came from. The time is for people; no table depends on it."""

    url: str
    sha256: str
    size_bytes: int
    hpa_version: str
    licence: str
    etag: str = ""
    fetched: str = ""
    credit: str = CREDIT


def provenance_path(image: Path) -> Path:
    """Return where the receipt of an image lies: beside it, `<stem>.json`."""
    return image.with_suffix(".json")


def write_provenance(image: Path, receipt: ProvenanceRecord) -> None:
    """Write the receipt of a file, whole or not at all, while the file is claimed."""
    text = json.dumps(asdict(receipt), indent=2, ensure_ascii=False) + "\n"
    write_locked(provenance_path(image), text.encode("utf-8"))


def download_record(
    image: Path, url: str, etag: str, hpa_version: str, licence: str
) -> ProvenanceRecord:
    """Return the receipt of a file that came from the host just now."""
    sha256, size = digest_file(image)
    return ProvenanceRecord(
        url=url,
        sha256=sha256,
        size_bytes=size,
        etag=etag,
        fetched=datetime.now(UTC).isoformat(timespec="seconds"),
        hpa_version=hpa_version,
        licence=licence,
    )


def read_provenance(image: Path) -> ProvenanceRecord | None:
    """Return the receipt of an image, or None if it has none that can be read."""
    try:
        loaded: Any = json.loads(provenance_path(image).read_bytes())
        return ProvenanceRecord(**loaded)
    except (OSError, ValueError, TypeError):
        return None


def digest_file(path: Path) -> tuple[str, int]:
    """Return the SHA-256 of a file and its size in bytes.

    Raises
    ------
    ImageError
        `NOT_FOUND`: it cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as stream:
            while block := stream.read(BLOCK_BYTES):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise ImageError(
            Reason.NOT_FOUND, f"{path} cannot be read ({error.strerror}); check the path"
        ) from error
    return digest.hexdigest(), size


def check_jpeg_markers(path: Path) -> None:
    """Check that a file begins and ends as a JPEG does, without reading what is between.

    Raises
    ------
    ImageError
        `NOT_AN_IMAGE`: empty, a web page, or another format. `DAMAGED`: the end is missing.
        `NOT_FOUND`: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(TAIL_BYTES)
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - TAIL_BYTES))
            end = stream.read()
    except OSError as error:
        raise ImageError(
            Reason.NOT_FOUND, f"{path} cannot be read ({error.strerror}); check the path"
        ) from error
    _check_markers(start, end, size)


def _check_markers(start: bytes, end: bytes, size: int) -> None:
    if not size:
        raise ImageError(Reason.NOT_AN_IMAGE, "The file is empty; expected a JPEG")
    if start.lstrip().startswith(MARKUP):
        raise ImageError(
            Reason.NOT_AN_IMAGE,
            "A web page came instead of a JPEG; the image is missing or the host is busy, so try "
            "again later",
        )
    if not start.startswith(JPEG_START):
        raise ImageError(
            Reason.NOT_AN_IMAGE, f"Not a JPEG: it begins with {start[:8].hex()}, expected ffd8ff"
        )
    if JPEG_END not in end:
        raise ImageError(
            Reason.DAMAGED, f"The JPEG is cut short after {size} bytes; fetch it again"
        )


def check_jpeg(data: bytes) -> None:
    """Check that bytes are a whole JPEG of a bounded size, by decoding them.

    Raises
    ------
    ImageError
        As for `check_jpeg_markers`, and `TOO_LARGE`: more than 150 million pixels.
    """
    _check_markers(data[:TAIL_BYTES], data[-TAIL_BYTES:], len(data))
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        if height * width > MAX_PIXELS:
            raise ImageError(
                Reason.TOO_LARGE,
                f"The JPEG claims {width} x {height} px; a core has at most {MAX_PIXELS} px",
            )
        simplejpeg.decode_jpeg(data, colorspace="GRAY", fastdct=True, min_height=1, min_width=1)
    except ValueError as error:
        raise ImageError(
            Reason.DAMAGED, f"The JPEG cannot be decoded ({error}); fetch it again"
        ) from error
