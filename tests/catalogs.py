"""Mirrors and catalogs for the tests."""

from __future__ import annotations

from pathlib import Path

from hpa_server import antibody_xml, gene_xml

from cacl.atlas.catalog import CatalogSummary, build_catalog
from cacl.atlas.options import LabelOptions, SourceOptions
from cacl.records import AnnotationRow, FailureRow, ImageRow
from cacl.tables import read_csv, read_parquet

SI, ANPEP = "ENSG00000090402", "ENSG00000166825"
DUODENUM = frozenset(("duodenum",))
TABLE = "download/normal_tissue.tsv"
HEADER = "Gene\tGene name\tTissue\tCell type\tLevel\tReliability"


def image(number: int, stem: str = "1_A_7_2") -> str:
    return f"https://images.proteinatlas.org/{number}/{stem}.jpg"


def said(cell_type: str, staining: str, location: str = "") -> AnnotationRow:
    """What the atlas says of a gene in one cell type of the duodenum."""
    return AnnotationRow(
        antibody_id="",
        ensembl_id=SI,
        gene="SI",
        tissue="duodenum",
        cell_type=cell_type,
        staining=staining,
        intensity="",
        quantity="",
        location=location,
        reliability="",
    )


class Built:
    """A catalog that was built, with its tables read back."""

    def __init__(self, out: Path, summary: CatalogSummary) -> None:
        self.summary = summary
        self.images: list[ImageRow] = read_parquet(out / "images.parquet", ImageRow)
        self.annotations: list[AnnotationRow] = read_parquet(
            out / "annotations.parquet", AnnotationRow
        )
        failures = read_csv(out / "failures.csv", FailureRow)
        self.failures = list(
            zip(failures["image_id"], failures["reason"], failures["message"], strict=True)
        )

    def reasons(self) -> list[str]:
        return [reason for _, reason, _ in self.failures]


def build(place: Path, out: Path, *, shards: int = 2, **options: object) -> Built:
    values: dict[str, object] = {"kind": "mirror", "mirror": place}
    source = SourceOptions(**(values | options))  # type: ignore[arg-type]
    summary = build_catalog(out, out / "failures.csv", source, LabelOptions(), shards=shards)
    return Built(out, summary)


def mirror_of(tmp_path: Path, *files: str, table: str = "") -> Path:
    root = tmp_path / "host"
    root.mkdir(exist_ok=True)
    for number, text in enumerate(files):
        found = text.partition('identifier id="')[2].partition('"')[0]
        (root / f"{found or f'ENSG{number:011d}'}.xml").write_text(text, encoding="utf-8")
    if table:
        (root / TABLE).parent.mkdir(exist_ok=True)
        (root / TABLE).write_text(f"{HEADER}\n{table}", encoding="utf-8")
    return root


GOOD = gene_xml(antibodies=(antibody_xml("HPA1", (image(1),)),))
