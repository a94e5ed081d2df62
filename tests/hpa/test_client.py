"""The HTTP client against a real server: validation, retries, redirects, certificates."""

from __future__ import annotations

import gzip
import ssl
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cacl.errors import ImageError, Reason
from cacl.hpa.http.client import PROJECT_URL, Client
from cacl.hpa.http.limits import HttpLimits
from cacl.hpa.provenance import check_jpeg
from tests.fixtures import hpa_server as hpa
from tests.fixtures.certificates import make_certificate
from tests.fixtures.hpa_server import HpaServer
from tests.fixtures.http import FAST, IMAGE, URL, fetch, fetch_error, source_options


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HpaServer]:
    with HpaServer(tmp_path / "host") as running:
        running.files[IMAGE] = hpa.jpeg()
        yield running


def test_sends_user_agent_and_no_credentials(
    server: HpaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert fetch(server) == hpa.jpeg()
    headers = server.requests[0][2]
    assert headers["User-Agent"].startswith("cacl-atlas/")
    assert PROJECT_URL in headers["User-Agent"]
    assert not {"Authorization", "Cookie"} & set(headers)


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_retries_temporary_status(server: HpaServer, code: int) -> None:
    server.fail(IMAGE, hpa.status(code))
    assert fetch(server) == hpa.jpeg()
    assert server.request_count(IMAGE) == 2


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_fails_after_max_attempts(server: HpaServer, code: int) -> None:
    server.fail(IMAGE, hpa.status(code), always=True)
    error = fetch_error(server)
    assert error.reason is Reason.UNREACHABLE
    assert f"HTTP {code}" in str(error)
    assert server.request_count(IMAGE) == FAST.max_attempts


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (404, Reason.NOT_FOUND),
        (410, Reason.NOT_FOUND),
        (401, Reason.REFUSED),
        (403, Reason.REFUSED),
        (416, Reason.UNREACHABLE),
    ],
)
def test_does_not_retry_refusals(server: HpaServer, code: int, reason: Reason) -> None:
    server.fail(IMAGE, hpa.status(code), always=True)
    assert fetch_error(server).reason is reason
    if code != 416:
        assert server.request_count(IMAGE) == 1


@pytest.mark.parametrize(
    "fault",
    [hpa.short_body, hpa.connection_reset, hpa.web_page, hpa.truncated, hpa.long_body],
    ids=["shorter", "reset", "web page", "cut", "longer"],
)
def test_retries_invalid_transfers(server: HpaServer, fault: hpa.Fault) -> None:
    server.files[IMAGE] = hpa.jpeg(size=256)
    server.fail(IMAGE, fault)
    assert fetch(server) == hpa.jpeg(size=256)
    assert server.request_count(IMAGE) == 2


@pytest.mark.slow
def test_read_timeout_ends_silent_connection(server: HpaServer) -> None:
    server.fail(IMAGE, hpa.delayed(200))
    assert fetch(server, replace(FAST, read_timeout_s=2)) == hpa.jpeg()
    before = server.request_count(IMAGE)
    assert before >= 2
    server.fail(IMAGE, hpa.delayed(200), always=True)
    error = fetch_error(server, replace(FAST, read_timeout_s=0.3))
    assert error.reason is Reason.UNREACHABLE
    assert server.request_count(IMAGE) == before + FAST.max_attempts


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (hpa.web_page, Reason.NOT_AN_IMAGE),
        (hpa.body(b""), Reason.NOT_AN_IMAGE),
        (hpa.body(hpa.PNG), Reason.NOT_AN_IMAGE),
        (hpa.body(hpa.png_with_size(100_000)), Reason.NOT_AN_IMAGE),
        (hpa.truncated, Reason.DAMAGED),
        (hpa.long_body, Reason.DAMAGED),
        (hpa.short_body, Reason.UNREACHABLE),
        (hpa.connection_reset, Reason.UNREACHABLE),
        (hpa.body(hpa.with_huge_size(hpa.jpeg())), Reason.TOO_LARGE),
        (hpa.body(b"not gzip", Content_Encoding="gzip"), Reason.UNREACHABLE),
    ],
)
def test_reports_reason_of_persistent_invalid_body(
    server: HpaServer, fault: hpa.Fault, reason: Reason
) -> None:
    server.files[IMAGE] = hpa.jpeg(size=256)
    server.fail(IMAGE, fault, always=True)
    assert fetch_error(server).reason is reason


@pytest.mark.slow
@pytest.mark.parametrize("fault", [hpa.slow_body, hpa.slow_headers, hpa.slow_chunk_size])
def test_transfer_timeout_ends_slow_response(server: HpaServer, fault: hpa.Fault) -> None:
    server.fail(IMAGE, fault)
    assert (
        fetch(server, HttpLimits(read_timeout_s=30, transfer_timeout_s=3, initial_backoff_s=0.01))
        == hpa.jpeg()
    )
    assert server.request_count(IMAGE) >= 2
    server.fail(IMAGE, fault, always=True)
    error = fetch_error(server, HttpLimits(max_attempts=1, read_timeout_s=30, transfer_timeout_s=1))
    assert error.reason is Reason.UNREACHABLE
    assert "too long" in str(error)


def test_corrupt_jpeg_is_damaged() -> None:
    data = bytearray(hpa.jpeg(size=256))
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    with pytest.raises(ImageError) as caught:
        check_jpeg(bytes(data))
    assert caught.value.reason is Reason.DAMAGED


def test_decodes_gzip_content_encoding(server: HpaServer) -> None:
    server.fail(IMAGE, hpa.gzip_encoded)
    assert fetch(server) == hpa.jpeg()


def test_rejects_decompression_bomb(server: HpaServer) -> None:
    bomb = gzip.compress(bytes(2**20)) * 300
    server.fail(IMAGE, hpa.body(bomb, Content_Encoding="gzip"), always=True)
    tracemalloc.start()
    try:
        error = fetch_error(server, HttpLimits(max_file_bytes=10**6, max_attempts=1))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert error.reason is Reason.TOO_LARGE
    assert peak_bytes < 20 * 10**6


def test_ignores_bytes_after_the_declared_body(server: HpaServer) -> None:
    other = "/images/115/other.jpg"
    server.files[other] = hpa.jpeg(1)

    def with_extra_response(handler: hpa.Handler, data: bytes) -> None:
        forged = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(hpa.jpeg(2)) + hpa.jpeg(2)
        handler.send(200, data + forged, {}, length=len(data))

    server.fail(IMAGE, with_extra_response)
    with Client(source_options(server), FAST) as client:
        assert client.fetch(URL, check_jpeg).data == hpa.jpeg()
        time.sleep(0.1)
        response = client.fetch(f"http://v18.proteinatlas.org{other}", check_jpeg)
    assert response.data == hpa.jpeg(1)


def test_rejects_body_above_max_file_bytes(server: HpaServer) -> None:
    server.files[IMAGE] = hpa.jpeg(size=256)
    error = fetch_error(server, HttpLimits(max_file_bytes=1000))
    assert error.reason is Reason.TOO_LARGE
    assert server.request_count(IMAGE) == 1


def test_message_of_a_long_status_line_is_short(server: HpaServer) -> None:
    def send(handler: hpa.Handler, _: bytes) -> None:
        handler.close_connection = True
        handler.wfile.write(b"5;" + b"x" * 40_000 + b"\r\n\r\n")

    server.fail(IMAGE, send, always=True)
    error = fetch_error(server)
    assert error.reason is Reason.UNREACHABLE
    assert len(str(error)) <= 2000
    assert str(error).endswith("run again later")


def test_refused_connection_is_unreachable(server: HpaServer) -> None:
    with HpaServer(Path()) as gone:
        pass
    error = fetch_error(server, host=gone.url)
    assert error.reason is Reason.UNREACHABLE
    assert "4 attempt(s)" in str(error)


def test_follows_redirect_on_the_same_host(server: HpaServer) -> None:
    server.files["/images/new/x.jpg"] = hpa.jpeg(1)
    server.fail(IMAGE, hpa.redirect("/images/new/x.jpg"))
    assert fetch(server) == hpa.jpeg(1)


def test_redirect_loop_is_unreachable(server: HpaServer) -> None:
    server.fail(IMAGE, hpa.redirect(IMAGE), always=True)
    error = fetch_error(server)
    assert error.reason is Reason.UNREACHABLE
    assert server.request_count(IMAGE) == FAST.max_redirects + 1


@pytest.mark.parametrize(
    "location",
    [
        "http://example.org/x.jpg",
        "file:///etc/passwd",
        "http://127.0.0.1:9/x.jpg",
        "http://localhost/x.jpg",
        "http://me:secret@127.0.0.1/x.jpg",
        "ftp://v18.proteinatlas.org/x.jpg",
        "http://v18.proteinatlas.org:8080/x.jpg",
        "http://v18.proteinatlas.org.example.org/x.jpg",
        "//[",
    ],
)
def test_rejects_redirect_to_other_hosts(server: HpaServer, location: str) -> None:
    server.fail(IMAGE, hpa.redirect(location))
    assert fetch_error(server).reason is Reason.UNSAFE_URL
    assert len(server.requests) == 1


def test_contacts_other_server_only_if_allowed(server: HpaServer, tmp_path: Path) -> None:
    with HpaServer(tmp_path) as other:
        other.files["/x.jpg"] = hpa.jpeg(2)
        server.fail(IMAGE, hpa.redirect(f"{other.url}/x.jpg"), always=True)
        assert fetch_error(server).reason is Reason.UNSAFE_URL
        with Client(source_options(server), FAST) as client:
            with pytest.raises(ImageError) as caught:
                client.fetch(f"{other.url}/x.jpg", check_jpeg)
            assert caught.value.reason is Reason.UNSAFE_URL
        assert not other.requests
        assert fetch(server, allowed_hosts=(other.netloc,)) == hpa.jpeg(2)
        assert len(other.requests) == 1


def test_rejects_untrusted_certificate(server: HpaServer, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make_certificate(key, certificate)
    with HpaServer(tmp_path) as secure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        secure.wrap(context)
        error = fetch_error(server, host=secure.url.replace("http://", "https://"))
    assert error.reason is Reason.UNREACHABLE
    assert "REQUESTS_CA_BUNDLE" in str(error)


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HpaServer]:
    """Serve by https with a trusted certificate."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make_certificate(key, certificate)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with HpaServer(tmp_path) as running:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        running.wrap(context)
        running.files[IMAGE] = hpa.jpeg()
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("fault", [hpa.slow_body, hpa.slow_headers, hpa.slow_chunk_size])
def test_transfer_timeout_ends_slow_https_response(secure: HpaServer, fault: hpa.Fault) -> None:
    secure.fail(IMAGE, fault)
    limits = HttpLimits(read_timeout_s=30, transfer_timeout_s=3, initial_backoff_s=0.01)
    assert fetch(secure, limits, host=f"https://{secure.netloc}") == hpa.jpeg()
    assert secure.request_count(IMAGE) >= 2


def test_rejects_redirect_from_https_to_http(secure: HpaServer, server: HpaServer) -> None:
    secure.fail(IMAGE, hpa.redirect(f"{server.url}{IMAGE}"))
    error = fetch_error(secure, host=f"https://{secure.netloc}", allowed_hosts=(server.netloc,))
    assert error.reason is Reason.UNSAFE_URL
    assert "without https" in str(error)
    assert not server.requests
