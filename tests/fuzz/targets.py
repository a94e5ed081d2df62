"""The table of fuzz targets: how a case is made, and the public function that reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import images, markup, products, readers, tables, truth
from tests.fuzz.genome import Genome
from tests.fuzz.products import Files

Reader = Callable[[Path], object]


@dataclass(frozen=True)
class Target:
    """One kind of file from outside.

    Parameters
    ----------
    name
        Name on the command line and in the results.
    strategy
        How cases are made, for the table of results.
    make
        Returns the files of a case; those of an empty genome are valid.
    read
        Reads the folder of a case with the function under test, and checks what it returns.
    memory_mb
        Address space that a case may add to the process.
    """

    name: str
    strategy: str
    make: Callable[[Genome], Files]
    read: Reader
    memory_mb: int = 1024


def _file(name: str, make: Callable[[Genome], bytes]) -> Callable[[Genome], Files]:
    return lambda genome: {name: make(genome)}


def _table(
    name: str, header: tuple[str, ...], seeds: tuple[bytes, ...], *delimiters: str
) -> Callable[[Genome], Files]:
    def make(genome: Genome) -> Files:
        return {name: tables.table(genome, header, seeds, delimiters or (",", ";", "\t", "|"))}

    return make


MANIFEST_COLUMNS = (
    "image_path", "antibody_id", "patient_id", "label", "class_labels", "gene", "ensembl_id",
    "tissue", "image_id", "mpp", "core_um", "region", "position",
)  # fmt: skip
MANIFEST = (
    b"image_path,antibody_id,patient_id,label,gene,ensembl_id,tissue,image_id,mpp,region,position\n"
    b"a.jpg,HPA000001,1,positive,SI,ENSG00000090402,duodenum,,0.5,,\n"
    b"s.svs,HPA000001,1,,SI,,,,,25x24+100+200,A1\n"
    b'b/c.tif,HPA000002,2,,"S,I",,,other,,,\n'
)
OVERRIDES = b"image_id,row,col,label\nHPA000001/a,0,3,positive\nHPA000001/b,,,negative\n"
NORMAL_TISSUE = (
    b"Gene\tGene name\tTissue\tCell type\tLevel\tReliability\n"
    b"ENSG00000090402\tSI\tduodenum\tenterocytes - microvilli\tHigh\tEnhanced\n"
    b"ENSG00000166825\tANPEP\tDuodenum\tglandular cells\tNot detected\tApproved\n"
)
GENE_TABLE = (
    b"Gene\tGene synonym\tEnsembl\tAntibody\n"
    b"SI\tS1, S2\tENSG00000090402\tHPA011897, CAB000001: RRID\n"
)
ARRAY_MAP = b"position,slide,patient_id,label,gene\nA1,,p1,positive,SI\nb-12,x.svs,p2,,\n"
GENE_LIST = (b"SI\nANPEP # comment\nENSG00000090402\n", b"ALPI,x\r\nSI\ty\r\n")
IMAGE_MB = 1536

TARGETS = (
    Target(
        "gene_xml",
        "valid entries edited; elements in any order; gzip",
        _file("gene.xml", markup.gene),
        readers.gene_xml,
    ),
    Target(
        "annotation_table",
        "valid TSV edited; cells in any form; gzip, zip",
        readers.packed(
            "table.tsv",
            ("Gene", "Gene name", "Tissue", "Cell type", "Level", "Reliability"),
            NORMAL_TISSUE,
        ),
        readers.annotation_table,
    ),
    Target(
        "gene_table",
        "valid TSV edited; cells in any form; gzip, zip",
        readers.packed("table.tsv", ("Gene", "Gene synonym", "Ensembl", "Antibody"), GENE_TABLE),
        readers.gene_table,
    ),
    Target(
        "manifest",
        "valid CSV edited; cells in any form",
        _table("manifest.csv", MANIFEST_COLUMNS, (MANIFEST,)),
        readers.manifest,
    ),
    Target(
        "gene_list",
        "valid list edited; names with any separator",
        lambda genome: {"genes.txt": tables.names(genome, GENE_LIST)},
        readers.gene_list,
    ),
    Target(
        "overrides",
        "valid CSV edited; cells in any form",
        _table("overrides.csv", ("image_id", "row", "col", "label"), (OVERRIDES,)),
        readers.overrides,
    ),
    Target(
        "configuration",
        "examples edited; YAML words in any order; keys with any value",
        readers.configuration_case,
        readers.configuration,
    ),
    Target(
        "store",
        "zarr.json and shards of a store edited, exchanged, removed",
        readers.store_case,
        readers.store,
    ),
    Target(
        "checkpoint",
        "model.json, safetensors and single tensors edited, exchanged, removed",
        readers.checkpoint_case,
        readers.checkpoint,
    ),
    Target(
        "reused_model",
        "files of a model of another run edited, exchanged, removed",
        readers.reused_model_case,
        readers.reused_model,
    ),
    Target(
        "training_state",
        "safetensors, its header, tensors and progress edited",
        readers.training_case,
        readers.training_state,
    ),
    Target(
        "parquet",
        "valid table edited; other columns and types",
        _file("table.parquet", products.parquet),
        readers.parquet,
    ),
    Target(
        "csv",
        "valid CSV edited; cells in any form",
        _table(
            "table.csv",
            ("image_id", "stage", "reason", "message", "source"),
            (b'image_id,stage,reason,message,source\na/b,tile,damaged,"x,y",z\n',),
        ),
        readers.csv,
    ),
    Target(
        "provenance",
        "JSON edited, nested, repeated",
        lambda genome: {"a.json": products.provenance(genome), "a.jpg": b"jpeg"},
        readers.provenance,
    ),
    Target(
        "http_image",
        "status lines, headers, framing, bodies, bombs",
        readers.responses,
        readers.http_image,
    ),
    Target(
        "http_file",
        "the same, into a file with a partial download",
        readers.responses,
        readers.http_file,
    ),
    Target(
        "jpeg", "bytes and segments edited", _file("core.jpg", images.jpeg), readers.image, IMAGE_MB
    ),
    Target(
        "png",
        "bytes and chunks (checksums fit) edited",
        _file("core.png", images.png),
        readers.image,
        IMAGE_MB,
    ),
    Target(
        "tiff",
        "bytes and tags edited; 18 layouts",
        _file("core.tif", images.tiff),
        readers.image,
        IMAGE_MB,
    ),
    Target(
        "slide",
        "bytes and tags of pyramids edited",
        _file("slide.svs", images.slide),
        readers.image,
        IMAGE_MB,
    ),
    Target(
        "truth_geojson",
        "valid GeoJSON edited; rings of any numbers",
        _file("drawn.geojson", truth.geojson),
        readers.truth_geojson,
    ),
    Target(
        "truth_png",
        "bytes and chunks (checksums fit) edited",
        _file("mask.png", images.png),
        readers.truth_png,
        IMAGE_MB,
    ),
    Target(
        "array_grid",
        "valid GeoJSON of a grid edited",
        _file("grid.geojson", truth.grid),
        readers.array_grid,
    ),
    Target(
        "array_map",
        "valid CSV edited; cells in any form",
        _table("array.csv", ("position", "slide", "patient_id", "label", "gene"), (ARRAY_MAP,)),
        readers.array_map,
    ),
    Target(
        "any_image",
        "other formats, texts, halves of two files",
        _file("core.jpg", images.other),
        readers.image,
        IMAGE_MB,
    ),
)
BY_NAME = {target.name: target for target in TARGETS}
