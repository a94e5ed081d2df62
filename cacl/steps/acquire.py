"""Bring the images of a shard to this machine, each verified before it takes its name."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from cacl import tables
from cacl.errors import ConfigError, ImageError, Reason
from cacl.hpa.http.client import MAX_CONNECTIONS, Client, HttpLimits, Response
from cacl.hpa.http.interrupt import stop_on_interrupt
from cacl.hpa.http.locks import commit, host_lock, locked_part
from cacl.hpa.mirror import Mirror
from cacl.hpa.options import SourceOptions
from cacl.hpa.provenance import (
    ProvenanceRecord,
    check_jpeg,
    check_jpeg_markers,
    digest_file,
    download_record,
    read_provenance,
    write_provenance,
)
from cacl.hpa.urls import check_image_url
from cacl.runtime.images import run_images
from cacl.steps.outputs import write_outputs
from cacl.tables.schemas import AcquiredRow, ImageRow

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
    max_minutes: float | None = None,
    limits: HttpLimits | None = None,
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
    max_minutes
        Longest time to ask the host; the images left then fail as `POSTPONED`, and the next run
        goes on with them. None for no end.
    limits
        Of the client.

    Raises
    ------
    StrictError
        An image failed and `strict` is set; the tables are written all the same.
    ConfigError
        The folder above the images cannot be written, the source lacks its mirror, or
        `max_minutes` is not above 0.
    """
    rows: list[ImageRow] = tables.read_parquet(shard, ImageRow)
    with ExitStack() as stack:
        way: Way = from_manifest
        if source.kind != "manifest" and check:
            way = partial(from_receipt, images=images, source=source)
        elif source.kind == "hpa":
            stack.enter_context(host_lock(images.parent))
            client = stack.enter_context(Client(source, _limits(limits, max_minutes)))
            stack.enter_context(stop_on_interrupt(client))
            host = Host(client, images, refresh=refresh)
            way = host.bring
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
    left = sum(row.reason == Reason.POSTPONED for row in outcome.failures)
    if left:
        log.warning(
            "%d of %d images are left because the time was over; run the same command again to go "
            "on with them",
            left,
            len(rows),
        )
    write_outputs(outcome, AcquiredRow, out, failures, strict=strict)


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
    theirs = read_provenance(origin)
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
    own = ProvenanceRecord(
        url=row.url,
        sha256=sha256,
        size_bytes=size,
        hpa_version=row.hpa_version,
        licence=row.licence,
    )
    with locked_part(target) as part:
        in_place = target.exists() and target.samefile(origin)
        if not in_place:
            link_or_copy(origin, part)
        write_provenance(target, theirs or own)
        if not in_place:
            commit(part, target)
    return _acquired(row, target, sha256, size)


class Host:
    """Fetches images, and keeps them with their receipts.

    Parameters
    ----------
    client
        Asks the host.
    images
        Folder of the images.
    refresh
        Ask also for those that are there, in case the host has changed them.
    """

    def __init__(self, client: Client, images: Path, *, refresh: bool) -> None:
        self.client = client
        self.images = images
        self.refresh = refresh
        self._writing = threading.Lock()

    def bring(self, row: ImageRow) -> AcquiredRow:
        """Fetch an image unless it is there, and verify it.

        Raises
        ------
        ImageError
            As for `Client.fetch` and `check_jpeg`.
        OSError
            The disk is full or the folder cannot be written; what was there is as it was.
        """
        place = check_image_url(row.url, self.client.source)
        target = self.images / place.parent.name / place.name
        done = _verified(row, target, url=row.url)
        if done is not None and not self.refresh:
            return done
        with locked_part(target) as part:
            done = _verified(row, target, url=row.url)
            if done is not None:
                changed = self._changed(row, target) if self.refresh else None
                return done if changed is None else self._keep(row, changed, part, target)
            answer = self.client.fetch(row.url, check_jpeg)
            return self._keep(row, answer, part, target)

    def _changed(self, row: ImageRow, target: Path) -> Response | None:
        """Return an image that is there anew, None if the host still has the same one."""
        known = read_provenance(target)
        if known is None or not known.etag:
            return self.client.fetch(row.url, check_jpeg)
        changed = self.client.fetch_if_changed(row.url, check_jpeg, etag=known.etag)
        if changed is not None:
            log.warning("%s has changed at the host, it is fetched again", row.image_id)
        return changed

    def _keep(self, row: ImageRow, answer: Response, part: Path, target: Path) -> AcquiredRow:
        """Write an image and its receipt, one thread at a time.

        Side by side, several images could share the last of a disk and all be too large for it; so
        as many are kept as there is space for, and one that does not fit frees its space at once.
        """
        with self._writing:
            try:
                part.write_bytes(answer.data)
                receipt = download_record(part, row.url, answer.etag, row.hpa_version, row.licence)
                write_provenance(target, receipt)
            except OSError:
                with suppress(OSError):
                    os.truncate(part, 0)
                raise
            commit(part, target)
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
    if not target.exists() or read_provenance(target) is None:
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
        try:
            os.link(origin.resolve(), linked)
        except OSError:
            shutil.copyfile(origin, linked)
        linked.replace(part)
    finally:
        linked.unlink(missing_ok=True)


def _mirror(source: SourceOptions) -> Mirror:
    if source.mirror is None:
        raise ConfigError("source.mirror is missing; name a folder laid out as the host is")
    return Mirror(source.mirror)


def _limits(limits: HttpLimits | None, max_minutes: float | None) -> HttpLimits:
    if max_minutes is None:
        return limits or HttpLimits()
    if not max_minutes > 0:
        raise ConfigError(f"source.max_minutes is {max_minutes:g}; expected more than 0, or null")
    return replace(limits or HttpLimits(), run_s=60 * max_minutes)


def _verified(row: ImageRow, target: Path, *, url: str | None = None) -> AcquiredRow | None:
    """Return an image that is there and is the one of its receipt (and URL), else None."""
    receipt = read_provenance(target)
    if receipt is None or not target.is_file() or url not in (None, receipt.url):
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
