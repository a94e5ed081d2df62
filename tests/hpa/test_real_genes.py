"""The commands on real genes: from the host by its real name, then from a mirror.

The commands run in subprocesses against `https://v18.proteinatlas.org`. A proxy on loopback
responds instead of the host.
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

pytestmark = pytest.mark.slow

GENES = ("ENSG00000001167", "ENSG00000134057")
HOST = "v18.proteinatlas.org"
RELEASE = ["--kind", "hpa", "--hpa-version", "18", "--requests-per-second", "200"]


class CommandLineUser:
    """Runs commands in a folder, with a network that uses a proxy."""

    def __init__(self, folder: Path, server: HpaServer, certificate: Path) -> None:
        self.folder = folder
        proxies = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), server.url)
        no_proxy = dict.fromkeys(("NO_PROXY", "no_proxy"), "")
        authority = {"REQUESTS_CA_BUNDLE": str(certificate)}
        self.environment = os.environ | proxies | no_proxy | authority
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
        paths = ["--out", "catalog", "--failures", "catalog.csv", "--downloads", "resources"]
        completed = self("catalog", *paths, *source, "--tissues", "duodenum", "--shards", 1)
        assert completed.returncode == 0, completed.stderr
        return completed.stdout

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
        root = self.folder / "resources"
        files = (path for path in root.rglob("*.jpg") if path.is_file())
        return {f"/{path.relative_to(root)}": path.read_bytes() for path in files}


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    host_names = ",".join(f"DNS:{name}" for name in (HOST, "example.org"))
    make_certificate(tmp_path / "key.pem", tmp_path / "certificate.pem", host_names)
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


def test_commands_on_real_genes_from_host_and_mirror(
    server: HpaServer, certificate: Path, tmp_path: Path
) -> None:
    user = CommandLineUser(tmp_path / "me", server, certificate)
    genes = [part for gene in (*GENES, "ENSG00000001168") for part in ("--genes", gene)]
    output = user.catalog(*RELEASE, *genes)
    assert output.splitlines() == [
        "2 genes, 5 antibodies, 11 images, 7 annotations",
        "labels: 6 positive, 0 negative, 5 without (0 of them because antibody and gene disagree)",
        "antibodies without images in these tissues: 1 (HPA030741)",
        "failures: 2 not_found; see the table of failures",
    ]
    rows = user.rows()
    url_paths = [row.url.removeprefix(f"http://{HOST}") for row in rows]
    assert url_paths[0] == "/images/115/2043_A_7_2.jpg"
    for number, url_path in enumerate(url_paths):
        server.files[url_path] = hpa.jpeg(number)
    server.fail(url_paths[3], hpa.redirect("https://example.org/x.jpg"), always=True)

    assert user.acquire(*RELEASE).returncode == 0
    assert user.failures() == [(rows[3].image_id, "unsafe_url")]
    server.fail(url_paths[3])
    n_requests = len(server.requests)
    assert user.acquire(*RELEASE, "--max-minutes", 5).returncode == 0
    assert [path for _, path, _ in server.requests[n_requests:]] == [url_paths[3]]
    assert set(server.tunnels) == {f"{HOST}:443"}
    assert user.images() == {url_path: server.files[url_path] for url_path in url_paths}
    digests = {
        row.image_id: hashlib.sha256(server.files[url_path]).hexdigest()
        for row, url_path in zip(rows, url_paths, strict=True)
    }
    assert user.digests() == digests
    for row, url_path in zip(rows, url_paths, strict=True):
        path = user.folder / "resources" / url_path.lstrip("/")
        provenance = json.loads(path.with_suffix(".json").read_text())
        assert (provenance["url"], provenance["sha256"]) == (row.url, digests[row.image_id])
        assert (provenance["hpa_version"], provenance["licence"]) == ("18", "CC BY-SA 3.0")
        assert provenance["etag"]
        assert "Human Protein Atlas" in provenance["credit"]

    n_requests = len(server.requests)
    other_user = CommandLineUser(tmp_path / "they", server, certificate)
    mirror = ["--kind", "mirror", "--mirror", user.folder / "resources"]
    other_user.catalog(*mirror)
    assert other_user.rows() == rows
    assert other_user.acquire(*mirror).returncode == 0
    assert (other_user.digests(), other_user.images()) == (digests, user.images())
    assert other_user.acquire(*mirror, "--check", "--strict").returncode == 0

    path = other_user.folder / "resources" / url_paths[5].lstrip("/")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(data)
    checked = other_user.acquire(*mirror, "--check", "--strict")
    assert checked.returncode == 1
    assert "1 image(s) failed and --strict is set" in checked.stderr
    assert other_user.failures() == [(rows[5].image_id, "changed")]
    assert len(other_user.digests()) == 10
    assert user.acquire(*RELEASE, "--check", "--strict").returncode == 0
    assert other_user.acquire(*mirror).returncode == 0
    assert other_user.images() == user.images()
    assert len(server.requests) == n_requests
