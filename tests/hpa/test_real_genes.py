"""The commands on real genes: a host by its own name, images at the real places, then a mirror.

The commands run as a user's would, against `https://v18.proteinatlas.org`; a proxy on loopback
leads there, and answers in the host's place.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cacl.tables import read_parquet
from cacl.tables.schemas import AcquiredRow, ImageRow
from tests.fixtures import hpa_server as hpa
from tests.fixtures.certificates import make_certificate
from tests.fixtures.hpa_server import HpaServer

GENES = ("ENSG00000001167", "ENSG00000134057")
HOST = "v18.proteinatlas.org"
RELEASE = ["--kind", "hpa", "--hpa-version", "18", "--requests-per-second", "200"]


class User:
    """Someone with a folder and a network that leads through a proxy."""

    def __init__(self, folder: Path, server: HpaServer, certificate: Path) -> None:
        self.folder = folder
        proxies = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), server.url)
        nothing = dict.fromkeys(("NO_PROXY", "no_proxy"), "")
        authority = {"REQUESTS_CA_BUNDLE": str(certificate)}
        self.environment = os.environ | proxies | nothing | authority
        folder.mkdir()

    def __call__(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from cacl.cli import app; app()", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            env=self.environment,
        )

    def catalog(self, *source: object) -> str:
        places = ["--out", "catalog", "--failures", "catalog.csv", "--downloads", "resources"]
        done = self("catalog", *places, *source, "--tissues", "duodenum", "--shards", 1)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def acquire(self, *options: object) -> subprocess.CompletedProcess[str]:
        lists = ["--shard", "catalog/shards/0.parquet", "--images", "resources/images"]
        return self("acquire", *lists, "--out", "a.parquet", "--failures", "a.csv", *options)

    def failures(self, name: str = "a.csv") -> list[tuple[str, str]]:
        with (self.folder / name).open(newline="") as stream:
            return [(row["image_id"], row["reason"]) for row in csv.DictReader(stream)]

    def rows(self) -> list[ImageRow]:
        rows: list[ImageRow] = read_parquet(self.folder / "catalog" / "images.parquet", ImageRow)
        return rows

    def digests(self) -> dict[str, str]:
        rows: list[AcquiredRow] = read_parquet(self.folder / "a.parquet", AcquiredRow)
        return {row.image_id: row.sha256 for row in rows}

    def images(self) -> dict[str, bytes]:
        place = self.folder / "resources"
        found = (path for path in place.rglob("*.jpg") if path.is_file())
        return {f"/{path.relative_to(place)}": path.read_bytes() for path in found}


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    names = ",".join(f"DNS:{name}" for name in (HOST, "example.org"))
    make_certificate(tmp_path / "key.pem", tmp_path / "certificate.pem", names)
    return tmp_path / "certificate.pem"


@pytest.fixture
def server(tmp_path: Path, shared_data: Path, certificate: Path) -> Iterator[HpaServer]:
    with HpaServer(tmp_path / "host") as running:
        running.hosts = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        running.hosts.load_cert_chain(certificate, tmp_path / "key.pem")
        for gene in GENES:
            xml = shared_data / "hpa-xml" / f"{gene}.xml"
            running.files[f"/{gene}.xml"] = xml.read_bytes()
        yield running


def test_real_genes_from_the_host_and_from_its_mirror(
    server: HpaServer, certificate: Path, tmp_path: Path
) -> None:
    me = User(tmp_path / "me", server, certificate)
    genes = [part for gene in (*GENES, "ENSG00000001168") for part in ("--genes", gene)]
    said = me.catalog(*RELEASE, *genes)
    assert said.splitlines() == [
        "2 genes, 5 antibodies, 11 images, 7 annotations",
        "labels: 6 positive, 0 negative, 5 without (0 of them because antibody and gene disagree)",
        "antibodies without images in these tissues: 1 (HPA030741)",
        "failures: 2 not_found; see the table of failures",
    ]
    rows = me.rows()
    places = [row.url.removeprefix(f"http://{HOST}") for row in rows]
    assert places[0] == "/images/115/2043_A_7_2.jpg"
    for number, place in enumerate(places):
        server.files[place] = hpa.jpeg(number)
    server.fail(places[3], hpa.redirect("https://example.org/x.jpg"), for_ever=True)

    assert me.acquire(*RELEASE).returncode == 0
    assert me.failures() == [(rows[3].image_id, "unsafe_url")]
    server.fail(places[3])
    asked = len(server.requests)
    assert me.acquire(*RELEASE, "--max-minutes", 5).returncode == 0
    assert [path for _, path, _ in server.requests[asked:]] == [places[3]]
    assert set(server.tunnels) == {f"{HOST}:443"}
    assert me.images() == {place: server.files[place] for place in places}
    digests = {
        row.image_id: hashlib.sha256(server.files[place]).hexdigest()
        for row, place in zip(rows, places, strict=True)
    }
    assert me.digests() == digests
    for row, place in zip(rows, places, strict=True):
        path = me.folder / "resources" / place.lstrip("/")
        receipt = json.loads(path.with_suffix(".json").read_text())
        assert (receipt["url"], receipt["sha256"]) == (row.url, digests[row.image_id])
        assert (receipt["hpa_version"], receipt["licence"]) == ("18", "CC BY-SA 3.0")
        assert receipt["etag"]
        assert "Human Protein Atlas" in receipt["credit"]

    asked = len(server.requests)
    they = User(tmp_path / "they", server, certificate)
    mirror = ["--kind", "mirror", "--mirror", me.folder / "resources"]
    they.catalog(*mirror)
    assert they.rows() == rows
    assert they.acquire(*mirror).returncode == 0
    assert (they.digests(), they.images()) == (digests, me.images())
    assert they.acquire(*mirror, "--check", "--strict").returncode == 0

    path = they.folder / "resources" / places[5].lstrip("/")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(data)
    checked = they.acquire(*mirror, "--check", "--strict")
    assert checked.returncode == 1
    assert "1 image(s) failed and --strict is set" in checked.stderr
    assert they.failures() == [(rows[5].image_id, "changed")]
    assert len(they.digests()) == 10
    assert me.acquire(*RELEASE, "--check", "--strict").returncode == 0
    assert they.acquire(*mirror).returncode == 0
    assert they.images() == me.images()
    assert len(server.requests) == asked
