"""What a table or list of the corpus is, and how it is driven through the command's step."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from cacl import tables
from cacl.config import LabelsConfig, SourceConfig, load
from cacl.errors import CaclError
from cacl.steps.catalog import catalog
from cacl.steps.parameters import SelectionFiles
from cacl.steps.select import select
from cacl.tables.schemas import AnnotationRow, FailureRow, ImageRow, TileRow, TileStatRow
from tests.fixtures.catalogs import HEADER, image_url, make_mirror
from tests.fixtures.hpa_server import antibody_xml, gene_xml
from tests.fixtures.model_atlas import image_row

MAX_SECONDS = 20.0
"""Limit of CPU time of a case; most take milliseconds."""

MAX_MIB = 400.0
"""Limit of memory that Python allocates in a case."""

GENES = {"ENSG00000134057": "CCNB1", "ENSG00000001167": "NFYA", "ENSG00000090402": "SI"}
MANIFEST_HEADER = "image_path,antibody_id,patient_id"


class Kind(StrEnum):
    """The input that a case is."""

    MANIFEST = "manifest"
    GENES = "gene list"
    OVERRIDES = "overrides"
    ANNOTATION = "annotation table"
    CONFIG = "configuration"


class End(StrEnum):
    """How a case ends."""

    VALUE = "right value"
    ROW = "failure row"
    SENTENCE = "sentence"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A table or list, and how it ends.

    Parameters
    ----------
    name
        The tool that writes such a file, and what is special about it.
    kind
        The input.
    build
        Content of the file, or a function that returns it.
    values
        Measured values, by name, that the products must have.
    failures
        Reasons of the rows of `failures.csv` by their names.
    sentence
        Parts of the error that ends the step, the remedy among them; empty if it succeeds.
    suffix
        Ending of the file's name.
    """

    name: str
    kind: Kind
    build: str | bytes | Callable[[], bytes]
    values: Mapping[str, Any] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    sentence: tuple[str, ...] = ()
    suffix: str = ".csv"

    def content(self) -> bytes:
        """Return the bytes of the file."""
        made = self.build() if callable(self.build) else self.build
        return made.encode() if isinstance(made, str) else made

    @property
    def end(self) -> End:
        """How the case is to end."""
        if self.sentence:
            return End.SENTENCE
        return End.ROW if self.failures else End.VALUE


@dataclass(frozen=True)
class Outcome:
    """How a case ended: values, failures, the error's text, CPU time and memory."""

    values: dict[str, Any]
    failures: dict[str, str]
    sentence: str
    seconds: float
    mib: float


def run_case(case: Case, folder: Path) -> Outcome:
    """Write the file of a case and run the step that reads it; measure time and memory."""
    path = folder / f"input{case.suffix}"
    path.write_bytes(case.content())
    values: dict[str, Any] = {}
    sentence = ""
    tracemalloc.start()
    start = time.process_time()
    try:
        values = DRIVERS[case.kind](path, folder)
    except CaclError as error:
        sentence = str(error)
    seconds = time.process_time() - start
    mib = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return Outcome(values, _failures(folder), sentence, seconds, mib)


def _failures(folder: Path) -> dict[str, str]:
    path = folder / "failures.csv"
    if not path.exists():
        return {}
    frame = tables.read_csv(path, FailureRow)
    return dict(zip(map(str, frame["image_id"]), map(str, frame["reason"]), strict=True))


def _catalog(folder: Path, source: SourceConfig, labels: LabelsConfig) -> list[ImageRow]:
    catalog(folder / "catalog", folder / "failures.csv", source, labels, shards=1)
    return tables.read_parquet(folder / "catalog" / "images.parquet", ImageRow)


def _manifest(path: Path, folder: Path) -> dict[str, Any]:
    source = SourceConfig(kind="manifest", manifest=path)
    rows = _catalog(folder, source, LabelsConfig())
    names = ("antibody_id", "patient_id", "gene", "tissue", "label", "mpp", "ensembl_id")
    values: dict[str, Any] = {name: [getattr(row, name) for row in rows] for name in names}
    values["image_id"] = [row.image_id for row in rows]
    values["path"] = [Path(row.path).relative_to(folder).as_posix() for row in rows]
    return values


def make_host(folder: Path, table: str = "") -> Path:
    """Write a mirror of three genes with one antibody each, and a table of annotation."""
    xml = [
        gene_xml(ensembl_id, gene, antibodies=(antibody_xml(f"HPA{n:06d}", (image_url(n),)),))
        for n, (ensembl_id, gene) in enumerate(GENES.items(), 1)
    ]
    return make_mirror(folder, *xml, table=table)


def _genes(path: Path, folder: Path) -> dict[str, Any]:
    source = SourceConfig(kind="mirror", mirror=make_host(folder), genes=(str(path),))
    return {"genes": sorted(row.gene for row in _catalog(folder, source, LabelsConfig()))}


def _annotation(path: Path, folder: Path) -> dict[str, Any]:
    host = make_host(folder, table="x")
    (host / "download" / "normal_tissue.tsv").write_bytes(path.read_bytes())
    rows = _catalog(folder, SourceConfig(kind="mirror", mirror=host), LabelsConfig())
    annotations = tables.read_parquet(folder / "catalog" / "annotations.parquet", AnnotationRow)
    levels = {row.gene: row.staining for row in annotations if not row.antibody_id}
    return {"labels": {row.gene: row.label for row in rows}, "levels": levels}


def _overrides(path: Path, folder: Path) -> dict[str, Any]:
    """Read the same file by `cacl catalog` and by `cacl select`."""
    manifest = folder / "manifest.csv"
    manifest.write_text(f"{MANIFEST_HEADER},label\na.jpg,A,p1,positive\nb.jpg,B,p2,negative\n")
    source = SourceConfig(kind="manifest", manifest=manifest)
    rows = _catalog(folder, source, LabelsConfig(overrides=path))
    images, stats, out = (folder / f"{name}.parquet" for name in ("images", "stats", "selected"))
    tables.write_parquet(
        images, [image_row("A/a", "positive"), image_row("B/b", "negative")], ImageRow
    )
    tiles = [
        TileStatRow(
            image_id=image_id,
            antibody_id=image_id[0],
            row=0,
            col=col,
            tissue_fraction=0.9,
            dab_fraction=0.5,
            digest="",
        )
        for image_id in ("A/a", "B/b")
        for col in range(2)
    ]
    tables.write_parquet(stats, tiles, TileStatRow)
    files = SelectionFiles(images=images, tiles=[stats], store=folder / "atlas.zarr")
    select(files, out, min_tissue_fraction=0.2, overrides=path)
    chosen = tables.read_parquet(out, TileRow)
    return {
        "images": {row.image_id: row.label for row in rows},
        "tiles": {
            f"{row.image_id},{row.row},{row.col}": row.label if row.selected else "left out"
            for row in chosen
            if row.reason == "override"
        },
    }


def _config(path: Path, folder: Path) -> dict[str, Any]:
    config = load([path])
    return {
        "seed": config.seed,
        "shards": config.census.shards,
        "genes": config.source.genes,
        "cell_type": config.labels.cell_type,
    }


DRIVERS: dict[Kind, Callable[[Path, Path], dict[str, Any]]] = {
    Kind.MANIFEST: _manifest,
    Kind.GENES: _genes,
    Kind.OVERRIDES: _overrides,
    Kind.ANNOTATION: _annotation,
    Kind.CONFIG: _config,
}
ANNOTATION_HEADER = HEADER
