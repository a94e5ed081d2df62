"""The client against a real server: what it takes, and what it never does."""

from __future__ import annotations

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
from tests.fixtures.http import IMAGE, QUICK, URL, fetch, options, refused


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HpaServer]:
    with HpaServer(tmp_path / "host") as running:
        running.files[IMAGE] = hpa.jpeg()
        yield running


def test_fetches_with_an_honest_user_agent_and_no_credentials(
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
def test_a_status_that_passes_is_waited_out(server: HpaServer, code: int) -> None:
    server.fail(IMAGE, hpa.status(code))
    assert fetch(server) == hpa.jpeg()
    assert server.asked(IMAGE) == 2


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_a_status_that_stays_is_given_up(server: HpaServer, code: int) -> None:
    server.fail(IMAGE, hpa.status(code), for_ever=True)
    error = refused(server)
    assert error.reason is Reason.UNREACHABLE
    assert f"HTTP {code}" in str(error)
    assert server.asked(IMAGE) == QUICK.max_attempts


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
def test_a_refusal_is_not_argued_with(server: HpaServer, code: int, reason: Reason) -> None:
    server.fail(IMAGE, hpa.status(code), for_ever=True)
    assert refused(server).reason is reason
    if code != 416:
        assert server.asked(IMAGE) == 1


@pytest.mark.parametrize(
    "fault",
    [hpa.shorter, hpa.reset, hpa.web_page, hpa.cut, hpa.longer],
    ids=["shorter", "reset", "web page", "cut", "longer"],
)
def test_a_bad_transfer_is_repeated(server: HpaServer, fault: hpa.Fault) -> None:
    server.files[IMAGE] = hpa.jpeg(size=256)
    server.fail(IMAGE, fault)
    assert fetch(server) == hpa.jpeg(size=256)
    assert server.asked(IMAGE) == 2


def test_silence_is_not_waited_for(server: HpaServer) -> None:
    server.fail(IMAGE, hpa.silent(200))
    assert fetch(server, replace(QUICK, read_timeout_s=2)) == hpa.jpeg()
    before = server.asked(IMAGE)
    assert before >= 2
    server.fail(IMAGE, hpa.silent(200), for_ever=True)
    error = refused(server, replace(QUICK, read_timeout_s=0.3))
    assert error.reason is Reason.UNREACHABLE
    assert server.asked(IMAGE) == before + QUICK.max_attempts


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (hpa.web_page, Reason.NOT_AN_IMAGE),
        (hpa.body(b""), Reason.NOT_AN_IMAGE),
        (hpa.body(hpa.PNG), Reason.NOT_AN_IMAGE),
        (hpa.body(hpa.png_that_claims(100_000)), Reason.NOT_AN_IMAGE),
        (hpa.cut, Reason.DAMAGED),
        (hpa.longer, Reason.DAMAGED),
        (hpa.shorter, Reason.UNREACHABLE),
        (hpa.reset, Reason.UNREACHABLE),
        (hpa.body(hpa.claims_to_be_huge(hpa.jpeg())), Reason.TOO_LARGE),
        (hpa.body(b"not gzip", Content_Encoding="gzip"), Reason.UNREACHABLE),
    ],
)
def test_a_bad_body_that_stays_is_refused(
    server: HpaServer, fault: hpa.Fault, reason: Reason
) -> None:
    server.files[IMAGE] = hpa.jpeg(size=256)
    server.fail(IMAGE, fault, for_ever=True)
    assert refused(server).reason is reason


@pytest.mark.parametrize("fault", [hpa.drip, hpa.drip_headers, hpa.drip_chunk_size])
def test_one_byte_a_second_is_not_waited_for(server: HpaServer, fault: hpa.Fault) -> None:
    server.fail(IMAGE, fault)
    assert (
        fetch(server, HttpLimits(read_timeout_s=30, transfer_timeout_s=3, initial_backoff_s=0.01))
        == hpa.jpeg()
    )
    assert server.asked(IMAGE) >= 2
    server.fail(IMAGE, fault, for_ever=True)
    error = refused(server, HttpLimits(max_attempts=1, read_timeout_s=30, transfer_timeout_s=1))
    assert error.reason is Reason.UNREACHABLE
    assert "too long" in str(error)


def test_a_jpeg_with_a_hole_is_damaged() -> None:
    data = bytearray(hpa.jpeg(size=256))
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    with pytest.raises(ImageError) as caught:
        check_jpeg(bytes(data))
    assert caught.value.reason is Reason.DAMAGED


def test_gzip_content_encoding_is_undone(server: HpaServer) -> None:
    server.fail(IMAGE, hpa.compressed)
    assert fetch(server) == hpa.jpeg()


def test_a_body_that_unpacks_without_end_is_refused(server: HpaServer) -> None:
    bomb = hpa.gzip.compress(bytes(2**20)) * 300
    server.fail(IMAGE, hpa.body(bomb, Content_Encoding="gzip"), for_ever=True)
    tracemalloc.start()
    try:
        error = refused(server, HttpLimits(max_file_bytes=10**6, max_attempts=1))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert error.reason is Reason.TOO_LARGE
    assert peak_bytes < 20 * 10**6


def test_bytes_after_a_body_are_not_taken_for_the_next_answer(server: HpaServer) -> None:
    other = "/images/115/other.jpg"
    server.files[other] = hpa.jpeg(1)

    def says_more(handler: hpa.Handler, data: bytes) -> None:
        forged = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(hpa.jpeg(2)) + hpa.jpeg(2)
        handler.answer(200, data + forged, {}, length=len(data))

    server.fail(IMAGE, says_more)
    with Client(options(server), QUICK) as client:
        assert client.fetch(URL, check_jpeg).data == hpa.jpeg()
        time.sleep(0.1)
        answer = client.fetch(f"http://v18.proteinatlas.org{other}", check_jpeg)
    assert answer.data == hpa.jpeg(1)


def test_more_bytes_than_a_core_has_are_refused(server: HpaServer) -> None:
    server.files[IMAGE] = hpa.jpeg(size=256)
    error = refused(server, HttpLimits(max_file_bytes=1000))
    assert error.reason is Reason.TOO_LARGE
    assert server.asked(IMAGE) == 1


def test_connection_refused(server: HpaServer) -> None:
    with HpaServer(Path()) as gone:
        pass
    error = refused(server, host=gone.url)
    assert error.reason is Reason.UNREACHABLE
    assert "4 attempt(s)" in str(error)


def test_a_redirect_on_the_same_host_is_followed(server: HpaServer) -> None:
    server.files["/images/new/x.jpg"] = hpa.jpeg(1)
    server.fail(IMAGE, hpa.redirect("/images/new/x.jpg"))
    assert fetch(server) == hpa.jpeg(1)


def test_a_redirect_loop_ends(server: HpaServer) -> None:
    server.fail(IMAGE, hpa.redirect(IMAGE), for_ever=True)
    error = refused(server)
    assert error.reason is Reason.UNREACHABLE
    assert server.asked(IMAGE) == QUICK.max_redirects + 1


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
def test_a_redirect_elsewhere_is_not_followed(server: HpaServer, location: str) -> None:
    server.fail(IMAGE, hpa.redirect(location))
    assert refused(server).reason is Reason.UNSAFE_URL
    assert len(server.requests) == 1


def test_a_second_server_is_never_contacted_unless_allowed(
    server: HpaServer, tmp_path: Path
) -> None:
    with HpaServer(tmp_path) as other:
        other.files["/x.jpg"] = hpa.jpeg(2)
        server.fail(IMAGE, hpa.redirect(f"{other.url}/x.jpg"), for_ever=True)
        assert refused(server).reason is Reason.UNSAFE_URL
        with Client(options(server), QUICK) as client:
            with pytest.raises(ImageError) as caught:
                client.fetch(f"{other.url}/x.jpg", check_jpeg)
            assert caught.value.reason is Reason.UNSAFE_URL
        assert not other.requests
        assert fetch(server, allowed_hosts=(other.netloc,)) == hpa.jpeg(2)
        assert len(other.requests) == 1


def test_a_certificate_that_is_not_trusted_is_not_accepted(
    server: HpaServer, tmp_path: Path
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make_certificate(key, certificate)
    with HpaServer(tmp_path) as secure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        secure.wrap(context)
        error = refused(server, host=secure.url.replace("http://", "https://"))
    assert error.reason is Reason.UNREACHABLE
    assert "REQUESTS_CA_BUNDLE" in str(error)


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HpaServer]:
    """Serve by https with a certificate that is trusted."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make_certificate(key, certificate)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with HpaServer(tmp_path) as running:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        running.wrap(context)
        running.files[IMAGE] = hpa.jpeg()
        yield running


@pytest.mark.parametrize("fault", [hpa.drip, hpa.drip_headers, hpa.drip_chunk_size])
def test_one_byte_a_second_by_https(secure: HpaServer, fault: hpa.Fault) -> None:
    secure.fail(IMAGE, fault)
    limits = HttpLimits(read_timeout_s=30, transfer_timeout_s=3, initial_backoff_s=0.01)
    assert fetch(secure, limits, host=f"https://{secure.netloc}") == hpa.jpeg()
    assert secure.asked(IMAGE) >= 2


def test_a_redirect_from_https_to_http_is_not_followed(
    secure: HpaServer, server: HpaServer
) -> None:
    secure.fail(IMAGE, hpa.redirect(f"{server.url}{IMAGE}"))
    error = refused(secure, host=f"https://{secure.netloc}", allowed_hosts=(server.netloc,))
    assert error.reason is Reason.UNSAFE_URL
    assert "without https" in str(error)
    assert not server.requests
