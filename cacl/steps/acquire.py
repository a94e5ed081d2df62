"""Bring the images of a shard to this machine, each verified before it takes its name."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

from cacl import tables
from cacl.atlas.client import MAX_CONNECTIONS, Client, Limits
from cacl.atlas.mirror import Mirror
from cacl.atlas.names import check_image_url
from cacl.atlas.options import SourceOptions
from cacl.atlas.parts import claimed, commit, one_client
from cacl.atlas.receipts import (
    Receipt,
    check_jpeg,
    check_jpeg_markers,
    digest_file,
    fetched_receipt,
    read_receipt,
    write_receipt,
)
from cacl.errors import ConfigError, ImageError, Reason
from cacl.records import AcquiredRow, ImageRow
from cacl.steps.runner import finish, run_images

log = logging.getLogger(__name__)
Way = Callable[[ImageRow], AcquiredRow]


def acquire(
    shard: Path,
    images: Path,
    out: Path,
    failures: Path,
    source: SourceOptions,
    *,
    jobs: int,
    strict: bool,
    refresh: bool = False,
    check: bool = False,
    limits: Limits | None = None,
) -> None:
    """Acquire the images of a shard and write their receipts as a table of `AcquiredRow`.

    A manifest's images stay where they are. A mirror's are hard-linked (or copied) to, and the
    host's are fetched to, `<images>/<number>/<name>.jpg`, with a receipt beside them. What is
    there with a receipt that matches is not fetched again. The folder above `images` is laid out
    as the host is, so that with the annotation it is a mirror.

    Parameters
    ----------
    shard
        List of `ImageRow` that the catalog wrote.
    images
        Folder of the images.
    out
        Table of the acquired images.
    failures
        CSV of the images that could not be acquired, with reasons.
    source
        Where they come from.
    jobs
        Images at a time; the host is always asked over four connections, at the source's rate.
    strict
        Raise `StrictError` if any image fails.
    refresh
        Ask the host whether the images that are there have changed (If-None-Match with the ETag of
        the receipt), and fetch those again. It is about images only: annotation belongs to a
        release, does not change within it, and is fetched again by deleting it.
    check
        Fetch nothing; verify the images that are there against their receipts.
    limits
        Of the client.

    Raises
    ------
    StrictError
        An image failed and `strict` is set; the tables are written all the same.
    ConfigError
        The folder above the images cannot be written, or the source lacks its mirror.
    """
    rows: list[ImageRow] = tables.read_parquet(shard, ImageRow)
    with ExitStack() as stack:
        way: Way = from_manifest
        if source.kind != "manifest" and check:
            way = partial(from_receipt, images=images, source=source)
        elif source.kind == "hpa":
            stack.enter_context(one_client(images.parent))
            client = stack.enter_context(Client(source, limits))
            stack.enter_context(_stops_on_interrupt(client))
            way = partial(from_host, client=client, images=images, refresh=refresh)
            jobs = MAX_CONNECTIONS
        elif source.kind != "manifest":
            way = partial(from_mirror, mirror=_mirror(source), images=images, source=source)
        outcome = run_images(
            "acquire",
            rows,
            way,
            source=lambda row: row.url or row.path,
            jobs=jobs,
            size_bytes=lambda row: row.size_bytes,
        )
    finish(outcome, AcquiredRow, out, failures, strict=strict)


def from_manifest(row: ImageRow) -> AcquiredRow:
    """Verify a user's own image where it lies.

    Raises
    ------
    ImageError
        `NOT_FOUND`: no such file. `NOT_AN_IMAGE`: no regular file, or an empty one.
    """
    path = Path(row.path)
    if not path.exists():
        raise ImageError(
            Reason.NOT_FOUND, f"There is no file {path}; correct image_path in the manifest"
        )
    if not path.is_file():
        raise ImageError(Reason.NOT_AN_IMAGE, f"{path} is no file; correct image_path")
    sha256, size = digest_file(path)
    if size == 0:
        raise ImageError(Reason.NOT_AN_IMAGE, f"{path} is empty; copy the image again")
    return _acquired(row, path, sha256, size)


def from_mirror(
    row: ImageRow, *, mirror: Mirror, images: Path, source: SourceOptions
) -> AcquiredRow:
    """Verify an image of a mirror and link it into the folder of images.

    Raises
    ------
    ImageError
        `NOT_FOUND`, `NOT_AN_IMAGE` or `DAMAGED`; `CHANGED`: the mirror's receipt names another
        digest; `UNSAFE_URL`.
    """
    place = check_image_url(row.url, source)
    origin = mirror.image(place)
    sha256, size = digest_file(origin)
    theirs = read_receipt(origin)
    if theirs is not None and theirs.sha256 != sha256:
        raise ImageError(
            Reason.CHANGED,
            f"{origin} is not the file of its receipt (expected sha256 {theirs.sha256[:12]}, got "
            f"{sha256[:12]}); copy it again from where the mirror was made",
        )
    target = images / place.parent.name / place.name
    done = _verified(row, target)
    if done is not None and done.sha256 == sha256:
        return done
    check_jpeg_markers(origin)
    with claimed(target) as part:
        if not (target.exists() and target.samefile(origin)):
            link_or_copy(origin, part)
            commit(part, target)
        own = Receipt(
            url=row.url,
            sha256=sha256,
            size_bytes=size,
            hpa_version=row.hpa_version,
            licence=row.licence,
        )
        write_receipt(target, theirs or own)
    return _acquired(row, target, sha256, size)


def from_host(row: ImageRow, *, client: Client, images: Path, refresh: bool) -> AcquiredRow:
    """Fetch an image unless it is there, and verify it.

    Raises
    ------
    ImageError
        As for `Client.fetch` and `check_jpeg`.
    """
    place = check_image_url(row.url, client.source)
    target = images / place.parent.name / place.name
    done = _verified(row, target)
    if done is not None and not refresh:
        return done
    with claimed(target) as part:
        done = _verified(row, target)
        known = read_receipt(target)
        if done is None:
            answer = client.fetch(row.url, check_jpeg)
        elif refresh and known is not None and known.etag:
            changed = client.fetch_if_changed(row.url, check_jpeg, etag=known.etag)
            if changed is None:
                return done
            log.warning("%s has changed at the host, it is fetched again", row.image_id)
            answer = changed
        elif refresh:
            answer = client.fetch(row.url, check_jpeg)
        else:
            return done
        part.write_bytes(answer.data)
        commit(part, target)
        receipt = fetched_receipt(target, row.url, answer.etag, row.hpa_version, row.licence)
        write_receipt(target, receipt)
    return _acquired(row, target, receipt.sha256, receipt.size_bytes)


def from_receipt(row: ImageRow, *, images: Path, source: SourceOptions) -> AcquiredRow:
    """Verify an image that was acquired, without asking where it came from.

    Raises
    ------
    ImageError
        `NOT_FOUND`: no image or no receipt. `CHANGED`: the image is not the one of its receipt.
    """
    place = check_image_url(row.url, source)
    target = images / place.parent.name / place.name
    done = _verified(row, target)
    if done is not None:
        return done
    if not target.exists() or read_receipt(target) is None:
        raise ImageError(
            Reason.NOT_FOUND, f"{target} or its receipt is missing; run without --check to fetch it"
        )
    raise ImageError(
        Reason.CHANGED, f"{target} is not the file of its receipt; delete it and acquire it again"
    )


def link_or_copy(origin: Path, part: Path) -> None:
    """Make `part` the same file as `origin`, or a copy of it where that cannot be."""
    linked = part.with_name(f"{part.name}.link")
    linked.unlink(missing_ok=True)
    try:
        os.link(origin.resolve(), linked)
    except OSError:
        shutil.copyfile(origin, linked)
    linked.replace(part)


def _mirror(source: SourceOptions) -> Mirror:
    if source.mirror is None:
        raise ConfigError("source.mirror is missing; name a folder laid out as the host is")
    return Mirror(source.mirror)


def _verified(row: ImageRow, target: Path) -> AcquiredRow | None:
    """Return an image that is there and is the one of its receipt, else None."""
    receipt = read_receipt(target)
    if receipt is None or not target.is_file():
        return None
    sha256, size = digest_file(target)
    if (sha256, size) != (receipt.sha256, receipt.size_bytes):
        return None
    return _acquired(row, target, sha256, size)


def _acquired(row: ImageRow, path: Path, sha256: str, size: int) -> AcquiredRow:
    return AcquiredRow(
        image_id=row.image_id,
        antibody_id=row.antibody_id,
        path=str(path),
        sha256=sha256,
        size_bytes=size,
        mpp=row.mpp,
    )


@contextmanager
def _stops_on_interrupt(client: Client) -> Iterator[None]:
    """Let Ctrl-C end the client's waiting at once, so that its threads can be joined."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: FrameType | None) -> None:
        client.stop()
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
