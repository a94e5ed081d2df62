"""Read the gene XML of the Human Protein Atlas (HPA), of one gene or of all genes in one stream.

One tolerant parser reads the forms of releases 18 to 25. It reads only `entry/antibody`, ignores
unknown elements, takes the first value of repeated elements, and returns values in lower case. The
parser does not expand entities, read other files, or hold more than one entry in memory.
"""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lxml import etree

from cacl.errors import CatalogError
from cacl.hpa.xml_stream import (
    BLOCK_BYTES,
    MAX_ENTRY_BYTES,
    check_markup,
    count_markup,
    documents,
    iter_events,
    open_xml,
    safe_parser_options,
)

MAX_TEXT_CHARACTERS = 500
MAX_AGE_YEARS = 130
READ_ERRORS = (etree.XMLSyntaxError, EOFError, OSError, zlib.error)
NORMAL_TISSUE = "tissue"
SAMPLE_IMAGE = "sampleimage"
ENSEMBL_ID = re.compile(r"ENSG\d{11}")


@dataclass(frozen=True, slots=True)
class CellLevel:
    """The staining of one cell type of a tissue; a missing value is an empty text."""

    cell_type: str
    staining: str
    intensity: str
    quantity: str
    location: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One core: the URL of its image, and the patient (age in years)."""

    url: str
    patient_id: str
    sex: str
    age: int | None


@dataclass(frozen=True, slots=True)
class TissueData:
    """Annotation and samples of one tissue of an antibody, or of a gene (then without samples)."""

    tissue: str
    cells: tuple[CellLevel, ...]
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Antibody:
    """One antibody and the tissues that are stained with it."""

    antibody_id: str
    tissues: tuple[TissueData, ...]


@dataclass(frozen=True, slots=True)
class GeneName:
    """Ensembl id, symbol and synonyms of a gene."""

    ensembl_id: str
    gene: str
    synonyms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One gene: names, release, reliability, gene-level annotation by tissue, antibodies."""

    name: GeneName
    version: str
    reliability: str
    tissues: tuple[TissueData, ...]
    antibodies: tuple[Antibody, ...]


def read_entries(path: Path, *, tissues: frozenset[str] = frozenset()) -> Iterator[Entry]:
    """Yield the genes of a plain or gzip-compressed XML file, in the order of the file.

    Parameters
    ----------
    path
        XML of a gene, or of all genes (`proteinatlas.xml.gz`).
    tissues
        Lower-case names of the tissues to read; empty for all.

    Raises
    ------
    CatalogError
        The file is missing, not XML, or truncated, declares a DTD, or has an entry larger than
        32 MB. The entries before the error are yielded.
    """
    parser = etree.XMLParser(**safe_parser_options())
    with open_xml(path) as stream:
        try:
            for document in documents(stream, path):
                root = etree.fromstring(document, parser)
                _reject_dtd(root, path)
                for entry in _entries_below(root):
                    yield _entry(entry, tissues)
        except READ_ERRORS as error:
            raise CatalogError(_unreadable_message(path, error)) from error


def read_name(path: Path) -> GeneName:
    """Return the names of the first gene of an XML file; reads only the start of the file.

    Raises
    ------
    CatalogError
        As for `read_entries`, or the file has no gene.
    """
    parser = etree.XMLPullParser(
        events=("end",), tag=["{*}identifier", "{*}antibody"], **safe_parser_options()
    )
    with open_xml(path) as stream:
        try:
            count = 0
            for block in iter(lambda: stream.read(BLOCK_BYTES), b""):
                count += count_markup(block)
                check_markup(count, path)
                parser.feed(block)
                for element in iter_events(parser):
                    entry = element.getparent()
                    if entry is not None and etree.QName(entry).localname == "entry":
                        return _name(entry)
                if stream.tell() > MAX_ENTRY_BYTES:
                    break
            else:
                parser.close()
        except READ_ERRORS as error:
            raise CatalogError(_unreadable_message(path, error)) from error
    raise CatalogError(f"The annotation {path} names no gene; download it again")


def _reject_dtd(root: etree._Element, path: Path) -> None:
    if root.getroottree().docinfo.internalDTD is not None:
        raise CatalogError(
            f"The annotation {path} declares a DTD, which no file of the HPA does, so it is "
            "rejected; download it again"
        )


def _entries_below(root: etree._Element) -> Iterator[etree._Element]:
    return iter((root,)) if etree.QName(root).localname == "entry" else _children(root, "entry")


def _unreadable_message(path: Path, error: Exception) -> str:
    return f"The annotation {path} cannot be read as XML ({error}); download it again"


def _entry(entry: etree._Element, tissues: frozenset[str]) -> Entry:
    normal = [
        element
        for element in _children(entry, "tissueExpression")
        if _attribute(element, "assayType") == NORMAL_TISSUE
    ]
    reliability = (
        _clean(element.text).lower()
        for expression in normal
        for element in _children(expression, "verification")
        if _attribute(element, "type") == "reliability"
    )
    antibodies = (_antibody(element, tissues) for element in _children(entry, "antibody"))
    return Entry(
        name=_name(entry),
        version=_clean(entry.get("version")),
        reliability=next(reliability, ""),
        tissues=_tissues(normal, tissues),
        antibodies=tuple(antibodies),
    )


def _name(entry: etree._Element) -> GeneName:
    identifiers = [
        _clean(element.get("id"))
        for element in _children(entry, "identifier")
        if _attribute(element, "db") == "ensembl"
    ]
    ids_in_url = ENSEMBL_ID.findall(entry.get("url") or "")
    return GeneName(
        ensembl_id=next(iter([*identifiers, *ids_in_url]), ""),
        gene=_text(entry, "name"),
        synonyms=tuple(_clean(element.text) for element in _children(entry, "synonym")),
    )


def _antibody(element: etree._Element, tissues: frozenset[str]) -> Antibody:
    normal = [
        expression
        for expression in _children(element, "tissueExpression")
        if _attribute(expression, "assayType") == NORMAL_TISSUE
    ]
    return Antibody(antibody_id=_clean(element.get("id")), tissues=_tissues(normal, tissues))


def _tissues(expressions: list[etree._Element], wanted: frozenset[str]) -> tuple[TissueData, ...]:
    tissues: list[TissueData] = []
    for expression in expressions:
        for data in _children(expression, "data"):
            tissue = _word(data, "tissue")
            if tissue and (not wanted or tissue in wanted):
                cells = tuple(_cell(cell) for cell in _children(data, "tissueCell"))
                patients = _children(data, "patient")
                samples = tuple(sample for patient in patients for sample in _samples(patient))
                tissues.append(TissueData(tissue, cells, samples))
    return tuple(tissues)


def _cell(cell: etree._Element) -> CellLevel:
    levels: dict[str, str] = {}
    for element in _children(cell, "level"):
        levels.setdefault(_attribute(element, "type"), sys.intern(_clean(element.text).lower()))
    return CellLevel(
        cell_type=_word(cell, "cellType"),
        staining=levels.get("staining") or levels.get("expression", ""),
        intensity=levels.get("intensity", ""),
        quantity=_word(cell, "quantity") or levels.get("quantity", ""),
        location=_word(cell, "location") or levels.get("location", ""),
    )


def _samples(patient: etree._Element) -> Iterator[Sample]:
    age = _text(patient, "age")
    is_age_valid = age.isdecimal() and int(age) <= MAX_AGE_YEARS
    patient_id, sex = sys.intern(_text(patient, "patientId")), _word(patient, "sex")
    for sample in _children(patient, "sample"):
        for assay in _children(sample, "assayImage"):
            for image in _children(assay, "image"):
                url = _image_url(image)
                if url and _attribute(image, "imageType") == SAMPLE_IMAGE:
                    yield Sample(
                        url=url,
                        patient_id=patient_id,
                        sex=sex,
                        age=int(age) if is_age_valid else None,
                    )


def _image_url(image: etree._Element) -> str:
    """Return the URL of the JPEG of an image; empty if it has no URL.

    Some releases have the URL of the TIFF as `imageUrl`; the JPEG has the same name beside it.
    """
    urls = [
        _clean(element.text, limit=2000)
        for tag in ("imageUrl", "imageUrlTif")
        for element in _children(image, tag)
    ]
    samples = [url for url in urls if url and "_selected." not in url]
    jpegs = [url for url in samples if url.lower().endswith((".jpg", ".jpeg"))]
    as_jpegs = [re.sub(r"\.tiff?$", ".jpg", url, flags=re.IGNORECASE) for url in samples]
    return next(iter([*jpegs, *as_jpegs]), "")


def _children(element: etree._Element, tag: str) -> Iterator[etree._Element]:
    return element.iterchildren(f"{{*}}{tag}")


def _text(element: etree._Element, tag: str) -> str:
    """Return the first non-empty text of the children `tag`, with single spaces."""
    texts = (_clean(child.text) for child in _children(element, tag))
    return next((text for text in texts if text), "")


def _word(element: etree._Element, tag: str) -> str:
    """Return a text that many entries share: in lower case, and interned to save memory."""
    return sys.intern(_text(element, tag).lower())


def _attribute(element: etree._Element, name: str) -> str:
    return _clean(element.get(name)).lower()


def _clean(text: str | None, *, limit: int = MAX_TEXT_CHARACTERS) -> str:
    return " ".join((text or "").split())[:limit]
