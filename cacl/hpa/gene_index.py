"""Look up genes by the names that people use, in the tables that the host serves."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from cacl.errors import CatalogError
from cacl.hpa.annotation_table import open_table, read_bulk, table_lines, unreadable
from cacl.hpa.gene_xml import ENSEMBL_ID

NO_INDEX = (
    "{host} serves no table of gene names, so that names cannot be looked up; name genes by "
    "Ensembl id, such as ENSG00000090402"
)
ENSEMBL, SYMBOL, SYNONYM, ANTIBODY = "ensembl", "gene", "gene synonym", "antibody"


@dataclass
class Index:
    """Ensembl ids by symbol or id, synonym, and antibody, all in lower case."""

    by_name: dict[str, set[str]] = field(default_factory=dict)
    by_synonym: dict[str, set[str]] = field(default_factory=dict)
    by_antibody: dict[str, set[str]] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    known_antibodies: set[str] = field(default_factory=set)

    def genes(self, name: str) -> set[str]:
        """Return the Ensembl ids of a symbol, an id (known or not), or else a synonym."""
        found = self.by_name.get(name.lower()) or self.by_synonym.get(name.lower())
        return found or ({name.upper()} if ENSEMBL_ID.fullmatch(name.upper()) else set())

    def note_bulk(self, path: Path) -> None:
        """Add the ids and symbols of the annotation table; see `read_bulk` for errors."""
        for row in read_bulk(path):
            self.note(row.ensembl_id, row.gene, (), ())

    def note(
        self, ensembl_id: str, gene: str, synonyms: Iterable[str], antibodies: Iterable[str]
    ) -> None:
        """Add one gene; ids that are none are left out."""
        if not ENSEMBL_ID.fullmatch(ensembl_id):
            return
        self.known |= {ensembl_id, gene} - {""}
        self.known_antibodies |= set(antibodies)
        for names, index in (
            ((ensembl_id, gene), self.by_name),
            (synonyms, self.by_synonym),
            (antibodies, self.by_antibody),
        ):
            for name in names:
                index.setdefault(name.lower(), set()).add(ensembl_id)


def read_index(path: Path, index: Index) -> None:
    """Add the genes of the host's `proteinatlas.tsv`, with synonyms and antibodies.

    Raises
    ------
    CatalogError
        The table cannot be read or lacks the columns Gene and Ensembl.
    """
    with ExitStack() as stack, unreadable(path):
        lines = csv.reader(table_lines(open_table(path, stack), path), delimiter="\t")
        header = [name.strip().lower() for name in next(lines, [])]
        if not {ENSEMBL, SYMBOL} <= set(header):
            raise CatalogError(
                f"The table {path} has no columns Gene and Ensembl; name genes by Ensembl id"
            )
        for fields in lines:
            values = dict(zip(header, fields, strict=False))
            index.note(
                values.get(ENSEMBL, ""),
                values.get(SYMBOL, ""),
                tuple(_listed(values.get(SYNONYM, ""))),
                tuple(_listed(values.get(ANTIBODY, ""))),
            )


def _listed(text: str) -> Iterator[str]:
    """Yield the names of a list such as `HPA001, CAB002: RRID`."""
    for part in text.split(","):
        name = part.split(":")[0].strip()
        if name:
            yield name
