"""Download of annotation: tables and gene XML of a host, stored as a mirror."""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
from pathlib import Path
from typing import Unpack

import pytest

from cacl.config import SourceConfig
from cacl.errors import CatalogError, ConfigError
from cacl.hpa.download_annotation import fetch_annotation
from cacl.hpa.http.limits import HttpLimits
from cacl.hpa.provenance import provenance_path, read_provenance
from tests.fixtures.catalogs import ANPEP, HEADER, SI, BuiltCatalog, build_catalog, image_url
from tests.fixtures.hpa_server import (
    Fault,
    HpaServer,
    antibody_xml,
    gene_xml,
    redirect,
    status,
    web_page,
)
from tests.fixtures.source_options import SourceOptions

INDEX = (
    "Gene\tGene synonym\tEnsembl\tAntibody\n"
    f'SI\t"SUC, SIM"\t{SI}\t"HPA000135, CAB1: AB_1"\n'
    f"ANPEP\tCD13\t{ANPEP}\tHPA004625\n"
)


def host_files(server: HpaServer, *, version: str = "23") -> None:
    for ensembl_id, gene, antibody in ((SI, "SI", "HPA000135"), (ANPEP, "ANPEP", "HPA004625")):
        number = int(antibody[3:])
        text = gene_xml(
            ensembl_id,
            gene,
            version=version,
            antibodies=(antibody_xml(antibody, (image_url(number),)),),
        )
        server.files[f"/{ensembl_id}.xml"] = text.encode()
    rows = f"{SI}\tSI\tDuodenum\tEnterocytes\tHigh\tEnhanced\n"
    server.files["/download/normal_tissue.tsv.zip"] = zip_text(
        "normal_tissue.tsv", f"{HEADER}\n{rows}"
    )
    server.files["/download/proteinatlas.tsv.zip"] = zip_text("proteinatlas.tsv", INDEX)


def zip_text(name: str, text: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, text)
    return stream.getvalue()


def from_host(server: HpaServer, out: Path, **options: Unpack[SourceOptions]) -> BuiltCatalog:
    values: SourceOptions = {
        "kind": "hpa",
        "host": server.url,
        "requests_per_second": 200.0,
        "mirror": None,
    }
    return build_catalog(out, out, **(values | options))


def test_downloads_genes_by_symbol_synonym_and_id(tmp_path: Path) -> None:
    with HpaServer(tmp_path) as server:
        host_files(server)
        built = from_host(server, tmp_path / "out", genes=("SI", "cd13", SI, "SII"))
        assert [row.gene for row in built.images] == ["SI", "ANPEP"]
        assert [(unknown.name, unknown.suggestion) for unknown in built.summary.unknown_names] == [
            ("SII", "SI")
        ]
        n_requests = len(server.requests)
        again = from_host(server, tmp_path / "out", genes=("SI", "cd13"))
        assert again.summary.images == 2
        assert len(server.requests) == n_requests
    mirror = tmp_path / "out" / "host"
    assert (mirror / f"{SI}.xml").exists()
    assert (mirror / f"{SI}.json").exists()
    assert build_catalog(mirror, tmp_path / "mirrored").summary.images == 2


def test_downloads_genes_of_antibodies(tmp_path: Path) -> None:
    with HpaServer(tmp_path) as server:
        host_files(server)
        built = from_host(server, tmp_path / "out", antibodies=("HPA000135", "HPA000136"))
    assert [row.antibody_id for row in built.images] == ["HPA000135"]
    assert [(unknown.name, unknown.suggestion) for unknown in built.summary.unknown_names] == [
        ("HPA000136", "HPA000135")
    ]


def test_rejects_catalog_without_any_available_name(tmp_path: Path) -> None:
    with HpaServer(tmp_path) as server:
        host_files(server)
        with pytest.raises(CatalogError, match=r"(?s)has no image.*1 not_found, 1 unknown_name"):
            from_host(server, tmp_path / "out", genes=("XYZ1", "ENSG00000000001"))


def test_downloads_again_for_another_release(tmp_path: Path) -> None:
    with HpaServer(tmp_path) as server:
        host_files(server, version="22")
        old = from_host(server, tmp_path / "out", genes=("SI",), hpa_version="22")
        host_files(server, version="23")
        new = from_host(server, tmp_path / "out", genes=("SI",), hpa_version="23")
    assert [row.hpa_version for row in (*old.images, *new.images)] == ["22", "23"]


def test_downloads_one_file_for_all_genes(tmp_path: Path) -> None:
    with HpaServer(tmp_path) as server:
        host_files(server)
        server.files["/download/proteinatlas.xml.gz"] = gzip.compress(server.files[f"/{SI}.xml"])
        built = from_host(server, tmp_path / "out", genes=("all",))
        assert [row.gene for row in built.images] == ["SI"]
        assert not server.request_count(f"/{SI}.xml")


@pytest.mark.parametrize("fault", [web_page, status(503), redirect("https://example.org/x")])
def test_unavailable_gene_is_a_failure(tmp_path: Path, fault: Fault) -> None:
    limits = HttpLimits(max_attempts=3, initial_backoff_s=0.01)
    with HpaServer(tmp_path) as server:
        host_files(server)
        server.fail(f"/{SI}.xml", fault, always=True)
        source = SourceConfig(
            kind="hpa", genes=("SI", "ANPEP"), host=server.url, requests_per_second=200
        )
        fetched = fetch_annotation(source, tmp_path / "out", limits)
    assert fetched.source is not None
    assert fetched.source.genes == (ANPEP,)
    assert [row.image_id for row in fetched.failures] == [SI]
    assert not list((tmp_path / "out").glob(f"*{SI}*"))


def test_downloads_again_if_provenance_record_is_missing(tmp_path: Path) -> None:
    with HpaServer(tmp_path) as server:
        host_files(server)
        bulk = gzip.compress(server.files[f"/{SI}.xml"])
        server.files["/download/proteinatlas.xml.gz"] = bulk
        from_host(server, tmp_path / "out", genes=("all",))
        bulk_file = tmp_path / "out" / "host" / "download" / "proteinatlas.xml.gz"
        record = read_provenance(bulk_file)
        assert record is not None
        assert (record.sha256, record.size_bytes) == (hashlib.sha256(bulk).hexdigest(), len(bulk))
        provenance_path(bulk_file).unlink()
        bulk_file.write_bytes(b"unknown")
        assert from_host(server, tmp_path / "out", genes=("all",)).summary.images == 1
        assert bulk_file.read_bytes() == bulk
        assert read_provenance(bulk_file) is not None


def test_reports_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "host").write_text("in the way")
    source = SourceConfig(kind="hpa", genes=("SI",), host="http://127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"host cannot be written"):
        fetch_annotation(source, tmp_path / "host")


def test_requires_ensembl_ids_if_host_has_no_tables(tmp_path: Path) -> None:
    with HpaServer(tmp_path) as server:
        host_files(server)
        for path in ("/download/normal_tissue.tsv.zip", "/download/proteinatlas.tsv.zip"):
            del server.files[path]
        with pytest.raises(CatalogError, match=r"name genes by Ensembl id"):
            from_host(server, tmp_path / "a", genes=("SI",))
        built = from_host(server, tmp_path / "b", genes=(SI,))
    assert built.summary.images == 1
