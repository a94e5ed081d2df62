"""Read the Human Protein Atlas's gene XML, one gene or all in one stream.

One tolerant parser for the forms of releases 18 to 25: only `entry/antibody` is read, unknown
elements are passed over, repeated ones give their first value, values come lower-cased. Nothing
in a file can make the parser expand entities, read other files, or hold more than one entry.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lxml import etree

from cacl.errors import CatalogError

MAX_ENTRY_BYTES = 32 * 2**20
MAX_TEXT = 500
OLDEST_PATIENT_YEARS = 130
UNREAD = (
    "cellExpression",
    "cellTypeExpression",
    "predictedLocation",
    "proteinArray",
    "proteinClasses",
    "proteinEvidence",
    "proteinstructure",
    "rnaExpression",
    "westernBlot",
    "xrefs",
)
NORMAL_TISSUE = "tissue"
SAMPLE_IMAGE = "sampleimage"
ENSEMBL_ID = re.compile(r"ENSG\d{11}")


@dataclass(frozen=True)
class CellLevel:
    """The staining of one cell type of a tissue; empty where the atlas says nothing."""

    cell_type: str
    staining: str
    intensity: str
    quantity: str
    location: str


@dataclass(frozen=True)
class Sample:
    """One core: its image's URL, and the patient."""

    url: str
    patient_id: str
    sex: str
    age: int | None


@dataclass(frozen=True)
class TissueData:
    """One tissue of an antibody, or of a gene (then without samples)."""

    tissue: str
    cells: tuple[CellLevel, ...]
    samples: tuple[Sample, ...]


@dataclass(frozen=True)
class Antibody:
    """One antibody and the tissues that were stained with it."""

    antibody_id: str
    tissues: tuple[TissueData, ...]


@dataclass(frozen=True)
class GeneName:
    """How one gene is called."""

    ensembl_id: str
    gene: str
    synonyms: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """One gene: names, release, reliability, its consensus by tissue, its antibodies."""

    name: GeneName
    version: str
    reliability: str
    tissues: tuple[TissueData, ...]
    antibodies: tuple[Antibody, ...]


def read_entries(path: Path, *, tissues: frozenset[str] = frozenset()) -> Iterator[Entry]:
    """Yield the genes of an XML file, plain or gzip-compressed, in the file's order.

    Parameters
    ----------
    path
        A gene's XML, or all genes in one (`proteinatlas.xml.gz`).
    tissues
        Lower-case names of the tissues to read; empty for all.

    Raises
    ------
    CatalogError
        The file is missing, no XML, cut short, declares a DTD, or has an entry larger than 32 MB.
        Entries before the fault have been yielded.
    """
    with _open(path) as stream:
        bounded = _BoundedStream(stream, path)
        try:
            for element in _entries(bounded, tissues):
                bounded.entry_ends()
                yield _entry(element)
        except (etree.XMLSyntaxError, EOFError, OSError, zlib.error) as error:
            raise CatalogError(
                f"The annotation {path} cannot be read as XML ({error}); fetch it again"
            ) from error


def read_name(path: Path) -> GeneName:
    """Return how the first gene of an XML file is called, reading no more than its head.

    Raises
    ------
    CatalogError
        As for `read_entries`, or the file has no gene.
    """
    with _open(path) as stream:
        try:
            for element in _parser(_BoundedStream(stream, path), ("identifier", "antibody")):
                entry = element.getparent()
                if entry is not None and etree.QName(entry).localname == "entry":
                    return _name(entry)
        except (etree.XMLSyntaxError, EOFError, OSError, zlib.error) as error:
            raise CatalogError(
                f"The annotation {path} cannot be read as XML ({error}); fetch it again"
            ) from error
    raise CatalogError(f"The annotation {path} names no gene; fetch it again")


class _BoundedStream:
    """Reads on until one entry takes more bytes than any real one."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream = stream
        self.path = path
        self._bytes = 0

    def read(self, size: int = -1) -> bytes:
        block = self._stream.read(size)
        self._bytes += len(block)
        if self._bytes > MAX_ENTRY_BYTES:
            raise CatalogError(
                f"The annotation {self.path} has an entry of more than "
                f"{MAX_ENTRY_BYTES // 2**20} MB; no gene of the atlas is that large, so it "
                "is refused"
            )
        return block

    def entry_ends(self) -> None:
        self._bytes = 0


def _open(path: Path) -> IO[bytes]:
    try:
        stream = path.open("rb")
    except OSError as error:
        raise CatalogError(
            f"The annotation {path} cannot be opened ({error.strerror}); check the path"
        ) from error
    if stream.read(2) == b"\x1f\x8b":
        stream.close()
        return io.BufferedReader(gzip.GzipFile(path))
    stream.seek(0)
    return stream


def _parser(stream: _BoundedStream, tags: tuple[str, ...]) -> Iterator[etree._Element]:
    events = etree.iterparse(
        stream,
        events=("end",),
        tag=[f"{{*}}{tag}" for tag in tags],
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        collect_ids=False,
    )
    for _, element in events:
        yield element


def _entries(stream: _BoundedStream, tissues: frozenset[str]) -> Iterator[etree._Element]:
    for element in _parser(stream, ("entry", "data", "tissueExpression", *UNREAD)):
        kind = etree.QName(element).localname
        if kind == "entry":
            if element.getroottree().docinfo.internalDTD is not None:
                raise CatalogError(
                    f"The annotation {stream.path} declares a DTD, which the atlas never does, so "
                    "it is refused; fetch it again"
                )
            yield element
            _forget(element)
        elif kind == "data":
            if tissues and _text(element, "tissue").lower() not in tissues:
                element.clear()
        elif kind != "tissueExpression" or _attribute(element, "assayType") != NORMAL_TISSUE:
            element.clear()


def _forget(element: etree._Element) -> None:
    """Free an entry and what lies before it, so that memory does not grow with the file."""
    parent = element.getparent()
    element.clear()
    while parent is not None and element.getprevious() is not None:
        del parent[0]


def _entry(entry: etree._Element) -> Entry:
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
    antibodies = (_antibody(element) for element in _children(entry, "antibody"))
    return Entry(
        name=_name(entry),
        version=_clean(entry.get("version")),
        reliability=next(reliability, ""),
        tissues=_tissues(normal),
        antibodies=tuple(antibodies),
    )


def _name(entry: etree._Element) -> GeneName:
    identifiers = [
        _clean(element.get("id"))
        for element in _children(entry, "identifier")
        if _attribute(element, "db") == "ensembl"
    ]
    in_url = ENSEMBL_ID.findall(entry.get("url") or "")
    return GeneName(
        ensembl_id=next(iter([*identifiers, *in_url]), ""),
        gene=_text(entry, "name"),
        synonyms=tuple(_clean(element.text) for element in _children(entry, "synonym")),
    )


def _antibody(element: etree._Element) -> Antibody:
    normal = [
        expression
        for expression in _children(element, "tissueExpression")
        if _attribute(expression, "assayType") == NORMAL_TISSUE
    ]
    return Antibody(antibody_id=_clean(element.get("id")), tissues=_tissues(normal))


def _tissues(expressions: list[etree._Element]) -> tuple[TissueData, ...]:
    return tuple(
        TissueData(
            tissue=_text(data, "tissue").lower(),
            cells=tuple(_cell(cell) for cell in _children(data, "tissueCell")),
            samples=tuple(
                sample for patient in _children(data, "patient") for sample in _samples(patient)
            ),
        )
        for expression in expressions
        for data in _children(expression, "data")
        if _text(data, "tissue")
    )


def _cell(cell: etree._Element) -> CellLevel:
    levels: dict[str, str] = {}
    for element in _children(cell, "level"):
        levels.setdefault(_attribute(element, "type"), _clean(element.text).lower())
    return CellLevel(
        cell_type=_text(cell, "cellType").lower(),
        staining=levels.get("staining") or levels.get("expression", ""),
        intensity=levels.get("intensity", ""),
        quantity=_text(cell, "quantity").lower() or levels.get("quantity", ""),
        location=_text(cell, "location").lower() or levels.get("location", ""),
    )


def _samples(patient: etree._Element) -> Iterator[Sample]:
    age = _text(patient, "age")
    known = age.isdecimal() and int(age) <= OLDEST_PATIENT_YEARS
    for sample in _children(patient, "sample"):
        for assay in _children(sample, "assayImage"):
            for image in _children(assay, "image"):
                url = _image_url(image)
                if url and _attribute(image, "imageType") == SAMPLE_IMAGE:
                    yield Sample(
                        url=url,
                        patient_id=_text(patient, "patientId"),
                        sex=_text(patient, "sex").lower(),
                        age=int(age) if known else None,
                    )


def _image_url(image: etree._Element) -> str:
    """Return the address of the JPEG among an image's addresses, empty if it has none.

    Some releases write the TIFF's address as `imageUrl`; its JPEG lies beside it.
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
    """Return the first text of the children `tag` that is not empty, with single spaces."""
    texts = (_clean(child.text) for child in _children(element, tag))
    return next((text for text in texts if text), "")


def _attribute(element: etree._Element, name: str) -> str:
    return _clean(element.get(name)).lower()


def _clean(text: str | None, *, limit: int = MAX_TEXT) -> str:
    return " ".join((text or "").split())[:limit]
