"""Find the genes that were asked for, and say which ones are not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from cacl.errors import CatalogError, ConfigError, Reason
from cacl.hpa.gene_xml import Entry, GeneName, read_entries, read_name
from cacl.hpa.mirror import LAYOUT, Mirror
from cacl.hpa.options import SourceOptions
from cacl.tables.schemas import FailureRow

ALL = "all"
LIST_SUFFIXES = (".txt", ".csv", ".tsv", ".list")
NEAR_ENOUGH = 0.6


@dataclass(frozen=True)
class Missing:
    """A name that the source does not have, and the nearest one that it has (or empty)."""

    name: str
    nearest: str


@dataclass(frozen=True)
class ResolvedGenes:
    """The genes that were found, by Ensembl id, what was not found, what could not be read."""

    entries: list[Entry]
    missing: list[Missing]
    failures: list[FailureRow]


def expand_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return gene names with files of them read in; empty for "all".

    A file has one name a line; what follows a `#`, a comma or a tab is left out.

    Raises
    ------
    ConfigError
        A name is the path of a list that does not exist, cannot be read, or is empty.
    """
    expanded: list[str] = []
    for name in (given.strip() for given in names):
        path = Path(name)
        if name.lower() == ALL:
            return ()
        if "/" in name or path.suffix.lower() in LIST_SUFFIXES or path.is_file():
            expanded += _listed(path)
        elif name:
            expanded.append(name)
    return tuple(dict.fromkeys(expanded))


def gather(mirror: Mirror, source: SourceOptions, tissues: frozenset[str]) -> ResolvedGenes:
    """Return the genes of a mirror that were asked for, with their annotation.

    Single genes' files go before the file of all genes. A symbol or Ensembl id goes before an
    equal synonym of another gene. A file that cannot be read becomes a failure, the rest is read.

    Parameters
    ----------
    mirror
        Folder laid out as the host is.
    source
        Names the genes and antibodies.
    tissues
        Lower-case names of the tissues to read; empty for all.

    Raises
    ------
    CatalogError
        The mirror has no annotation at all.
    ConfigError
        A list of genes cannot be read.
    """
    names = expand_names(source.genes)
    files, bulk = mirror.gene_files(), mirror.bulk_xml()
    if not files and bulk is None:
        raise CatalogError(
            f"The mirror {mirror.root} has no annotation; a mirror is laid out as {LAYOUT}"
        )
    search = _Search(names=names, antibodies=source.antibodies, tissues=tissues)
    direct = {f"{name.upper()}.xml" for name in names}
    if direct and direct <= {path.name for path in files}:
        files = [path for path in files if path.name in direct]
    for path in files:
        search.read_gene(path)
    if bulk is not None and not search.satisfied():
        search.read_all(bulk)
    return search.result()


@dataclass
class _Search:
    """What is wanted, and what was met while the source is read."""

    names: tuple[str, ...]
    antibodies: tuple[str, ...]
    tissues: frozenset[str]
    entries: dict[str, Entry] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    known_antibodies: set[str] = field(default_factory=set)
    failures: list[FailureRow] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._wanted = {name.lower() for name in self.names}
        self._named: dict[str, set[str]] = {}
        self._nicknamed: dict[str, set[str]] = {}

    def read_gene(self, path: Path) -> None:
        """Read a gene's file if its name is wanted."""
        try:
            if self._note(read_name(path)):
                for entry in list(read_entries(path, tissues=self.tissues)):
                    self._keep(entry)
        except CatalogError as error:
            self._fail(path, path.stem, error)

    def read_all(self, path: Path) -> None:
        """Read the wanted genes of a file of all genes that were not read yet."""
        try:
            for entry in read_entries(path, tissues=self.tissues):
                if self._note(entry.name):
                    self._keep(entry)
        except CatalogError as error:
            self._fail(path, path.name, error)

    def satisfied(self) -> bool:
        """Return whether every name was met, so that there is no need to read on."""
        met = self._named.keys() | self._nicknamed.keys()
        wanted_antibodies = {antibody.lower() for antibody in self.antibodies}
        return (
            bool(self._wanted or wanted_antibodies)
            and met >= self._wanted
            and wanted_antibodies <= {antibody.lower() for antibody in self.known_antibodies}
        )

    def result(self) -> ResolvedGenes:
        """Return the genes, sorted, without those that only share a synonym with a symbol."""
        kept: set[str] = set() if self._wanted else set(self.entries)
        missing: list[Missing] = []
        for name in self.names:
            met = self._named.get(name.lower()) or self._nicknamed.get(name.lower())
            if met:
                kept |= met
            else:
                missing.append(Missing(name, nearest(name, self.known)))
        spelling = {antibody.lower() for antibody in self.known_antibodies}
        missing += [
            Missing(antibody, nearest(antibody, self.known_antibodies))
            for antibody in self.antibodies
            if antibody.lower() not in spelling
        ]
        entries = [self._with_wanted_antibodies(self.entries[key]) for key in sorted(kept)]
        return ResolvedGenes(
            entries=[entry for entry in entries if entry.antibodies or not self.antibodies],
            missing=missing,
            failures=self.failures,
        )

    def _note(self, name: GeneName) -> bool:
        """Remember a gene's names; return whether it is wanted."""
        strong = {name.ensembl_id.lower(), name.gene.lower()} - {""}
        weak = {synonym.lower() for synonym in name.synonyms} - strong
        self.known |= {name.ensembl_id, name.gene, *name.synonyms} - {""}
        for names, index in ((strong, self._named), (weak, self._nicknamed)):
            for one in names & self._wanted:
                index.setdefault(one, set()).add(_key(name))
        return not self._wanted or bool((strong | weak) & self._wanted)

    def _keep(self, entry: Entry) -> None:
        self.entries.setdefault(_key(entry.name), entry)
        self.known_antibodies |= {antibody.antibody_id for antibody in entry.antibodies}

    def _with_wanted_antibodies(self, entry: Entry) -> Entry:
        wanted = {antibody.lower() for antibody in self.antibodies}
        kept = tuple(one for one in entry.antibodies if one.antibody_id.lower() in wanted)
        return replace(entry, antibodies=kept) if wanted else entry

    def _fail(self, path: Path, name: str, error: CatalogError) -> None:
        self.failures.append(
            FailureRow(
                image_id=name,
                stage="catalog",
                reason=str(Reason.BAD_ANNOTATION),
                message=str(error),
                source=str(path),
            )
        )


def _key(name: GeneName) -> str:
    return name.ensembl_id or name.gene


def _listed(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The list of genes {path} cannot be read ({error}); expected a text file with one "
            "symbol or Ensembl id a line"
        ) from error
    lines = (line.replace("\t", ",").partition("#")[0].split(",")[0] for line in text.splitlines())
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise ConfigError(f"The list of genes {path} is empty; write one symbol or id a line")
    return names


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that is most like `name`, in any case; empty if none is."""
    spelling = {one.lower(): one for one in sorted(known)}
    near = difflib.get_close_matches(name.lower(), spelling, n=1, cutoff=NEAR_ENOUGH)
    return spelling[near[0]] if near else ""
