"""Download the annotation of the configured genes into a folder with the layout of the host."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cacl.config import SourceConfig
from cacl.errors import CatalogError, ConfigError, ImageError, Reason
from cacl.hpa.gene_index import NO_INDEX, GeneIndex
from cacl.hpa.gene_xml import read_entries
from cacl.hpa.genes import UnknownName, expand_names, with_suggestions
from cacl.hpa.http.client import MAX_CONNECTIONS, Client, raise_if_unanswered
from cacl.hpa.http.download import download_file
from cacl.hpa.http.limits import HttpLimits
from cacl.hpa.http.locks import commit, host_lock, locked_part
from cacl.hpa.licence import licence_of
from cacl.hpa.mirror import BULK_TABLES, BULK_XML, Mirror
from cacl.hpa.provenance import (
    ProvenanceRecord,
    provenance_path,
    read_provenance,
    write_provenance,
)
from cacl.hpa.urls import CURRENT_HOST, release_host
from cacl.runtime.progress import track
from cacl.runtime.resources import raise_if_short
from cacl.runtime.signals import on_interrupt
from cacl.tables.schemas import FailureRow

log = logging.getLogger(__name__)
GENE_TABLES = ("download/tsv/proteinatlas.tsv.zip", "download/proteinatlas.tsv.zip")
MAX_TABLE_BYTES = 500 * 10**6
MAX_XML_BYTES = 20 * 10**9
NEW_PATHS_SINCE = 24
NEW_PATH_PARTS = ("/tsv/", "normal_ihc")
NO_TISSUE = frozenset(("-",))
XML_START = (b"<?xml", b"\xef\xbb\xbf<?xml", b"<proteinAtlas")


@dataclass(frozen=True)
class AnnotationDownload:
    """Result of a download: the source with the available genes, and what is missing.

    Parameters
    ----------
    source
        The source with the genes that are available; None if no gene is.
    unknown_names
        Configured names that the host does not have.
    failures
        Files that could not be downloaded.
    """

    source: SourceConfig | None
    unknown_names: list[UnknownName]
    failures: list[FailureRow]


def fetch_annotation(
    source: SourceConfig, downloads: Path, limits: HttpLimits | None = None
) -> AnnotationDownload:
    """Download the annotation table and the XML of the configured genes and antibodies.

    For "all" that is the file of all genes, else one file per gene. An existing file is downloaded
    again only if it belongs to another release: the files of a release do not change. With
    `hpa_version` None the files of the current release stay as they were first downloaded; delete
    them to download them again.

    Parameters
    ----------
    source
        Release, genes, antibodies.
    downloads
        Folder of the files, created if it is missing. Afterwards it is a mirror of them.
    limits
        Timeouts, retries and sizes of the client.

    Raises
    ------
    CatalogError
        The host does not serve the tables that are needed to resolve any gene name.
    ConfigError
        The folder cannot be written, or its disk is full.
    """
    with (
        host_lock(downloads),
        Client(source, limits) as client,
        on_interrupt(client.stop),
    ):
        try:
            return _Downloader(source, downloads, client).download()
        except OSError as error:
            raise ConfigError(
                f"The annotation cannot be written to {downloads} ({error.strerror}); free space "
                "or name another folder and run again, complete files are kept"
            ) from error


class _Downloader:
    """One download of annotation from the host."""

    def __init__(self, source: SourceConfig, downloads: Path, client: Client) -> None:
        self.source = source
        self.mirror = Mirror(downloads)
        self.client = client
        self.failures: list[FailureRow] = []
        version = source.hpa_version
        self.release = CURRENT_HOST if version is None else release_host(version)
        self.has_new_paths = version is None or int(version.split(".")[0]) >= NEW_PATHS_SINCE

    def download(self) -> AnnotationDownload:
        """Download all files; see `fetch_annotation`."""
        names = expand_names(self.source.genes)
        table = self._first_available([f"{name}.zip" for name in BULK_TABLES], "annotation table")
        if self.source.genes and not names:
            self._download_all_genes()
            return AnnotationDownload(self.source, [], self.failures)
        index = self._gene_index(names, table)
        missing = [name for name in names if not index.genes(name)]
        unknown = with_suggestions(missing, index.known_names)
        ensembl_ids = {ensembl_id for name in names for ensembl_id in index.genes(name)}
        if not names:
            ensembl_ids, unknown = self._genes_of_antibodies(index)
        available = self._download_genes(sorted(ensembl_ids))
        unknown_names = {name.name for name in unknown}
        source = self.source.model_copy(
            update={
                "genes": available or self.source.genes,
                "antibodies": tuple(
                    antibody for antibody in self.source.antibodies if antibody not in unknown_names
                ),
            }
        )
        return AnnotationDownload(source if available else None, unknown, self.failures)

    def _genes_of_antibodies(self, index: GeneIndex) -> tuple[set[str], list[UnknownName]]:
        ensembl_ids: set[str] = set()
        for antibody in self.source.antibodies:
            ensembl_ids |= index.by_antibody.get(antibody.lower(), set())
        missing = (name for name in self.source.antibodies if name.lower() not in index.by_antibody)
        return ensembl_ids, with_suggestions(missing, index.known_antibodies)

    def _gene_index(self, names: Iterable[str], table: Path | None) -> GeneIndex:
        """Return the names of genes: of the annotation table, and if needed of the gene table."""
        index = GeneIndex()
        if table is not None:
            try:
                index.add_annotation_table(table)
            except CatalogError as error:
                raise_if_short(error, f"catalog: {table}")
                self._add_failure(table.name, Reason.BAD_ANNOTATION, str(error), str(table))
        unresolved = [name for name in names if not index.genes(name)]
        if unresolved or self.source.antibodies:
            path = self._first_available(GENE_TABLES, "table of gene names")
            if path is not None:
                index.add_gene_table(path)
            elif index == GeneIndex():
                raise CatalogError(NO_INDEX.format(host=self.release))
        return index

    def _first_available(self, names: Iterable[str], title: str) -> Path | None:
        """Download the first of several files that the host has; try the release's paths first."""
        candidates = sorted(
            names,
            key=lambda name: self.has_new_paths != any(part in name for part in NEW_PATH_PARTS),
        )
        targets = {name: self.mirror.root / name for name in candidates}
        for name, target in targets.items():
            self._remove_other_release(target, self._url(name))
        existing = next((target for target in targets.values() if target.exists()), None)
        if existing is not None:
            return existing
        errors: list[ImageError] = []
        for name, target in targets.items():
            try:
                self._download_file(name, target, MAX_TABLE_BYTES)
            except ImageError as error:
                raise_if_short(error, f"catalog: {name}")
                errors.append(error)
                if error.reason is Reason.NOT_FOUND:
                    continue
                break
            return target
        raise_if_unanswered(self.client, errors)
        self._add_failure(title, errors[-1].reason, f"No {title}: {errors[0]}", self.release)
        return None

    def _download_all_genes(self) -> None:
        for path in self.mirror.gene_files():
            self._remove_other_release(path, self._url(path.name))
        name = f"{BULK_XML}.gz"
        target = self.mirror.root / name
        self._remove_other_release(target, self._url(name))
        try:
            self._download_file(name, target, MAX_XML_BYTES)
        except ImageError as error:
            raise CatalogError(f"The file of all genes cannot be downloaded: {error}") from error

    def _download_genes(self, ensembl_ids: list[str]) -> tuple[str, ...]:
        """Download the XML of genes; return the ids of the available genes."""
        with ThreadPoolExecutor(max_workers=MAX_CONNECTIONS) as pool:
            results = pool.map(self._download_gene, ensembl_ids)
            errors = list(track(results, "catalog: genes", len(ensembl_ids)))
        raise_if_unanswered(self.client, [error for error in errors if error is not None])
        for ensembl_id, error in zip(ensembl_ids, errors, strict=True):
            if error is not None:
                url = self._url(f"{ensembl_id}.xml")
                self._add_failure(ensembl_id, error.reason, str(error), url)
        return tuple(
            ensembl_id
            for ensembl_id, error in zip(ensembl_ids, errors, strict=True)
            if error is None
        )

    def _download_gene(self, ensembl_id: str) -> ImageError | None:
        target = self.mirror.gene_file(ensembl_id)
        url = self._url(target.name)
        self._remove_other_release(target, url)
        try:
            with locked_part(target) as part:
                if target.exists():
                    return None
                response = self.client.fetch(url, _check_xml)
                part.write_bytes(response.data)
                _check_gene(part, ensembl_id)
                self._write_record(target, part, url, response.etag)
                commit(part, target)
        except ImageError as error:
            raise_if_short(error, f"catalog: {ensembl_id}")
            return error
        return None

    def _download_file(self, name: str, target: Path, max_bytes: int) -> None:
        url = self._url(name)

        def write_record(part: Path, etag: str) -> None:
            self._write_record(target, part, url, etag)

        download_file(self.client, url, target, max_bytes=max_bytes, write_record=write_record)

    def _write_record(self, target: Path, part: Path, url: str, etag: str) -> None:
        version = self.source.hpa_version or ""
        record = ProvenanceRecord.for_download(
            part, url=url, etag=etag, hpa_version=version, licence=licence_of(version)
        )
        write_provenance(target, record)

    def _remove_other_release(self, target: Path, url: str) -> None:
        """Remove a file of another release, or a file without a provenance record."""
        record = read_provenance(target)
        if target.exists() and (record is None or record.url != url):
            log.warning("%s is not a file of %s; downloading it again", target, self.release)
            target.unlink()
            provenance_path(target).unlink(missing_ok=True)

    def _url(self, name: str) -> str:
        return f"https://{self.release}/{name}"

    def _add_failure(self, name: str, reason: Reason, message: str, source: str) -> None:
        log.warning("catalog: %s: %s: %s", name, reason, message)
        self.failures.append(
            FailureRow(
                image_id=name, stage="catalog", reason=str(reason), message=message, source=source
            )
        )


def _check_xml(data: bytes) -> None:
    if not data.lstrip().startswith(XML_START):
        raise ImageError(
            Reason.BAD_ANNOTATION,
            f"The response is not XML, it starts with {data[:20]!r}; try again later",
        )


def _check_gene(path: Path, ensembl_id: str) -> None:
    """Check that the XML of a gene is complete and describes this gene."""
    try:
        genes = {entry.name.ensembl_id for entry in read_entries(path, tissues=NO_TISSUE)}
    except CatalogError as error:
        raise ImageError(Reason.BAD_ANNOTATION, str(error)) from error
    if ensembl_id not in genes:
        raise ImageError(
            Reason.BAD_ANNOTATION,
            f"The XML of {ensembl_id} describes {', '.join(sorted(genes)) or 'no gene'} instead",
        )
