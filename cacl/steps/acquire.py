"""Step `acquire`: download, link or locate the images of a shard, and verify each of them."""

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
from cacl.config import SourceConfig
from cacl.errors import ConfigError, ImageError, Reason
from cacl.hpa.http.client import MAX_CONNECTIONS, Client, Response, raise_if_unanswered
from cacl.hpa.http.limits import HttpLimits
from cacl.hpa.http.locks import commit, host_lock, locked_part, remove_leftovers
from cacl.hpa.image_state import FileState, ImageState, digest_image, observe
from cacl.hpa.mirror import Mirror
from cacl.hpa.provenance import (
    ProvenanceRecord,
    check_jpeg,
    check_jpeg_markers,
    digest_file,
    read_provenance,
    write_provenance,
)
from cacl.hpa.slide_digests import slide_digests
from cacl.hpa.urls import check_image_url
from cacl.runtime.images import run_images
from cacl.runtime.signals import on_interrupt
from cacl.runtime.source_files import unreadable
from cacl.steps.attempts import record_attempt
from cacl.steps.outputs import write_outputs
from cacl.steps.parameters import AcquireOptions, AttemptOptions
from cacl.tables.schemas import AcquiredRow, ImageRow

log = logging.getLogger(__name__)
Fetcher = Callable[[ImageRow], AcquiredRow]


def acquire(
    shard: Path,
    images: Path,
    out: Path,
    failures: Path,
    source: SourceConfig,
    options: AcquireOptions,
    *,
    attempt: AttemptOptions | None = None,
    limits: HttpLimits | None = None,
) -> None:
    """Acquire the images of a shard and write a table of `AcquiredRow`.

    The images of a manifest stay at their paths. The images of a mirror are hard-linked (or
    copied), and the images of the host are downloaded, to `<images>/<number>/<name>.jpg`, each
    with a provenance record beside it. An image that matches its record is not fetched again. The
    parent folder of `images` has the layout of the host, so with the annotation it is a mirror.

    Parameters
    ----------
    shard
        Table of `ImageRow` that the catalog step wrote.
    images
        Folder of the images.
    out
        Table of the acquired images.
    failures
        CSV of the images that could not be acquired, with reasons.
    source
        Source of the images.
    options
        Number of images in parallel (the host is always contacted over four connections, at the
        request rate of the source), and whether failures raise (`strict`). `refresh` asks the
        host whether the existing images have changed (If-None-Match with the ETag of the
        provenance record) and downloads the changed ones; annotation is not refreshed, because it
        does not change within a release. `check` fetches nothing and verifies the existing images
        against their provenance records. After `source.max_minutes` the remaining images fail as
        `POSTPONED`, and the next run continues with them.
    attempt
        Number of the attempt, and the file that records how the images were read.
    limits
        Timeouts, retries and sizes of the client.

    Raises
    ------
    StrictError
        An image failed and `options.strict` is set. The tables are written before.
    ResourceError
        The host answered no request at all.
    DiskError
        An image cannot be written.
    ConfigError
        The parent folder of the images cannot be written, or the source lacks its mirror.
    """
    rows: list[ImageRow] = tables.read_parquet(shard, ImageRow)
    jobs = options.jobs
    client: Client | None = None
    with ExitStack() as stack:
        fetch: Fetcher = from_manifest
        if source.kind != "manifest" and options.check:
            fetch = partial(from_record, images=images, source=source)
        elif source.kind == "hpa":
            stack.enter_context(host_lock(images.parent))
            client = stack.enter_context(
                Client(source, _with_run_timeout(limits, source.max_minutes))
            )
            stack.enter_context(on_interrupt(client.stop))
            fetch = HostFetcher(client, images, refresh=options.refresh).download_image
            jobs = MAX_CONNECTIONS
        elif source.kind != "manifest":
            fetch = partial(from_mirror, mirror=_mirror(source), images=images, source=source)
        observer = _Observer(fetch, images, source)
        outcome = run_images(
            "acquire",
            rows,
            observer.acquire_image,
            source=lambda row: row.url or row.path,
            jobs=jobs,
            size_bytes=lambda row: row.size_bytes,
        )
    if client is not None:
        raise_if_unanswered(
            client, [ImageError(row.reason, row.message) for row in outcome.failures]
        )
    postponed = sum(row.reason == Reason.POSTPONED for row in outcome.failures)
    if postponed:
        log.warning(
            "%d of %d images are missing because the time limit was reached; run the same command "
            "again to continue with them",
            postponed,
            len(rows),
        )
    made_with = tables.made_with("acquire", kind=source.kind, hpa_version=source.hpa_version)
    write_outputs(outcome, AcquiredRow, out, failures, strict=options.strict, made_with=made_with)
    record_attempt("acquire", attempt or AttemptOptions(), failures, observer.states)


class _Observer:
    """Acquires images and keeps what their files looked like before they were read."""

    def __init__(self, fetch: Fetcher, images: Path, source: SourceConfig) -> None:
        self.states: dict[str, ImageState] = {}
        self._fetch = fetch
        self._images = images
        self._source = source

    def acquire_image(self, row: ImageRow) -> AcquiredRow:
        """Acquire an image; see the functions for each source for errors."""
        original = self._observe_original(row)
        acquired = self._fetch(row)
        copies = [original] if original else []
        if self._source.kind != "manifest":
            # This step has just written or verified the copy.
            copies.append((FileState.of(acquired.path),))
        self.states[row.image_id] = ImageState(row.image_id, acquired.sha256, tuple(copies))
        return acquired

    def _observe_original(self, row: ImageRow) -> tuple[FileState, ...]:
        if self._source.kind == "manifest":
            return observe(Path(row.path))
        if self._source.kind == "hpa" or self._source.mirror is None:
            return ()
        path = self._source.mirror / check_image_url(row.url, self._source)
        return (FileState.of(str(path)),)


def from_manifest(row: ImageRow) -> AcquiredRow:
    """Verify an image of the user's manifest at its path.

    Raises
    ------
    ImageError
        `NOT_FOUND`: the file does not exist. `NOT_AN_IMAGE`: it is no regular file, or empty.
        `REFUSED`: the file or its folder may not be read.
    """
    path = Path(row.path)
    try:
        exists, is_file = path.exists(), path.is_file()
    except OSError as error:  # a folder that may not be entered, a name that is too long
        raise unreadable(path, error) from error
    if not exists:
        raise ImageError(
            Reason.NOT_FOUND, f"There is no file {path}; correct image_path in the manifest"
        )
    if not is_file:
        raise ImageError(Reason.NOT_AN_IMAGE, f"{path} is not a file; correct image_path")
    digest = slide_digests().digest if row.region else digest_image
    sha256, size = digest(path)
    if size == 0:
        raise ImageError(Reason.NOT_AN_IMAGE, f"{path} is empty; copy the image again")
    return _acquired_row(row, path, sha256, size)


def from_mirror(
    row: ImageRow, *, mirror: Mirror, images: Path, source: SourceConfig
) -> AcquiredRow:
    """Verify an image of a mirror and link it into the folder of images.

    Raises
    ------
    ImageError
        `NOT_FOUND`, `NOT_AN_IMAGE` or `DAMAGED`; `CHANGED`: the mirror's provenance record has
        another digest; `UNSAFE_URL`.
    """
    image_path = check_image_url(row.url, source)
    origin = mirror.image(image_path)
    sha256, size = digest_file(origin)
    mirror_record = read_provenance(origin)
    if mirror_record is not None and mirror_record.sha256 != sha256:
        raise ImageError(
            Reason.CHANGED,
            f"{origin} does not match its provenance record (expected sha256 "
            f"{mirror_record.sha256[:12]}, got {sha256[:12]}); copy it again from the original",
        )
    target = _target(images, row, source)
    existing = _verified(row, target)
    if existing is not None and existing.sha256 == sha256:
        remove_leftovers(target)
        return existing
    check_jpeg_markers(origin)
    record = mirror_record or ProvenanceRecord(
        url=row.url,
        sha256=sha256,
        size_bytes=size,
        hpa_version=row.hpa_version,
        licence=row.licence,
    )
    with locked_part(target) as part:
        is_same_file = target.exists() and target.samefile(origin)
        if not is_same_file:
            link_or_copy(origin, part)
        write_provenance(target, record)
        if not is_same_file:
            commit(part, target)
    return _acquired_row(row, target, sha256, size)


class HostFetcher:
    """Downloads images and stores them with their provenance records.

    Parameters
    ----------
    client
        Sends the requests.
    images
        Folder of the images.
    refresh
        Ask the host also about existing images, which it may have changed.
    """

    def __init__(self, client: Client, images: Path, *, refresh: bool) -> None:
        self.client = client
        self.images = images
        self.refresh = refresh
        self._write_lock = threading.Lock()

    def download_image(self, row: ImageRow) -> AcquiredRow:
        """Download an image unless it exists, and verify it.

        Raises
        ------
        ImageError
            As for `Client.fetch` and `check_jpeg`.
        OSError
            The disk is full or the folder cannot be written. Existing files are unchanged.
        """
        target = _target(self.images, row, self.client.source)
        existing = _verified(row, target, url=row.url)
        if existing is not None and not self.refresh:
            remove_leftovers(target)
            return existing
        with locked_part(target) as part:
            existing = _verified(row, target, url=row.url)
            if existing is None:
                response = self.client.fetch(row.url, check_jpeg)
                return self._commit(row, response, part, target)
            changed = self._fetch_if_changed(row, target) if self.refresh else None
            return existing if changed is None else self._commit(row, changed, part, target)

    def _fetch_if_changed(self, row: ImageRow, target: Path) -> Response | None:
        """Return the image again, or None if the host's version is the existing one."""
        record = read_provenance(target)
        if record is None or not record.etag:
            return self.client.fetch(row.url, check_jpeg)
        changed = self.client.fetch_if_changed(row.url, check_jpeg, etag=record.etag)
        if changed is not None:
            log.warning("%s has changed at the host; downloading it again", row.image_id)
        return changed

    def _commit(self, row: ImageRow, response: Response, part: Path, target: Path) -> AcquiredRow:
        """Write an image and its provenance record, one thread at a time.

        In parallel, several images could share the remaining space of a disk and all be too large
        for it. One at a time, as many images as possible are stored, and an image that does not
        fit frees its space at once.
        """
        with self._write_lock:
            try:
                part.write_bytes(response.data)
                record = ProvenanceRecord.for_download(
                    part,
                    url=row.url,
                    etag=response.etag,
                    hpa_version=row.hpa_version,
                    licence=row.licence,
                )
                write_provenance(target, record)
            except OSError:
                with suppress(OSError):
                    os.truncate(part, 0)
                raise
            commit(part, target)
        return _acquired_row(row, target, record.sha256, record.size_bytes)


def from_record(row: ImageRow, *, images: Path, source: SourceConfig) -> AcquiredRow:
    """Verify an acquired image against its provenance record, without contacting its source.

    Raises
    ------
    ImageError
        `NOT_FOUND`: the image or its record is missing. `CHANGED`: the image does not match its
        record.
    """
    target = _target(images, row, source)
    existing = _verified(row, target)
    if existing is not None:
        return existing
    if not target.exists() or read_provenance(target) is None:
        raise ImageError(
            Reason.NOT_FOUND,
            f"{target} or its provenance record is missing; run without --check to fetch it",
        )
    raise ImageError(
        Reason.CHANGED,
        f"{target} does not match its provenance record; delete it and acquire it again",
    )


def link_or_copy(origin: Path, part: Path) -> None:
    """Make `part` a hard link to `origin`, or a copy if links are not possible."""
    link = part.with_name(f"{part.name}.link")
    link.unlink(missing_ok=True)
    try:
        try:
            os.link(origin.resolve(), link)
        except OSError:
            shutil.copyfile(origin, link)
        link.replace(part)
    finally:
        link.unlink(missing_ok=True)


def _mirror(source: SourceConfig) -> Mirror:
    if source.mirror is None:
        raise ConfigError(
            "source.mirror is missing; set it to a folder with the layout of the host"
        )
    return Mirror(source.mirror)


def _with_run_timeout(limits: HttpLimits | None, max_minutes: float | None) -> HttpLimits:
    if max_minutes is None:
        return limits or HttpLimits()
    return replace(limits or HttpLimits(), run_timeout_s=60 * max_minutes)


def _target(images: Path, row: ImageRow, source: SourceConfig) -> Path:
    """Return the path of an image in the folder of images; see `check_image_url` for errors."""
    image_path = check_image_url(row.url, source)
    return images / image_path.parent.name / image_path.name


def _verified(row: ImageRow, target: Path, *, url: str | None = None) -> AcquiredRow | None:
    """Return the row of an existing image that matches its record (and URL), else None."""
    record = read_provenance(target)
    if record is None or not target.is_file() or url not in (None, record.url):
        return None
    sha256, size = digest_file(target)
    if (sha256, size) != (record.sha256, record.size_bytes):
        return None
    return _acquired_row(row, target, sha256, size)


def _acquired_row(row: ImageRow, path: Path, sha256: str, size: int) -> AcquiredRow:
    return AcquiredRow(
        image_id=row.image_id,
        antibody_id=row.antibody_id,
        path=str(path),
        sha256=sha256,
        size_bytes=size,
        mpp=row.mpp,
        region=row.region,
    )
