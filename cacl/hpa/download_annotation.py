"""Fetch the annotation of the genes that were asked for, into a folder laid out as the host."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from cacl.errors import CatalogError, ConfigError, ImageError, Reason
from cacl.hpa.gene_index import NO_INDEX, Index, read_index
from cacl.hpa.gene_xml import read_entries
from cacl.hpa.genes import Missing, expand_names, nearest
from cacl.hpa.http.client import MAX_CONNECTIONS, Client, HttpLimits
from cacl.hpa.http.download import download
from cacl.hpa.http.interrupt import stop_on_interrupt
from cacl.hpa.http.locks import commit, host_lock, locked_part
from cacl.hpa.licence import licence_of
from cacl.hpa.mirror import BULK_TABLES, BULK_XML, Mirror
from cacl.hpa.options import SourceOptions
from cacl.hpa.provenance import download_record, provenance_path, read_provenance, write_provenance
from cacl.hpa.urls import CURRENT_HOST, release_host
from cacl.runtime.progress import track
from cacl.tables.schemas import FailureRow

log = logging.getLogger(__name__)
INDEXES = ("download/tsv/proteinatlas.tsv.zip", "download/proteinatlas.tsv.zip")
TABLE_BYTES = 500 * 10**6
XML_BYTES = 20 * 10**9
NEW_NAMES_SINCE = 24
NEW = ("/tsv/", "normal_ihc")
NO_TISSUE = frozenset(("-",))
XML_START = (b"<?xml", b"\xef\xbb\xbf<?xml", b"<proteinAtlas")


@dataclass(frozen=True)
class Fetched:
    """What was fetched: the genes that are now there (None: no gene is), and what is not."""

    source: SourceOptions | None
    missing: list[Missing]
    failures: list[FailureRow]


def fetch_annotation(
    source: SourceOptions, downloads: Path, limits: HttpLimits | None = None
) -> Fetched:
    """Fetch the annotation table and the XML of the genes and antibodies that were asked for.

    For "all" that is the file of all genes, else one file a gene. What is there is not fetched
    again, unless it is of another release than the configured one: a release does not change, so
    there is no refreshing within it. With `hpa_version` None the host's current release is kept
    as it was first fetched; delete the files to fetch them anew.

    Parameters
    ----------
    source
        Release, genes, antibodies.
    downloads
        Folder, made if it is missing, that afterwards is a mirror of what was fetched.
    limits
        Of the client.

    Raises
    ------
    CatalogError
        The host does not serve what is needed to find any gene.
    ConfigError
        The folder cannot be written, or its disk is full.
    """
    with host_lock(downloads), Client(source, limits) as client, stop_on_interrupt(client):
        try:
            return _Fetcher(source, downloads, client).fetch()
        except OSError as error:
            raise ConfigError(
                f"The annotation cannot be kept in {downloads} ({error.strerror}); make space or "
                "name another folder and run again, what came whole is there"
            ) from error


class _Fetcher:
    """One run over the host."""

    def __init__(self, source: SourceOptions, downloads: Path, client: Client) -> None:
        self.source = source
        self.mirror = Mirror(downloads)
        self.client = client
        self.failures: list[FailureRow] = []
        version = source.hpa_version
        self.release = CURRENT_HOST if version is None else release_host(version)
        self.is_new = version is None or int(version.split(".")[0]) >= NEW_NAMES_SINCE

    def fetch(self) -> Fetched:
        """Fetch everything; see `fetch_annotation`."""
        names = expand_names(self.source.genes)
        table = self._first([f"{name}.zip" for name in BULK_TABLES], "annotation table")
        if self.source.genes and not names:
            self._fetch_all()
            return Fetched(self.source, [], self.failures)
        index = self._index(names, table)
        missing = [
            Missing(name, nearest(name, index.known)) for name in names if not index.genes(name)
        ]
        wanted = {gene for name in names for gene in index.genes(name)}
        if not names:
            wanted, missing = self._genes_of_antibodies(index)
        there = self._fetch_genes(sorted(wanted))
        lost = {one.name for one in missing}
        found = replace(
            self.source,
            genes=there or self.source.genes,
            antibodies=tuple(one for one in self.source.antibodies if one not in lost),
        )
        return Fetched(found if there else None, missing, self.failures)

    def _genes_of_antibodies(self, index: Index) -> tuple[set[str], list[Missing]]:
        genes: set[str] = set()
        missing: list[Missing] = []
        for antibody in self.source.antibodies:
            found = index.by_antibody.get(antibody.lower())
            genes |= found or set()
            if not found:
                missing.append(Missing(antibody, nearest(antibody, index.known_antibodies)))
        return genes, missing

    def _index(self, names: Iterable[str], table: Path | None) -> Index:
        """Return names of genes: of the annotation table, and of the larger one if need be."""
        index = Index()
        if table is not None:
            try:
                index.note_bulk(table)
            except CatalogError as error:
                self._fail(table.name, Reason.BAD_ANNOTATION, str(error), str(table))
        unmet = [name for name in names if not index.genes(name)]
        if unmet or self.source.antibodies:
            path = self._first(INDEXES, "table of gene names")
            if path is not None:
                read_index(path, index)
            elif index == Index():
                raise CatalogError(NO_INDEX.format(host=self.release))
        return index

    def _first(self, names: Iterable[str], what: str) -> Path | None:
        """Fetch the first of several files that the host has, those of its own time first."""
        candidates = sorted(names, key=lambda name: self.is_new != any(new in name for new in NEW))
        targets = {name: self.mirror.root / name for name in candidates}
        for name, target in targets.items():
            self._drop_other_release(target, self._url(name))
        there = next((target for target in targets.values() if target.exists()), None)
        if there is not None:
            return there
        problems: list[ImageError] = []
        for name, target in targets.items():
            try:
                self._download(name, target, TABLE_BYTES)
            except ImageError as error:
                problems.append(error)
                if error.reason is Reason.NOT_FOUND:
                    continue
                break
            return target
        self._fail(what, problems[-1].reason, f"No {what}: {problems[0]}", self.release)
        return None

    def _fetch_all(self) -> None:
        for path in self.mirror.gene_files():
            self._drop_other_release(path, self._url(path.name))
        name = f"{BULK_XML}.gz"
        target = self.mirror.root / name
        self._drop_other_release(target, self._url(name))
        try:
            self._download(name, target, XML_BYTES)
        except ImageError as error:
            raise CatalogError(f"The file of all genes cannot be fetched: {error}") from error

    def _fetch_genes(self, genes: list[str]) -> tuple[str, ...]:
        """Fetch the XML of genes; return the ids of those that are there."""
        with ThreadPoolExecutor(max_workers=MAX_CONNECTIONS) as pool:
            done = list(track(pool.map(self._try_gene, genes), "catalog: genes", len(genes)))
        for ensembl_id, error in zip(genes, done, strict=True):
            if error is not None:
                self._fail(ensembl_id, error.reason, str(error), self._url(f"{ensembl_id}.xml"))
        return tuple(gene for gene, error in zip(genes, done, strict=True) if error is None)

    def _try_gene(self, ensembl_id: str) -> ImageError | None:
        target = self.mirror.gene_file(ensembl_id)
        url = self._url(target.name)
        self._drop_other_release(target, url)
        try:
            with locked_part(target) as part:
                if target.exists():
                    return None
                answer = self.client.fetch(url, _check_xml)
                part.write_bytes(answer.data)
                _check_entries(part, ensembl_id)
                self._write_receipt(target, part, url, answer.etag)
                commit(part, target)
        except ImageError as error:
            return error
        return None

    def _download(self, name: str, target: Path, max_bytes: int) -> None:
        url = self._url(name)

        def sign(part: Path, etag: str) -> None:
            self._write_receipt(target, part, url, etag)

        download(self.client, url, target, max_bytes=max_bytes, sign=sign)

    def _write_receipt(self, target: Path, part: Path, url: str, etag: str) -> None:
        version = self.source.hpa_version or ""
        receipt = download_record(part, url, etag, version, licence_of(version))
        write_provenance(target, receipt)

    def _drop_other_release(self, target: Path, url: str) -> None:
        """Remove a file that came from another release, or that nothing vouches for."""
        receipt = read_provenance(target)
        if target.exists() and (receipt is None or receipt.url != url):
            log.warning("%s is not of %s, it is fetched again", target, self.release)
            target.unlink()
            provenance_path(target).unlink(missing_ok=True)

    def _url(self, name: str) -> str:
        return f"https://{self.release}/{name}"

    def _fail(self, name: str, reason: Reason, message: str, source: str) -> None:
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
            f"The answer is no XML, it begins with {data[:20]!r}; try again later",
        )


def _check_entries(path: Path, ensembl_id: str) -> None:
    """Check that a file is whole and about the gene it was asked for."""
    try:
        genes = {entry.name.ensembl_id for entry in read_entries(path, tissues=NO_TISSUE)}
    except CatalogError as error:
        raise ImageError(Reason.BAD_ANNOTATION, str(error)) from error
    if ensembl_id not in genes:
        raise ImageError(
            Reason.BAD_ANNOTATION,
            f"The XML of {ensembl_id} is about {', '.join(sorted(genes)) or 'no gene'} instead",
        )
