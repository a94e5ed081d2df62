"""A folder laid out as the Human Protein Atlas's host is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cacl.errors import CatalogError, ImageError, Reason

BULK_TABLES = (
    "download/tsv/normal_ihc_data.tsv",
    "download/normal_ihc_data.tsv",
    "download/normal_tissue.tsv",
)
PACKED = (".zip", ".gz", "")
BULK_XML = "download/proteinatlas.xml"
LAYOUT = "ENSG*.xml, download/normal_tissue.tsv.zip and images/<number>/<name>.jpg"


@dataclass(frozen=True)
class Mirror:
    """The folder, and where things lie in it.

    Raises
    ------
    CatalogError
        There is no such folder.
    """

    root: Path

    def __post_init__(self) -> None:
        if not self.root.is_dir():
            raise CatalogError(
                f"The mirror {self.root} is no folder; set source.mirror to one with {LAYOUT}"
            )

    def gene_files(self) -> list[Path]:
        """Return the XML files of single genes, by name."""
        return sorted(self.root.glob("ENSG*.xml"))

    def gene_file(self, ensembl_id: str) -> Path:
        """Return where the XML of a gene lies, whether or not it does."""
        return self.root / f"{ensembl_id}.xml"

    def bulk_xml(self) -> Path | None:
        """Return the XML of all genes, if the mirror has it."""
        return self._first([f"{BULK_XML}{packed}" for packed in (".gz", "")])

    def bulk_table(self) -> Path | None:
        """Return the table of gene-level annotation, if the mirror has it."""
        return self._first([f"{name}{packed}" for name in BULK_TABLES for packed in PACKED])

    def image(self, place: PurePosixPath) -> Path:
        """Return an image's file.

        Raises
        ------
        ImageError
            `NOT_FOUND`: there is no such file.
        """
        path = self.root / place
        if not path.is_file():
            raise ImageError(
                Reason.NOT_FOUND, f"The mirror has no file {path}; copy it there or drop its gene"
            )
        return path

    def _first(self, names: list[str]) -> Path | None:
        return next((self.root / name for name in names if (self.root / name).is_file()), None)
