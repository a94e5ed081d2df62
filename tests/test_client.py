"""The client against a real server: patience, manners, and no trust."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import hpa_server as hpa
import pytest
from asking import IMAGE, QUICK, URL, fetch, options, refused
from hpa_server import HpaServer

from cacl.atlas.client import PROJECT_URL, Client, Limits, retry_after_s
from cacl.atlas.receipts import check_jpeg
from cacl.errors import ImageError, Reason


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
    assert server.asked(IMAGE) == QUICK.attempts


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


def test_retry_after_in_seconds_is_honoured(server: HpaServer) -> None:
    server.fail(IMAGE, hpa.status(429, Retry_After="1"))
    start = time.monotonic()
    fetch(server)
    assert 1.0 <= time.monotonic() - start < 3


def test_retry_after_as_a_date_is_honoured(server: HpaServer) -> None:
    date = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    server.fail(IMAGE, hpa.status(503, Retry_After=format_datetime(date, usegmt=True)))
    fetch(server)
    assert datetime.now(UTC) >= date


def test_retry_after_holds_all_threads(server: HpaServer) -> None:
    server.files["/images/1/b.jpg"] = hpa.jpeg()
    server.fail(IMAGE, hpa.status(429, Retry_After="1"))
    with Client(options(server), QUICK) as client, ThreadPoolExecutor(2) as pool:
        first = pool.submit(client.fetch, URL, check_jpeg)
        while not server.requests:
            time.sleep(0.01)
        time.sleep(0.1)
        second = pool.submit(client.fetch, "http://v18.proteinatlas.org/images/1/b.jpg", check_jpeg)
        first.result(), second.result()
    times = [when for when, _, _ in server.requests]
    assert min(times[1:]) - times[0] >= 0.9


def test_a_host_that_asks_for_hours_is_left_alone(server: HpaServer) -> None:
    server.fail(IMAGE, hpa.status(429, Retry_After="86400"))
    start = time.monotonic()
    assert refused(server).reason is Reason.UNREACHABLE
    assert time.monotonic() - start < 1
    assert server.asked(IMAGE) == 1


def test_retry_after_forms() -> None:
    assert retry_after_s("120") == 120
    assert retry_after_s("Thu, 01 Jan 1970 00:00:00 GMT") == 0
    assert retry_after_s("soon") is None
    assert retry_after_s("") is None


@pytest.mark.parametrize(
    "fault",
    [hpa.shorter, hpa.reset, hpa.silent(1.0), hpa.web_page, hpa.cut, hpa.longer],
    ids=["shorter", "reset", "silent", "web page", "cut", "longer"],
)
def test_a_bad_transfer_is_repeated(server: HpaServer, fault: hpa.Fault) -> None:
    server.files[IMAGE] = hpa.jpeg(size=256)
    server.fail(IMAGE, fault)
    assert fetch(server) == hpa.jpeg(size=256)
    assert server.asked(IMAGE) == 2


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
        (hpa.silent(0.8), Reason.UNREACHABLE),
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
    start = time.monotonic()
    assert fetch(server, Limits(silence_s=30, transfer_s=3, first_wait_s=0.01)) == hpa.jpeg()
    assert 3 <= time.monotonic() - start < 6
    assert server.asked(IMAGE) == 2
    server.fail(IMAGE, fault, for_ever=True)
    error = refused(server, Limits(attempts=1, silence_s=30, transfer_s=1))
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


def test_more_bytes_than_a_core_has_are_refused(server: HpaServer) -> None:
    server.files[IMAGE] = hpa.jpeg(size=256)
    error = refused(server, Limits(file_bytes=1000))
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
    assert server.asked(IMAGE) == QUICK.redirects + 1


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


@pytest.mark.parametrize("fault", [hpa.drip, hpa.drip_headers, hpa.drip_chunk_size])
def test_one_byte_a_second_by_https(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: hpa.Fault
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make_certificate(key, certificate)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with HpaServer(tmp_path) as secure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        secure.wrap(context)
        secure.files[IMAGE] = hpa.jpeg()
        secure.fail(IMAGE, fault)
        limits = Limits(silence_s=30, transfer_s=2, first_wait_s=0.01)
        assert fetch(secure, limits, host=secure.url.replace("http://", "https://")) == hpa.jpeg()
        assert secure.asked(IMAGE) == 2


def make_certificate(key: Path, certificate: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    names = [
        "-subj",
        "/CN=127.0.0.1",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    subprocess.run([*command, *names], check=True, capture_output=True)


def test_the_rate_is_kept_and_kept_busy(server: HpaServer) -> None:
    paths = [f"/images/1/{number}.jpg" for number in range(60)]
    for path in paths:
        server.files[path] = hpa.jpeg()
    server.latency_s = 0.03
    with (
        Client(options(server, requests_per_second=40.0), QUICK) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        urls = [f"http://v18.proteinatlas.org{path}" for path in paths]
        list(pool.map(lambda url: client.fetch(url, check_jpeg), urls))
    times = sorted(when for when, _, _ in server.requests)
    rate = (len(times) - 1) / (times[-1] - times[0])
    assert 38 <= rate <= 42
    assert server.most_open <= 4


def test_never_more_than_four_connections(server: HpaServer) -> None:
    server.latency_s = 0.1
    with Client(options(server), QUICK) as client, ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda _: client.fetch(URL, check_jpeg), range(24)))
    assert server.most_open == 4


def test_stop_ends_a_wait_at_once(server: HpaServer) -> None:
    server.fail(IMAGE, hpa.status(429, Retry_After="60"))
    client = Client(options(server), QUICK.__class__())
    threading.Timer(0.3, client.stop).start()
    start = time.monotonic()
    with pytest.raises(ImageError), client:
        client.fetch(URL, check_jpeg)
    assert time.monotonic() - start < 2


def test_a_run_has_a_total_time(server: HpaServer) -> None:
    server.fail(IMAGE, hpa.status(503), for_ever=True)
    start = time.monotonic()
    error = refused(server, Limits(attempts=100, first_wait_s=0.3, longest_wait_s=0.3, run_s=1))
    assert error.reason is Reason.UNREACHABLE
    assert 1 <= time.monotonic() - start < 2
    server.fail(IMAGE)
    with Client(options(server), Limits(run_s=0.5)) as client:
        assert client.fetch(URL, check_jpeg).data == hpa.jpeg()
        time.sleep(0.6)
        with pytest.raises(ImageError, match=r"time of the run \(0\.5 s\) was over.*run again"):
            client.fetch(URL, check_jpeg)
