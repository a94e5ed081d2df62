"""Resolve the configured gene and antibody names against the annotation of a mirror."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from cacl.config import SourceConfig
from cacl.errors import CatalogError, Reason
from cacl.hpa.gene_list import read_gene_list
from cacl.hpa.gene_list_files import ALL, is_list
from cacl.hpa.gene_names import spreadsheet_date, without_version
from cacl.hpa.gene_xml import Entry, GeneName, read_entries, read_name
from cacl.hpa.mirror import LAYOUT, Mirror
from cacl.runtime.resources import raise_if_short
from cacl.tables.schemas import FailureRow

MIN_SIMILARITY = 0.6
MAX_SUGGESTIONS = 50
MAX_COMPARED_CHARACTERS = 100


@dataclass(frozen=True)
class UnknownName:
    """A name that the source does not have, and the most similar known name (or empty)."""

    name: str
    suggestion: str

    def message(self) -> str:
        """Return what is wrong with the name, and what may be meant."""
        date = spreadsheet_date(self.name)
        if date:
            return (
                f"{self.name!r} is a date that a spreadsheet made of a gene's name; write {date}, "
                "and import the column as text"
            )
        hint = f"did you mean {self.suggestion}?" if self.suggestion else "check its spelling"
        return f"The source has no gene or antibody {self.name!r}; {hint}"


@dataclass(frozen=True)
class ResolvedGenes:
    """Genes sorted by Ensembl id, names that were not found, and files that cannot be read."""

    entries: list[Entry]
    unknown_names: list[UnknownName]
    failures: list[FailureRow]


def expand_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return gene names, with the names in list files; empty for "all".

    A name with a `/`, with the ending of a list, or of a file that exists is a list; see
    `read_gene_list`. Versions of Ensembl ids are removed.

    Raises
    ------
    ConfigError
        A name is the path of a list that does not exist, cannot be read, or is empty.
    """
    expanded: list[str] = []
    for name in (raw_name.strip() for raw_name in names):
        if name.lower() == ALL:
            return ()
        if is_list(name):
            expanded += read_gene_list(Path(name))
        elif name:
            expanded.append(without_version(name))
    return tuple({name.casefold(): name for name in reversed(expanded)}.values())[::-1]


def resolve_genes(mirror: Mirror, source: SourceConfig, tissues: frozenset[str]) -> ResolvedGenes:
    """Return the configured genes of a mirror with their annotation.

    The files of single genes have priority over the file of all genes. A symbol or Ensembl id has
    priority over an equal synonym of another gene. A file that cannot be read becomes a failure,
    and the other files are read.

    Parameters
    ----------
    mirror
        Folder with the layout of the host.
    source
        Names of genes and antibodies.
    tissues
        Lower-case names of the tissues to read; empty for all.

    Raises
    ------
    CatalogError
        The mirror has no annotation.
    ConfigError
        A gene list cannot be read.
    """
    names = expand_names(source.genes)
    files, bulk = mirror.gene_files(), mirror.bulk_xml()
    if not files and bulk is None:
        raise CatalogError(
            f"The mirror {mirror.root} has no annotation; a mirror has the layout {LAYOUT}"
        )
    search = _Search(names=names, antibodies=source.antibodies, tissues=tissues)
    files_by_name = {f"{name.upper()}.xml" for name in names}
    if files_by_name and files_by_name <= {path.name for path in files}:
        files = [path for path in files if path.name in files_by_name]
    for path in files:
        search.read_gene_file(path)
    if bulk is not None and not search.is_complete():
        search.read_bulk_file(bulk)
    return search.result()


@dataclass
class _Search:
    """The configured names, and the genes that match them while the files are read."""

    names: tuple[str, ...]
    antibodies: tuple[str, ...]
    tissues: frozenset[str]
    entries: dict[str, Entry] = field(default_factory=dict)
    known_names: set[str] = field(default_factory=set)
    known_antibodies: set[str] = field(default_factory=set)
    failures: list[FailureRow] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._wanted_names = {name.lower() for name in self.names}
        self._wanted_antibodies = {antibody.lower() for antibody in self.antibodies}
        self._keys_by_name: dict[str, set[str]] = {}
        self._keys_by_synonym: dict[str, set[str]] = {}

    def read_gene_file(self, path: Path) -> None:
        """Read the file of a gene if the gene is wanted."""
        try:
            if self._match(read_name(path)):
                for entry in list(read_entries(path, tissues=self.tissues)):
                    self._add(entry)
        except CatalogError as error:
            raise_if_short(error, f"catalog: {path}")
            self._add_failure(path, path.stem, error)

    def read_bulk_file(self, path: Path) -> None:
        """Read the wanted genes of a file of all genes, except those that were read before."""
        try:
            for entry in read_entries(path, tissues=self.tissues):
                if self._match(entry.name):
                    self._add(entry)
        except CatalogError as error:
            raise_if_short(error, f"catalog: {path}")
            self._add_failure(path, path.name, error)

    def is_complete(self) -> bool:
        """Return whether every configured name was found, so that no other file is needed."""
        found = self._keys_by_name.keys() | self._keys_by_synonym.keys()
        return (
            bool(self._wanted_names or self._wanted_antibodies)
            and found >= self._wanted_names
            and self._wanted_antibodies <= {name.lower() for name in self.known_antibodies}
        )

    def result(self) -> ResolvedGenes:
        """Return the genes, sorted; a synonym counts only if no gene has the name as its symbol."""
        keys: set[str] = set() if self._wanted_names else set(self.entries)
        missing: list[str] = []
        for name in self.names:
            matches = self._keys_by_name.get(name.lower()) or self._keys_by_synonym.get(
                name.lower()
            )
            if matches:
                keys |= matches
            else:
                missing.append(name)
        unknown = with_suggestions(missing, self.known_names)
        unknown += unknown_names(self.antibodies, self.known_antibodies)
        entries = [self._with_wanted_antibodies(self.entries[key]) for key in sorted(keys)]
        return ResolvedGenes(
            entries=[entry for entry in entries if entry.antibodies or not self.antibodies],
            unknown_names=unknown,
            failures=self.failures,
        )

    def _match(self, gene: GeneName) -> bool:
        """Record the names of a gene; return whether the gene is wanted."""
        names = {gene.ensembl_id.lower(), gene.gene.lower()} - {""}
        synonyms = {synonym.lower() for synonym in gene.synonyms} - names
        self.known_names |= {gene.ensembl_id, gene.gene, *gene.synonyms} - {""}
        for aliases, index in ((names, self._keys_by_name), (synonyms, self._keys_by_synonym)):
            for alias in aliases & self._wanted_names:
                index.setdefault(alias, set()).add(_key(gene))
        return not self._wanted_names or bool((names | synonyms) & self._wanted_names)

    def _add(self, entry: Entry) -> None:
        self.entries.setdefault(_key(entry.name), entry)
        self.known_antibodies |= {antibody.antibody_id for antibody in entry.antibodies}

    def _with_wanted_antibodies(self, entry: Entry) -> Entry:
        if not self._wanted_antibodies:
            return entry
        antibodies = tuple(
            antibody
            for antibody in entry.antibodies
            if antibody.antibody_id.lower() in self._wanted_antibodies
        )
        return replace(entry, antibodies=antibodies)

    def _add_failure(self, path: Path, name: str, error: CatalogError) -> None:
        self.failures.append(
            FailureRow(
                image_id=name,
                stage="catalog",
                reason=str(Reason.BAD_ANNOTATION),
                message=str(error),
                source=str(path),
            )
        )


def unknown_names(names: Iterable[str], known: Iterable[str]) -> list[UnknownName]:
    """Return the names that are not known in any case; see `with_suggestions`."""
    known = set(known)
    in_lower_case = {name.lower() for name in known}
    return with_suggestions((name for name in names if name.lower() not in in_lower_case), known)


def with_suggestions(names: Iterable[str], known: Iterable[str]) -> list[UnknownName]:
    """Return unknown names with the most similar known names.

    A comparison with 20,000 names takes a tenth of a second, so only the first 50 names get one.
    """
    by_lower_case = {name.lower(): name for name in sorted(known)}
    unknown: list[UnknownName] = []
    for name in names:
        suggestion = ""
        if len(unknown) < MAX_SUGGESTIONS:
            matches = difflib.get_close_matches(
                name.lower()[:MAX_COMPARED_CHARACTERS], by_lower_case, n=1, cutoff=MIN_SIMILARITY
            )
            suggestion = by_lower_case[matches[0]] if matches else ""
        unknown.append(UnknownName(name, suggestion))
    return unknown


def _key(name: GeneName) -> str:
    return name.ensembl_id or name.gene
