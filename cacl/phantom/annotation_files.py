"""Annotation files of the phantom: gene XML and the bulk table, in the form of HPA release 23."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lxml import etree

from cacl.phantom.staining import Annotation, Staining

RELEASE = "23"
HOST = "https://images.proteinatlas.org"
RELIABILITY = "Approved"
TISSUE = "Duodenum"
COLUMNS = ("Gene", "Gene name", "Tissue", "Cell type", "Level", "Reliability")


@dataclass(frozen=True, kw_only=True)
class Patient:
    """One of the patients, whose tissue is stained with every antibody.

    `coverage` is the patient's factor of the stained fraction of the villus surface, 0 to 1.
    """

    patient_id: str
    sex: str
    age: int
    position: str
    coverage: float


@dataclass(frozen=True, kw_only=True)
class Core:
    """One core: tissue of one patient that is stained with one antibody."""

    stem: str
    patient: Patient


@dataclass(frozen=True, kw_only=True)
class Antibody:
    """One antibody and its gene."""

    number: int
    antibody_id: str
    ensembl_id: str
    gene: str
    staining: Staining
    annotations: tuple[Annotation, ...]
    cores: tuple[Core, ...]


def gene_xml(antibody: Antibody) -> str:
    """Return the XML of the antibody's gene, with the elements of schema 2.5 and later."""
    root = etree.Element("proteinAtlas", schemaVersion="2.7")
    url = f"http://v{RELEASE}.proteinatlas.org/{antibody.ensembl_id}"
    entry = etree.SubElement(root, "entry", version=RELEASE, url=url)
    _text(entry, "name", antibody.gene)
    etree.SubElement(entry, "identifier", id=antibody.ensembl_id, db="Ensembl", version="109")
    overall = _expression(entry)
    reliability = _text(overall, "verification", RELIABILITY.lower())
    reliability.set("type", "reliability")
    element = etree.SubElement(entry, "antibody", id=antibody.antibody_id, releaseVersion=RELEASE)
    data = etree.SubElement(_expression(element), "data")
    tissue = _text(data, "tissue", TISSUE)
    tissue.set("organ", "Gastrointestinal tract")
    tissue.set("ontologyTerms", "UBERON:0002114")
    for annotation in antibody.annotations:
        _tissue_cell(data, annotation)
    for core in antibody.cores:
        _patient(data, antibody, core)
    _text(root, "copyright", "A synthetic atlas; nothing in it was measured on a person.")
    etree.indent(root, "\t")
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True, pretty_print=True).decode(
        "utf-8"
    )


def bulk_table(antibodies: Sequence[Antibody]) -> str:
    """Return the bulk annotation table: tab-separated, one row per gene and cell type."""
    rows = [
        (
            antibody.ensembl_id,
            antibody.gene,
            TISSUE.lower(),
            annotation.cell_type,
            annotation.staining.capitalize(),
            RELIABILITY,
        )
        for antibody in antibodies
        for annotation in antibody.annotations
    ]
    return "".join("\t".join(row) + "\n" for row in (COLUMNS, *rows))


def _expression(parent: etree._Element) -> etree._Element:
    return etree.SubElement(
        parent, "tissueExpression", source="HPA", technology="IHC", assayType="tissue"
    )


def _tissue_cell(data: etree._Element, annotation: Annotation) -> None:
    cell = etree.SubElement(data, "tissueCell")
    _text(cell, "cellType", annotation.cell_type)
    _text(cell, "level", annotation.staining).set("type", "staining")
    _text(cell, "level", annotation.intensity).set("type", "intensity")
    _text(cell, "quantity", annotation.quantity)
    _text(cell, "location", annotation.location)


def _patient(data: etree._Element, antibody: Antibody, core: Core) -> None:
    patient = etree.SubElement(data, "patient")
    _text(patient, "sex", core.patient.sex)
    _text(patient, "age", str(core.patient.age))
    _text(patient, "patientId", core.patient.patient_id)
    sample = etree.SubElement(patient, "sample")
    snomed = etree.SubElement(sample, "snomedParameters")
    for description, code in (("Normal tissue, NOS", "M-00100"), (TISSUE, "T-64300")):
        etree.SubElement(snomed, "snomed", tissueDescription=description, snomedCode=code)
    image = etree.SubElement(
        etree.SubElement(sample, "assayImage"), "image", imageType="sampleImage"
    )
    _text(image, "imageUrl", f"{HOST}/{antibody.number}/{core.stem}.jpg")


def _text(parent: etree._Element, name: str, text: str) -> etree._Element:
    element = etree.SubElement(parent, name)
    element.text = text
    return element
