"""The catalog: real XML of release 18, annotation table, gene names, shards."""

from __future__ import annotations

import gzip
import hashlib
import zipfile
from pathlib import Path

import pytest

from cacl.errors import CatalogError, ConfigError
from cacl.hpa.annotation_table import read_annotation_table
from cacl.hpa.catalog import shard_of
from cacl.hpa.licence import licence_of
from cacl.tables import read_csv, read_parquet
from cacl.tables.schemas import FailureRow, ImageRow
from tests.fixtures.catalogs import (
    ANPEP,
    DUODENUM,
    HEADER,
    SI,
    TABLE,
    VALID_XML,
    build_catalog,
    image_url,
    make_mirror,
)
from tests.fixtures.hpa_server import antibody_xml, gene_xml


def test_catalog_of_real_genes_of_release_18(shared_data: Path, tmp_path: Path) -> None:
    built = build_catalog(shared_data / "hpa-xml", tmp_path)
    cores = {row.antibody_id: 0 for row in built.images}
    for row in built.images:
        cores[row.antibody_id] += 1
    assert cores == {
        "CAB000115": 3,
        "CAB003804": 1,
        "CAB009250": 3,
        "HPA050779": 2,
        "HPA061448": 2,
    }
    assert built.summary.antibodies_without_images == ("HPA030741",)
    assert (built.summary.genes, built.summary.antibodies, built.summary.images) == (2, 5, 11)
    first = built.images[0]
    assert first == ImageRow(
        image_id="CAB000115/2043_A_7_2",
        antibody_id="CAB000115",
        ensembl_id="ENSG00000134057",
        gene="CCNB1",
        tissue="duodenum",
        patient_id="139",
        sex="male",
        age=84,
        url="http://v18.proteinatlas.org/images/115/2043_A_7_2.jpg",
        path="",
        hpa_version="18",
        licence="CC BY-SA 3.0",
        mpp=None,
        label="",
        label_source="glandular cells low (antibody)",
        core_um=1000.0,
    )
    assert not any("selected" in row.url for row in built.images)
    rows = [row for row in built.annotations if row.antibody_id == "CAB003804"]
    assert [(row.staining, row.intensity, row.quantity, row.location) for row in rows] == [
        ("medium", "strong", "<25%", "cytoplasmic/membranous")
    ]
    assert {row.reliability for row in built.annotations} == {"enhanced"}


def test_catalog_of_all_tissues_excludes_cancer(shared_data: Path, tmp_path: Path) -> None:
    built = build_catalog(shared_data / "hpa-xml", tmp_path, tissues=(), genes=("CCNB1",))
    tissues = {row.tissue for row in built.images}
    assert {"duodenum", "colon", "liver"} <= tissues
    assert not any("cancer" in tissue for tissue in tissues)
    assert {row.gene for row in built.images} == {"CCNB1"}


@pytest.mark.parametrize("name", ["CCNB1", "ccnb1", "CCNB", "ENSG00000134057", "ensg00000134057"])
def test_finds_gene_by_symbol_synonym_or_id(shared_data: Path, tmp_path: Path, name: str) -> None:
    built = build_catalog(shared_data / "hpa-xml", tmp_path, genes=(name,))
    assert (built.summary.images, built.failures) == (6, [])


def test_reads_gene_list_file(shared_data: Path, tmp_path: Path) -> None:
    gene_list = tmp_path / "genes.txt"
    gene_list.write_text("# my genes\nNFYA\tsomething\n\nCCNB1, x\n")
    built = build_catalog(shared_data / "hpa-xml", tmp_path, genes=(str(gene_list),))
    assert built.summary.genes == 2
    assert [name for name, _, _ in built.failures] == ["something", "x"]
    assert build_catalog(shared_data / "hpa-xml", tmp_path, genes=("all",)).summary.genes == 2


def test_rejects_missing_or_empty_gene_list(shared_data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"genes\.txt cannot be read"):
        build_catalog(shared_data / "hpa-xml", tmp_path, genes=(str(tmp_path / "genes.txt"),))
    (tmp_path / "genes.txt").write_text("# none\n")
    with pytest.raises(ConfigError, match=r"genes\.txt is empty"):
        build_catalog(shared_data / "hpa-xml", tmp_path, genes=(str(tmp_path / "genes.txt"),))


def test_lists_unknown_names_with_suggestions(shared_data: Path, tmp_path: Path) -> None:
    built = build_catalog(shared_data / "hpa-xml", tmp_path, genes=("CCNB1", "NFAY", "XXXXXXXX"))
    assert built.summary.images == 6
    assert [(unknown.name, unknown.suggestion) for unknown in built.summary.unknown_names] == [
        ("NFAY", "NFYA"),
        ("XXXXXXXX", ""),
    ]
    assert str(built.summary).splitlines() == [
        "1 genes, 3 antibodies, 6 images, 4 annotations",
        "labels: 3 positive, 0 negative, 3 without (0 of them because antibody and gene disagree)",
        "not in the source: NFAY, did you mean NFYA?",
        "not in the source: XXXXXXXX",
        "antibodies without images in these tissues: 1 (HPA030741)",
        "failures: 2 unknown_name; see the table of failures",
    ]
    assert [(name, reason) for name, reason, _ in built.failures] == [
        ("NFAY", "unknown_name"),
        ("XXXXXXXX", "unknown_name"),
    ]


def test_antibodies_filter_the_catalog(shared_data: Path, tmp_path: Path) -> None:
    built = build_catalog(shared_data / "hpa-xml", tmp_path, antibodies=("cab003804", "HPA061449"))
    assert {row.antibody_id for row in built.images} == {"CAB003804"}
    assert [(unknown.name, unknown.suggestion) for unknown in built.summary.unknown_names] == [
        ("HPA061449", "HPA061448")
    ]


def test_symbol_has_priority_over_equal_synonym(tmp_path: Path) -> None:
    host = make_mirror(
        tmp_path,
        gene_xml(SI, "SI", antibodies=(antibody_xml("HPA1", (image_url(1),)),)),
        gene_xml(
            ANPEP, "ANPEP", synonyms=("SI",), antibodies=(antibody_xml("HPA2", (image_url(2),)),)
        ),
    )
    assert [row.gene for row in build_catalog(host, tmp_path / "a", genes=("SI",)).images] == ["SI"]
    (host / f"{SI}.xml").unlink()
    assert [row.gene for row in build_catalog(host, tmp_path / "b", genes=("SI",)).images] == [
        "ANPEP"
    ]


def test_gene_table_labels_antibodies_without_annotation(tmp_path: Path) -> None:
    none = antibody_xml("HPA1", (image_url(1),), cells=(("Goblet cells", "Low", ""),))
    low = antibody_xml("HPA2", (image_url(2),), cells=(("Glandular cells", "Not detected", ""),))
    table = "".join(
        f"{gene}\tX\tDuodenum\tEnterocytes - Microvilli\tHigh\tEnhanced\n"
        for gene in (SI, "ENSG00000000001")
    )
    host = make_mirror(tmp_path, gene_xml(antibodies=(none, low)), table=table)
    built = build_catalog(host, tmp_path / "out")
    assert [(row.antibody_id, row.label) for row in built.images] == [
        ("HPA1", "positive"),
        ("HPA2", ""),
    ]
    assert built.images[0].label_source == "enterocytes - microvilli high (gene)"
    assert built.images[1].label_source.startswith("disagree: glandular cells not detected")
    assert built.summary.contradictory == 1
    assert [row.antibody_id for row in built.annotations] == ["", "HPA1", "HPA2"]


@pytest.mark.parametrize("suffix", [".tsv", ".tsv.gz", ".tsv.zip"])
def test_reads_plain_gzip_and_zip_annotation_table(tmp_path: Path, suffix: str) -> None:
    text = (
        "Gene\tGene name\tTissue\tIHC tissue name\tCell type\tLevel\tReliability\n"
        f"{SI}\tSI\tSkin\tSkin 1\tFibroblasts\tNot representative\tUncertain\n"
        f"{SI}\tSI\tDuodenum\tDuodenum\tEnterocytes\tAscending\tEnhanced\n"
    )
    path = tmp_path / f"normal_ihc_data{suffix}"
    if suffix == ".tsv.zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("normal_ihc_data.tsv", text)
    else:
        path.write_bytes(gzip.compress(text.encode()) if suffix == ".tsv.gz" else text.encode())
    rows = list(read_annotation_table(path))
    assert [(row.tissue, row.cell_type, row.staining) for row in rows] == [
        ("skin 1", "fibroblasts", "not representative"),
        ("duodenum", "enterocytes", "ascending"),
    ]
    assert len(list(read_annotation_table(path, tissues=DUODENUM))) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"Gene\tTissue\nx\ty\n",
        b"",
        b"PK\x03\x04 not a zip",
        gzip.compress(f"{HEADER}\n".encode() * 100)[:-9],
        f"{HEADER}\n{SI}\tS\xfc\n".encode("latin-1"),
        f"{HEADER}\n{'x' * 200_000}\n".encode(),
    ],
    ids=["columns", "empty", "zip", "gzip", "encoding", "long line"],
)
def test_damaged_annotation_table_is_one_failure(tmp_path: Path, data: bytes) -> None:
    host = make_mirror(tmp_path, VALID_XML, table="x")
    (host / TABLE).write_bytes(data)
    built = build_catalog(host, tmp_path / "out")
    assert (built.summary.images, built.reasons()) == (1, ["bad_annotation"])


def test_shard_tables_depend_only_on_their_antibodies(tmp_path: Path) -> None:
    expected = int(hashlib.sha256(b"HPA000135").hexdigest()[:8], 16) % 7
    assert shard_of("HPA000135", 7) == expected
    genes = [
        gene_xml(
            f"ENSG{number:011d}",
            f"G{number}",
            antibodies=(antibody_xml(f"HPA{number}", (image_url(number),)),),
        )
        for number in range(3)
    ]
    host = make_mirror(tmp_path, *genes[:2])
    out = tmp_path / "out"
    build_catalog(host, out, shards=64)
    lists = sorted((out / "shards").iterdir())
    assert len(lists) == 64
    before = {path.name: path.stat().st_mtime_ns for path in lists}
    make_mirror(tmp_path, *genes)
    built = build_catalog(host, out, shards=64)
    touched = [
        path.name
        for path in (out / "shards").iterdir()
        if before[path.name] != path.stat().st_mtime_ns
    ]
    assert touched == [f"{shard_of('HPA2', 64)}.parquet"]
    rows = [row for path in lists for row in read_parquet(path, ImageRow)]
    assert sorted(rows, key=lambda row: row.image_id) == built.images


def test_catalog_is_deterministic(shared_data: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        build_catalog(shared_data / "hpa-xml", tmp_path / name)
    for path in sorted((tmp_path / "a").rglob("*.*")):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_antibody_of_two_genes_is_listed_once(tmp_path: Path) -> None:
    shared = (antibody_xml("HPA1", (image_url(1),)),)
    host = make_mirror(
        tmp_path, gene_xml(SI, "SI", antibodies=shared), gene_xml(ANPEP, "ANPEP", antibodies=shared)
    )
    built = build_catalog(host, tmp_path / "out")
    assert [(row.image_id, row.gene) for row in built.images] == [("HPA1/1_A_7_2", "SI")]


def test_rejects_mirror_without_annotation(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"has no annotation; a mirror has the layout ENSG"):
        build_catalog(tmp_path, tmp_path / "out")
    with pytest.raises(CatalogError, match=r"is not a folder"):
        build_catalog(tmp_path / "nowhere", tmp_path / "out")


def test_lists_genes_and_antibodies_without_images(tmp_path: Path) -> None:
    host = make_mirror(
        tmp_path, VALID_XML, gene_xml(ANPEP, "ANPEP", antibodies=(antibody_xml("A2", ()),))
    )
    summary = str(build_catalog(host, tmp_path / "out").summary).splitlines()
    assert summary[2:] == [
        "genes without images in these tissues: 1 (ANPEP)",
        "antibodies without images in these tissues: 1 (A2)",
    ]


def test_empty_catalog_is_an_error(tmp_path: Path) -> None:
    host, out = make_mirror(tmp_path, VALID_XML), tmp_path / "out"
    with pytest.raises(CatalogError, match=r"no image.*source\.tissues \(duodenm\)"):
        build_catalog(host, out, tissues=("duodenm",))
    assert not (out / "images.parquet").exists()
    with pytest.raises(CatalogError, match="not in the source: SIX, did you mean SI"):
        build_catalog(host, out, genes=("SIX",))
    assert read_csv(out / "failures.csv", FailureRow)["image_id"].tolist() == ["SIX"]


@pytest.mark.parametrize(
    ("version", "licence"),
    [
        ("15", "CC BY-NC-ND 4.0"),
        ("18", "CC BY-SA 3.0"),
        ("25.0", "CC BY-SA 4.0"),
        ("23", "CC BY-SA, see https://v23.proteinatlas.org/about/licence"),
        ("16", "see https://v16.proteinatlas.org/about/licence"),
        ("", "see https://www.proteinatlas.org/about/licence"),
    ],
)
def test_licence_by_release(version: str, licence: str) -> None:
    assert licence_of(version) == licence
