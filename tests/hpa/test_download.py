"""Large files: resumed, restarted, bounded, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cacl.errors import ImageError, Reason
from cacl.hpa.http.client import Client
from cacl.hpa.http.download import download_file
from cacl.hpa.http.limits import HttpLimits
from tests.fixtures import hpa_server as hpa
from tests.fixtures.hpa_server import HpaServer
from tests.fixtures.http import QUICK, options

BIG = "/download/proteinatlas.xml.gz"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HpaServer]:
    with HpaServer(tmp_path / "host") as running:
        yield running


def big(server: HpaServer) -> bytes:
    data = bytes(hpa.np.random.default_rng(0).integers(0, 256, 300_000, dtype=hpa.np.uint8))
    server.files[BIG] = data
    return data


def get_big(server: HpaServer, target: Path, limits: HttpLimits = QUICK) -> list[str]:
    """Download the file; return what was signed: the ETags of whole files."""
    etags: list[str] = []

    def write_record(part: Path, etag: str) -> None:
        assert part.read_bytes() == server.files[BIG]
        assert not target.exists()
        etags.append(etag)

    url = f"https://v18.proteinatlas.org{BIG}"
    with Client(options(server), limits) as client:
        download_file(client, url, target, max_bytes=10**6, write_record=write_record)
    return etags


def breaks(handler: hpa.Handler, data: bytes) -> None:
    """Send half of what is asked for, with its ETag, then break the connection."""
    half = len(data) // 2
    etag = f'"{hpa.hashlib.sha256(data).hexdigest()[:16]}"'
    handler.answer(200, data[:half], {"ETag": etag}, length=len(data))
    handler.close_connection = True


def test_a_large_file_is_resumed(server: HpaServer, tmp_path: Path) -> None:
    data = big(server)
    server.fail(BIG, breaks)
    get_big(server, tmp_path / "out" / "all.gz")
    assert (tmp_path / "out" / "all.gz").read_bytes() == data
    assert [headers.get("Range") for _, _, headers in server.requests] == [None, "bytes=150000-"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["all.gz"]


def test_a_large_file_is_resumed_by_the_next_process(server: HpaServer, tmp_path: Path) -> None:
    data = big(server)
    server.fail(BIG, breaks, hpa.status(503), hpa.status(503))
    target = tmp_path / "out" / "all.gz"
    with pytest.raises(ImageError):
        get_big(server, target, HttpLimits(max_attempts=1))
    assert not target.exists()
    get_big(server, target)
    assert target.read_bytes() == data
    assert server.requests[-1][2]["Range"] == "bytes=150000-"
    before = len(server.requests)
    get_big(server, target)
    assert len(server.requests) == before


def test_a_large_file_that_changed_between_ranges_is_restarted(
    server: HpaServer, tmp_path: Path
) -> None:
    big(server)

    def breaks_and_changes(handler: hpa.Handler, data: bytes) -> None:
        breaks(handler, data)
        server.files[BIG] = b"new" * 100_000

    server.fail(BIG, breaks_and_changes)
    get_big(server, tmp_path / "all.gz")
    assert (tmp_path / "all.gz").read_bytes() == b"new" * 100_000


def test_a_range_that_the_host_no_longer_has_is_restarted(
    server: HpaServer, tmp_path: Path
) -> None:
    data = big(server)
    server.fail(BIG, breaks, hpa.status(416))
    get_big(server, tmp_path / "all.gz")
    assert (tmp_path / "all.gz").read_bytes() == data


@pytest.mark.parametrize("with_version", [True, False])
def test_a_whole_part_of_a_killed_process_is_taken_up(
    server: HpaServer, tmp_path: Path, with_version: bool
) -> None:
    data = big(server)
    part = tmp_path / ".all.gz.part"
    part.write_bytes(data)
    etag = f'"{hpa.hashlib.sha256(data).hexdigest()[:16]}"'
    if with_version:
        (tmp_path / ".all.gz.part.version").write_text(etag)
    assert get_big(server, tmp_path / "all.gz") == [etag]
    assert (tmp_path / "all.gz").read_bytes() == data
    assert [path.name for path in tmp_path.iterdir()] == ["all.gz"]
    asked = [headers.get("Range") for _, _, headers in server.requests]
    assert asked == [f"bytes={len(data)}-" if with_version else None]


@pytest.mark.parametrize("content_range", ["bytes */300000", "bytes */17", "nonsense"])
def test_a_part_of_unknown_origin_is_never_taken_for_the_file(
    server: HpaServer, tmp_path: Path, content_range: str
) -> None:
    data = big(server)
    (tmp_path / ".all.gz.part").write_bytes(bytes(len(data)))
    server.fail(BIG, hpa.status(416, Content_Range=content_range))
    get_big(server, tmp_path / "all.gz")
    assert (tmp_path / "all.gz").read_bytes() == data


def test_a_large_file_that_is_called_an_encoding_is_kept_as_it_is_stored(
    server: HpaServer, tmp_path: Path
) -> None:
    stored = hpa.gzip.compress(bytes(100_000) + hpa.jpeg(size=256))
    server.files[BIG] = stored
    etag = f'"{hpa.hashlib.sha256(stored).hexdigest()[:16]}"'
    half = len(stored) // 2

    def labelled(handler: hpa.Handler, data: bytes) -> None:
        handler.answer(
            200, data[:half], {"ETag": etag, "Content-Encoding": "x-gzip"}, length=len(data)
        )
        handler.close_connection = True

    server.fail(BIG, labelled)
    get_big(server, tmp_path / "all.gz")
    assert (tmp_path / "all.gz").read_bytes() == stored
    assert server.requests[-1][2]["Range"] == f"bytes={half}-"


def test_a_table_that_is_packed_on_the_way_is_unpacked(server: HpaServer, tmp_path: Path) -> None:
    data = big(server)
    packed = hpa.gzip.compress(data)
    headers = {"ETag": '"packed"', "Content-Encoding": "gzip"}

    def breaks_packed(handler: hpa.Handler, _: bytes) -> None:
        handler.answer(200, packed[:200_000], headers, length=len(packed))
        handler.close_connection = True

    server.fail(BIG, breaks_packed, hpa.body(packed, ETag='"packed"', Content_Encoding="gzip"))
    url = f"https://v18.proteinatlas.org{BIG}"
    target = tmp_path / "table.zip"
    with Client(options(server), QUICK) as client:
        download_file(client, url, target, max_bytes=10**6, write_record=lambda part, etag: None)
    assert target.read_bytes() == data
    assert "Range" not in server.requests[-1][2]


def test_a_large_file_of_unknown_length_is_not_taken_for_whole(
    server: HpaServer, tmp_path: Path
) -> None:
    data = big(server)

    def without_length(handler: hpa.Handler, data: bytes) -> None:
        handler.close_connection = True
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(data[: len(data) // 2])

    server.fail(BIG, without_length)
    get_big(server, tmp_path / "all.gz")
    assert (tmp_path / "all.gz").read_bytes() == data


def test_a_large_file_goes_on_after_the_time_was_over(server: HpaServer, tmp_path: Path) -> None:
    data = big(server)
    server.fail(BIG, breaks, *[hpa.status(503)] * 500)
    patient = HttpLimits(
        max_attempts=500, initial_backoff_s=0.3, max_backoff_s=0.3, run_timeout_s=2
    )
    with pytest.raises(ImageError, match=r"time limit of the run \(2 s\) was reached") as caught:
        get_big(server, tmp_path / "all.gz", patient)
    assert caught.value.reason is Reason.POSTPONED
    server.fail(BIG)
    get_big(server, tmp_path / "all.gz")
    assert (tmp_path / "all.gz").read_bytes() == data
    assert server.requests[-1][2]["Range"] == "bytes=150000-"


def test_a_download_is_bounded(server: HpaServer, tmp_path: Path) -> None:
    server.files[BIG] = bytes(2 * 10**6)
    with pytest.raises(ImageError) as caught:
        get_big(server, tmp_path / "all.gz")
    assert caught.value.reason is Reason.TOO_LARGE
    assert not list(tmp_path.glob("*all.gz*"))
    assert not list(tmp_path.glob(".all.gz*"))
