"""A mirror: a folder with the layout of the host of the Human Protein Atlas (HPA)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cacl.errors import CatalogError, ImageError, Reason
from cacl.runtime.source_files import unreadable

BULK_TABLES = (
    "download/tsv/normal_ihc_data.tsv",
    "download/normal_ihc_data.tsv",
    "download/normal_tissue.tsv",
)
COMPRESSED_SUFFIXES = (".zip", ".gz", "")
BULK_XML = "download/proteinatlas.xml"
LAYOUT = "ENSG*.xml, download/normal_tissue.tsv.zip and images/<number>/<name>.jpg"


@dataclass(frozen=True)
class Mirror:
    """The paths of a mirror.

    Parameters
    ----------
    root
        Folder of the mirror.

    Raises
    ------
    CatalogError
        The folder does not exist.
    """

    root: Path

    def __post_init__(self) -> None:
        if not self.root.is_dir():
            raise CatalogError(
                f"The mirror {self.root} is not a folder; set source.mirror to one with {LAYOUT}"
            )

    def gene_files(self) -> list[Path]:
        """Return the XML files of single genes, sorted by name."""
        return sorted(self.root.glob("ENSG*.xml"))

    def gene_file(self, ensembl_id: str) -> Path:
        """Return the path of the XML of a gene, which may not exist."""
        return self.root / f"{ensembl_id}.xml"

    def bulk_xml(self) -> Path | None:
        """Return the XML of all genes, or None if the mirror lacks it."""
        return self._first_existing([f"{BULK_XML}{suffix}" for suffix in (".gz", "")])

    def bulk_table(self) -> Path | None:
        """Return the table of gene-level annotation, or None if the mirror lacks it."""
        return self._first_existing(
            [f"{name}{suffix}" for name in BULK_TABLES for suffix in COMPRESSED_SUFFIXES]
        )

    def annotation_files(self) -> list[Path]:
        """Return the files that a catalog is read from, sorted by name within each kind."""
        bulk = [self.bulk_table(), self.bulk_xml()]
        return [*(path for path in bulk if path is not None), *self.gene_files()]

    def image(self, relative_path: PurePosixPath) -> Path:
        """Return the path of an image.

        Parameters
        ----------
        relative_path
            Path below the root, as `check_image_url` returns it.

        Raises
        ------
        ImageError
            `NOT_FOUND`: the file does not exist. `REFUSED`: a folder may not be entered.
        """
        path = self.root / relative_path
        try:
            is_file = path.is_file()
        except OSError as error:
            raise unreadable(path, error) from error
        if not is_file:
            raise ImageError(
                Reason.NOT_FOUND, f"The mirror has no file {path}; copy it there or remove its gene"
            )
        return path

    def _first_existing(self, names: list[str]) -> Path | None:
        return next((self.root / name for name in names if (self.root / name).is_file()), None)
