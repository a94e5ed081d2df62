"""Gene XML: forms of later releases, and hostile files."""

from __future__ import annotations

import gzip
import io
import tracemalloc
from pathlib import Path

import pytest

from cacl.errors import CatalogError
from cacl.hpa.gene_xml import read_entries, read_name
from cacl.hpa.licence import licence_of
from cacl.hpa.xml_stream import MAX_MARKUP, documents
from tests.fixtures.catalogs import ANPEP, SI, VALID_XML, build_catalog, image_url, make_mirror
from tests.fixtures.hpa_server import antibody_xml, gene_xml


def test_reads_xml_of_release_23(tmp_path: Path) -> None:
    cells = (("Enterocytes - Microvilli", "High", ""), ("Goblet cells", "Not detected", ""))
    host = make_mirror(
        tmp_path,
        gene_xml(antibodies=(antibody_xml("HPA000135", (image_url(135),), cells=cells),)),
    )
    built = build_catalog(host, tmp_path / "out")
    (row,) = built.images
    assert (row.image_id, row.tissue, row.sex, row.label) == (
        "HPA000135/1_A_7_2",
        "duodenum",
        "female",
        "positive",
    )
    assert (row.hpa_version, row.licence) == ("23", licence_of("23"))
    assert [(row.cell_type, row.staining) for row in built.annotations] == [
        ("enterocytes - microvilli", "high"),
        ("goblet cells", "not detected"),
    ]


SIBLINGS = {
    "jpg first": "<imageUrl>{0}.jpg</imageUrl><imageUrlTif>{0}.tif</imageUrlTif>",
    "tif first": "<imageUrl>{0}.tif</imageUrl><imageUrl>{0}.jpg</imageUrl>",
    "tif only": "<imageUrl>{0}.tif</imageUrl>",
    "repeated": "<imageUrl>{0}.jpg</imageUrl><imageUrl>{0}.jpg</imageUrl>",
    "spaces around": "<imageUrl>\n {0}.jpg </imageUrl>",
}


@pytest.mark.parametrize("form", list(SIBLINGS))
def test_reads_all_forms_of_image_urls(tmp_path: Path, form: str) -> None:
    stem = "https://images.proteinatlas.org/135/1_A_7_2"
    text = gene_xml(antibodies=(antibody_xml("HPA000135", ("HERE",)),))
    text = text.replace("<imageUrl>HERE</imageUrl>", SIBLINGS[form].format(stem))
    (row,) = build_catalog(make_mirror(tmp_path, text), tmp_path / "out").images
    assert row.url == f"{stem}.jpg"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<proteinAtlas ", '<proteinAtlas xmlns="http://www.proteinatlas.org/x" '),
        ("<tissueCell>", "<novelty><deep>1</deep></novelty><tissueCell>"),
        ("<cellType>", "<cellType></cellType><cellType>"),
        ("</data>", "</data><data><tissue>Duodenum</tissue></data>"),
        ("</level><level", '</level><level type="staining">Low</level><level'),
        ("<age>40</age>", "<age>unknown</age>"),
        ("<entry ", "<!-- a comment --><entry "),
        (
            "</entry>",
            '<proteinstructure><antibody id="HPA9"><tissueExpression assayType="tissue"><data>'
            "<tissue>Duodenum</tissue></data></tissueExpression></antibody></proteinstructure>"
            "</entry>",
        ),
        (
            "</antibody>",
            '<tissueExpression assayType="cancer"><data><tissue>Duodenum</tissue><patient><sample>'
            '<assayImage><image imageType="sampleImage"><imageUrl>https://images.proteinatlas.org/'
            "1/2_A_1_1.jpg</imageUrl></image></assayImage></sample></patient></data>"
            "</tissueExpression></antibody>",
        ),
    ],
    ids=[
        "namespace",
        "unknown element",
        "empty first",
        "tissue twice",
        "level twice",
        "age",
        "comment",
        "structure",
        "cancer",
    ],
)
def test_ignores_unknown_and_repeated_elements(tmp_path: Path, old: str, new: str) -> None:
    text = gene_xml(antibodies=(antibody_xml("HPA000135", (image_url(135),)),))
    assert old in text
    built = build_catalog(make_mirror(tmp_path, text.replace(old, new)), tmp_path / "out")
    assert [(row.image_id, row.label) for row in built.images] == [
        ("HPA000135/1_A_7_2", "positive")
    ]
    assert built.failures == []


@pytest.mark.parametrize(
    "url",
    [
        "https://images.proteinatlas.org/../../etc/passwd.jpg",
        "https://images.proteinatlas.org/1/..%2f..%2fx.jpg",
        "https://images.proteinatlas.org/1/a..b.jpg",
        "https://example.org/1/2.jpg",
        "https://images.proteinatlas.org.example.org/1/2.jpg",
        "https://me:secret@images.proteinatlas.org/1/2.jpg",
        "https://images.proteinatlas.org:8443/1/2.jpg",
        "https://images.proteinatlas.org:x/1/2.jpg",
        "https://images.proteinatlas.org/1/ü.jpg",
        "https://images.proteinatlas.org/1/a b.jpg",
        "https://images.proteinatlas.org/1/2.jpg?x=1",
        "https://images.proteinatlas.org/1/2.exe",
        "https://images.proteinatlas.org/2.jpg",
        "https://images.proteinatlas.org/1/.2.jpg",
        "file:///etc/1/passwd.jpg",
        "ftp://images.proteinatlas.org/1/2.jpg",
        "http://127.0.0.1/images/1/2.jpg",
        "//images.proteinatlas.org/1/2.jpg",
        "https://[/1/2.jpg",
        "nonsense",
    ],
)
def test_rejects_unsafe_image_urls(tmp_path: Path, url: str) -> None:
    text = gene_xml(antibodies=(antibody_xml("HPA000135", (url, image_url(135))),))
    built = build_catalog(make_mirror(tmp_path, text), tmp_path / "out")
    assert [row.image_id for row in built.images] == ["HPA000135/1_A_7_2"]
    assert built.reasons() == ["unsafe_url"]


def test_accepts_image_urls_of_allowed_hosts(tmp_path: Path) -> None:
    text = gene_xml(antibodies=(antibody_xml("HPA1", ("https://example.org/x/1/2_A_1_1.jpg",)),))
    host = make_mirror(tmp_path, text)
    built = build_catalog(host, tmp_path / "out", allowed_hosts=("Example.org",))
    assert [row.image_id for row in built.images] == ["HPA1/2_A_1_1"]


@pytest.mark.parametrize("antibody", ["../HPA1", "HPA 1", "", "con", "a" * 101, "HPA1.", "ÄB1"])
def test_rejects_antibody_ids_that_cannot_be_file_names(tmp_path: Path, antibody: str) -> None:
    text = gene_xml(
        antibodies=(antibody_xml(antibody, (image_url(1),)), antibody_xml("HPA2", (image_url(2),)))
    )
    built = build_catalog(make_mirror(tmp_path, text), tmp_path / "out")
    assert [row.antibody_id for row in built.images] == ["HPA2"]
    assert built.reasons() == ["unsafe_id"]


def test_rejects_reserved_image_names(tmp_path: Path) -> None:
    text = gene_xml(antibodies=(antibody_xml("HPA1", (image_url(1, "nul"), image_url(1))),))
    built = build_catalog(make_mirror(tmp_path, text), tmp_path / "out")
    assert built.reasons() == ["unsafe_id"]


LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE p [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;">'
    '<!ENTITY e "&d;&d;&d;&d;&d;&d;&d;&d;&d;"><!ENTITY f "&e;&e;&e;&e;&e;&e;&e;&e;&e;">]>'
)
BODY = VALID_XML.partition("?>")[2]
HOSTILE = {
    "entity expansion": (LAUGHS + BODY.replace(">SI<", ">&f;&f;&f;<")).encode(),
    "external entity": (
        '<?xml version="1.0"?><!DOCTYPE p [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
        + BODY.replace(">SI<", ">&a;<")
    ).encode(),
    "external DTD": ('<!DOCTYPE p SYSTEM "http://127.0.0.1:9/x.dtd">' + BODY).encode(),
    "wrong encoding": VALID_XML.replace(">SI<", ">Sücrase<").encode("latin-1"),
    "truncated": VALID_XML.encode()[:-60],
    "text after": VALID_XML.encode() + b"more",
    "a text of 20 MB": VALID_XML.replace(">SI<", f">{'x' * 20_000_000}<").encode(),
    "an entry of 40 MB": VALID_XML.replace(
        "<antibody", "<novelty>" + "<x>12345678901234567890</x>" * 1_500_000 + "</novelty><antibody"
    ).encode(),
    "deep": VALID_XML.replace("<antibody", "<x>" * 5000 + "</x>" * 5000 + "<antibody").encode(),
    "no XML": b"<!DOCTYPE html><html><body>busy</body></html>",
    "empty": b"",
    "no gene": b'<?xml version="1.0"?><proteinAtlas/>',
    "broken gzip": gzip.compress(VALID_XML.encode())[:-20],
}


def gigabyte(before: str, after: str) -> bytes:
    """Return a gzip file with one element of 1 GB of text."""
    parts = (before.encode(), b"x" * 2**20, after.encode())
    start, middle, end = (gzip.compress(part) for part in parts)
    return start + middle * 1024 + end


@pytest.mark.parametrize("name", [f"{SI}.xml", "download/proteinatlas.xml.gz"])
@pytest.mark.parametrize("element", ["<name>", "<location>"])
def test_bounds_memory_for_a_gigabyte_in_one_element(
    tmp_path: Path, name: str, element: str
) -> None:
    good = gene_xml(ANPEP, "ANPEP", antibodies=(antibody_xml("HPA2", (image_url(2),)),))
    host = make_mirror(tmp_path, good)
    (host / "download").mkdir()
    before, _, after = VALID_XML.partition(element)
    (host / name).write_bytes(gigabyte(before + element, after))
    tracemalloc.start()
    try:
        built = build_catalog(host, tmp_path / "out")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [row.gene for row in built.images] == ["ANPEP"]
    assert built.reasons() == ["bad_annotation"]
    assert peak_bytes < 200 * 10**6


@pytest.mark.parametrize("element", ["<name>", "<location>"])
def test_rejects_excessive_markup_before_parsing(tmp_path: Path, element: str) -> None:
    path = tmp_path / "gene.xml"
    many = "<x/>" * (MAX_MARKUP + 1)
    path.write_text(VALID_XML.replace(element, many + element, 1), encoding="utf-8")
    with pytest.raises(CatalogError, match=r"more than 2,000,000 elements and attributes"):
        list(read_entries(path))
    path.write_text(VALID_XML.replace("<name>", many + "<name>", 1), encoding="utf-8")
    with pytest.raises(CatalogError, match=r"more than 2,000,000 elements and attributes"):
        read_name(path)


@pytest.mark.parametrize("attack", list(HOSTILE))
def test_hostile_xml_is_one_failure(tmp_path: Path, attack: str) -> None:
    host = make_mirror(
        tmp_path, gene_xml(ANPEP, "ANPEP", antibodies=(antibody_xml("HPA2", (image_url(2),)),))
    )
    (host / f"{SI}.xml").write_bytes(HOSTILE[attack])
    built = build_catalog(host, tmp_path / "out")
    assert [row.gene for row in built.images] == ["ANPEP"]
    assert [(name, reason) for name, reason, _ in built.failures] == [(SI, "bad_annotation")]


def test_read_name_reads_only_the_head_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "gene.xml"
    head = gene_xml(SI, "SI", synonyms=("A", "B")).partition("<tissueExpression")[0]
    path.write_text(head + "<x/>" * 10**5 + "<broken", encoding="utf-8")
    name = read_name(path)
    assert (name.ensembl_id, name.gene, name.synonyms) == (SI, "SI", ("A", "B"))


def test_reads_file_of_all_genes(tmp_path: Path) -> None:
    host = tmp_path / "host"
    (host / "download").mkdir(parents=True)
    entries = [
        gene_xml(
            f"ENSG{number:011d}",
            f"G{number}",
            antibodies=(antibody_xml(f"HPA{number}", (image_url(number),)),),
        )
        for number in range(300)
    ]
    inner = "".join(text.partition("<entry")[1] + text.partition("<entry")[2] for text in entries)
    text = "<proteinAtlas>" + inner.replace("</proteinAtlas>", "") + "</proteinAtlas>"
    path = host / "download" / "proteinatlas.xml.gz"
    path.write_bytes(gzip.compress(text.encode()))
    assert build_catalog(host, tmp_path / "all").summary.images == 300
    some = build_catalog(host, tmp_path / "some", genes=("g7", "G299", "G300"))
    assert [row.gene for row in some.images] == ["G299", "G7"]
    assert [unknown.name for unknown in some.summary.unknown_names] == ["G300"]
    path.write_bytes(gzip.compress(text.encode()[: len(text) // 2]))
    half = build_catalog(host, tmp_path / "half")
    assert 140 <= half.summary.images <= 150
    assert half.reasons() == ["bad_annotation"]


ENTRY = VALID_XML[VALID_XML.index("<entry") : VALID_XML.index("</proteinAtlas>")]
UNCUT = ENTRY.replace("</entry>", "</entry >")
FORMS = {
    "a root without declaration": f"<proteinAtlas>{ENTRY}{ENTRY}</proteinAtlas>".encode(),
    "a root with a prefix": (
        f'<h:proteinAtlas xmlns:h="http://x.org/h">{ENTRY}\n{ENTRY}</h:proteinAtlas>'
    ).encode(),
    "entries that cannot be cut": f"<proteinAtlas>{UNCUT}{UNCUT}</proteinAtlas>".encode(),
    "UTF-16": f"<proteinAtlas>{ENTRY}{ENTRY}</proteinAtlas>".encode("utf-16"),
    "comments": f"<a><!-- x -->{ENTRY}<!-- y --> {ENTRY}<!-- z --></a>".encode(),
    "a prefix of xsi": (
        f'<a xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">{ENTRY}'
        + ENTRY.replace("<entry", '<entry xsi:type="t"')
        + "</a>"
    ).encode(),
}


@pytest.mark.parametrize("form", list(FORMS))
def test_splits_file_with_two_entries(tmp_path: Path, form: str) -> None:
    path = tmp_path / "all.xml"
    path.write_bytes(FORMS[form])
    for entry in list(read_entries(path)):
        assert entry.name.gene == "SI"
        assert [sample.url for sample in entry.antibodies[0].tissues[0].samples] == [image_url(1)]
    assert len(list(read_entries(path))) == 2


def test_accepts_entry_as_root_element(tmp_path: Path) -> None:
    path = tmp_path / "one.xml"
    for declaration in ("", '<?xml version="1.0"?>\n'):
        path.write_text(f"{declaration}{ENTRY}\n", encoding="utf-8")
        assert [entry.name.gene for entry in read_entries(path)] == ["SI"]


@pytest.mark.parametrize("size", [1, 7, 100])
def test_finds_entry_end_across_block_boundary(size: int) -> None:
    class Slow(io.BytesIO):
        def read(self, _: int | None = -1, /) -> bytes:
            return super().read(size)

    text = f"<a>{ENTRY}{ENTRY}</a>".encode()
    entries = list(documents(Slow(text), Path("x.xml")))
    assert entries == [f"<a>{ENTRY}</a>".encode()] * 2 + [b"<a></a>"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"<a>{ENTRY}</a>{ENTRY}", "cannot be read as XML"),
        (f"{ENTRY}{ENTRY}", "continues after its end"),
        (f"<a>{ENTRY}", "cannot be read as XML"),
        (f"<a>{ENTRY}</b>", "cannot be read as XML"),
        (f"<a><!-- {'x' * 10_000} -->{ENTRY}</a>", "has no entry in its first"),
        ("<a></entry></a>", "has no entry in its first"),
    ],
)
def test_reports_errors_after_the_first_entry(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "all.xml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CatalogError, match=message):
        list(read_entries(path))


def test_yields_entries_before_a_later_error(tmp_path: Path) -> None:
    path = tmp_path / "all.xml"
    path.write_text(VALID_XML.replace("</proteinAtlas>", "<entry><broken"), encoding="utf-8")
    entries = read_entries(path)
    assert next(entries).name.gene == "SI"
    with pytest.raises(CatalogError, match=r"cannot be read as XML"):
        next(entries)
