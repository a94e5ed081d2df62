"""Look up Ensembl ids by symbol, synonym or antibody in the tables of the host."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cacl.errors import CatalogError
from cacl.hpa.annotation_table import read_annotation_table
from cacl.hpa.gene_xml import ENSEMBL_ID
from cacl.hpa.table_rows import read_table_rows

NO_INDEX = (
    "{host} serves no table of gene names, so names cannot be looked up; name genes by Ensembl id, "
    "such as ENSG00000090402"
)
ENSEMBL, SYMBOL, SYNONYM, ANTIBODY = "ensembl", "gene", "gene synonym", "antibody"


@dataclass
class GeneIndex:
    """Ensembl ids by symbol or id, by synonym, and by antibody; all keys are in lower case."""

    by_name: dict[str, set[str]] = field(default_factory=dict)
    by_synonym: dict[str, set[str]] = field(default_factory=dict)
    by_antibody: dict[str, set[str]] = field(default_factory=dict)
    known_names: set[str] = field(default_factory=set)
    known_antibodies: set[str] = field(default_factory=set)

    def genes(self, name: str) -> set[str]:
        """Return the Ensembl ids of a symbol or id, else of a synonym; any valid id is accepted."""
        ensembl_ids = self.by_name.get(name.lower()) or self.by_synonym.get(name.lower())
        is_id = ENSEMBL_ID.fullmatch(name.upper())
        return ensembl_ids or ({name.upper()} if is_id else set())

    def add(
        self, ensembl_id: str, gene: str, synonyms: Iterable[str], antibodies: Iterable[str]
    ) -> None:
        """Add a gene; a gene without a valid Ensembl id is skipped."""
        if not ENSEMBL_ID.fullmatch(ensembl_id):
            return
        self.known_names |= {ensembl_id, gene} - {""}
        self.known_antibodies |= set(antibodies)
        for names, index in (
            ((ensembl_id, gene), self.by_name),
            (synonyms, self.by_synonym),
            (antibodies, self.by_antibody),
        ):
            for name in names:
                index.setdefault(name.lower(), set()).add(ensembl_id)

    def add_annotation_table(self, path: Path) -> None:
        """Add ids and symbols of the annotation table; see `read_annotation_table` for errors."""
        for row in read_annotation_table(path):
            self.add(row.ensembl_id, row.gene, (), ())

    def add_gene_table(self, path: Path) -> None:
        """Add the genes of the host's `proteinatlas.tsv`, with synonyms and antibodies.

        Raises
        ------
        CatalogError
            The table cannot be read or lacks the columns Gene and Ensembl.
        """
        rows = read_table_rows(path)
        header = [name.lower() for name in next(rows)]
        if not {ENSEMBL, SYMBOL} <= set(header):
            raise CatalogError(
                f"The table {path} has no columns Gene and Ensembl; name genes by Ensembl id"
            )
        for fields in rows:
            values = dict(zip(header, fields, strict=True))
            self.add(
                values[ENSEMBL],
                values[SYMBOL],
                tuple(_split_list(values.get(SYNONYM, ""))),
                tuple(_split_list(values.get(ANTIBODY, ""))),
            )


def _split_list(text: str) -> Iterator[str]:
    """Yield the names of a list such as `HPA001, CAB002: RRID`."""
    for item in text.split(","):
        name = item.split(":")[0].strip()
        if name:
            yield name
