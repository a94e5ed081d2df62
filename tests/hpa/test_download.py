"""Download of large files: resumption, restart, size limit, atomic completion."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cacl.errors import ImageError, Reason
from cacl.hpa.http.client import Client
from cacl.hpa.http.download import download_file
from cacl.hpa.http.limits import HttpLimits
from tests.fixtures import hpa_server as hpa
from tests.fixtures.hpa_server import HpaServer
from tests.fixtures.http import FAST, source_options

BIG = "/download/proteinatlas.xml.gz"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HpaServer]:
    with HpaServer(tmp_path / "host") as running:
        yield running


def add_large_file(server: HpaServer) -> bytes:
    data = bytes(np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8))
    server.files[BIG] = data
    return data


def download(server: HpaServer, target: Path, limits: HttpLimits = FAST) -> list[str]:
    """Download the file; return the ETags that `write_record` got."""
    etags: list[str] = []

    def write_record(part: Path, etag: str) -> None:
        assert part.read_bytes() == server.files[BIG]
        assert not target.exists()
        etags.append(etag)

    url = f"https://v18.proteinatlas.org{BIG}"
    with Client(source_options(server), limits) as client:
        download_file(client, url, target, max_bytes=10**6, write_record=write_record)
    return etags


def break_halfway(handler: hpa.Handler, data: bytes) -> None:
    """Send half of the requested bytes with the ETag, then close the connection."""
    half = len(data) // 2
    etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
    handler.send(200, data[:half], {"ETag": etag}, length=len(data))
    handler.close_connection = True


def test_resumes_interrupted_download(server: HpaServer, tmp_path: Path) -> None:
    data = add_large_file(server)
    server.fail(BIG, break_halfway)
    download(server, tmp_path / "out" / "all.gz")
    assert (tmp_path / "out" / "all.gz").read_bytes() == data
    assert [headers.get("Range") for _, _, headers in server.requests] == [None, "bytes=150000-"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["all.gz"]


def test_next_process_resumes_download(server: HpaServer, tmp_path: Path) -> None:
    data = add_large_file(server)
    server.fail(BIG, break_halfway, hpa.status(503), hpa.status(503))
    target = tmp_path / "out" / "all.gz"
    with pytest.raises(ImageError):
        download(server, target, HttpLimits(max_attempts=1))
    assert not target.exists()
    download(server, target)
    assert target.read_bytes() == data
    assert server.requests[-1][2]["Range"] == "bytes=150000-"
    before = len(server.requests)
    download(server, target)
    assert len(server.requests) == before


def test_restarts_download_of_a_changed_file(server: HpaServer, tmp_path: Path) -> None:
    add_large_file(server)

    def break_and_change(handler: hpa.Handler, data: bytes) -> None:
        break_halfway(handler, data)
        server.files[BIG] = b"new" * 100_000

    server.fail(BIG, break_and_change)
    download(server, tmp_path / "all.gz")
    assert (tmp_path / "all.gz").read_bytes() == b"new" * 100_000


def test_restarts_download_if_range_is_not_satisfiable(server: HpaServer, tmp_path: Path) -> None:
    data = add_large_file(server)
    server.fail(BIG, break_halfway, hpa.status(416))
    download(server, tmp_path / "all.gz")
    assert (tmp_path / "all.gz").read_bytes() == data


@pytest.mark.parametrize("with_version", [True, False])
def test_accepts_complete_part_of_a_killed_process(
    server: HpaServer, tmp_path: Path, with_version: bool
) -> None:
    data = add_large_file(server)
    part = tmp_path / ".all.gz.part"
    part.write_bytes(data)
    etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
    if with_version:
        (tmp_path / ".all.gz.part.version").write_text(etag)
    assert download(server, tmp_path / "all.gz") == [etag]
    assert (tmp_path / "all.gz").read_bytes() == data
    assert [path.name for path in tmp_path.iterdir()] == ["all.gz"]
    ranges = [headers.get("Range") for _, _, headers in server.requests]
    assert ranges == [f"bytes={len(data)}-" if with_version else None]


@pytest.mark.parametrize("content_range", ["bytes */300000", "bytes */17", "nonsense"])
def test_discards_part_without_known_etag(
    server: HpaServer, tmp_path: Path, content_range: str
) -> None:
    data = add_large_file(server)
    (tmp_path / ".all.gz.part").write_bytes(bytes(len(data)))
    server.fail(BIG, hpa.status(416, Content_Range=content_range))
    download(server, tmp_path / "all.gz")
    assert (tmp_path / "all.gz").read_bytes() == data


def test_stores_gz_file_declared_as_content_encoding_unchanged(
    server: HpaServer, tmp_path: Path
) -> None:
    compressed_bytes = gzip.compress(bytes(100_000) + hpa.jpeg(size=256))
    server.files[BIG] = compressed_bytes
    etag = f'"{hashlib.sha256(compressed_bytes).hexdigest()[:16]}"'
    half = len(compressed_bytes) // 2

    def declare_encoding(handler: hpa.Handler, data: bytes) -> None:
        handler.send(
            200, data[:half], {"ETag": etag, "Content-Encoding": "x-gzip"}, length=len(data)
        )
        handler.close_connection = True

    server.fail(BIG, declare_encoding)
    download(server, tmp_path / "all.gz")
    assert (tmp_path / "all.gz").read_bytes() == compressed_bytes
    assert server.requests[-1][2]["Range"] == f"bytes={half}-"


def test_decodes_content_encoding_of_other_files(server: HpaServer, tmp_path: Path) -> None:
    data = add_large_file(server)
    compressed = gzip.compress(data)
    headers = {"ETag": '"compressed"', "Content-Encoding": "gzip"}

    def break_gzip_encoded(handler: hpa.Handler, _: bytes) -> None:
        handler.send(200, compressed[:200_000], headers, length=len(compressed))
        handler.close_connection = True

    server.fail(
        BIG, break_gzip_encoded, hpa.body(compressed, ETag='"compressed"', Content_Encoding="gzip")
    )
    url = f"https://v18.proteinatlas.org{BIG}"
    target = tmp_path / "table.zip"
    with Client(source_options(server), FAST) as client:
        download_file(client, url, target, max_bytes=10**6, write_record=lambda part, etag: None)
    assert target.read_bytes() == data
    assert "Range" not in server.requests[-1][2]


def test_rejects_body_of_unknown_length(server: HpaServer, tmp_path: Path) -> None:
    data = add_large_file(server)

    def without_length(handler: hpa.Handler, data: bytes) -> None:
        handler.close_connection = True
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(data[: len(data) // 2])

    server.fail(BIG, without_length)
    download(server, tmp_path / "all.gz")
    assert (tmp_path / "all.gz").read_bytes() == data


def test_resumes_download_after_run_timeout(server: HpaServer, tmp_path: Path) -> None:
    data = add_large_file(server)
    server.fail(BIG, break_halfway, *[hpa.status(503)] * 500)
    limits = HttpLimits(max_attempts=500, initial_backoff_s=0.3, max_backoff_s=0.3, run_timeout_s=2)
    with pytest.raises(ImageError, match=r"time limit of the run \(2 s\) was reached") as caught:
        download(server, tmp_path / "all.gz", limits)
    assert caught.value.reason is Reason.POSTPONED
    server.fail(BIG)
    download(server, tmp_path / "all.gz")
    assert (tmp_path / "all.gz").read_bytes() == data
    assert server.requests[-1][2]["Range"] == "bytes=150000-"


def test_rejects_download_above_max_bytes(server: HpaServer, tmp_path: Path) -> None:
    server.files[BIG] = bytes(2 * 10**6)
    with pytest.raises(ImageError) as caught:
        download(server, tmp_path / "all.gz")
    assert caught.value.reason is Reason.TOO_LARGE
    assert not list(tmp_path.glob("*all.gz*"))
    assert not list(tmp_path.glob(".all.gz*"))
