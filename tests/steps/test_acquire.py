"""Images of every kind of source, verified, kept, and verified again."""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cacl.config import SourceConfig
from cacl.errors import ConfigError, StrictError
from cacl.hpa.http.limits import HttpLimits
from tests.fixtures import hpa_server as hpa
from tests.fixtures.acquiring import ALL, PLACES, SI, Work, hpa_source, names
from tests.fixtures.hpa_server import HpaServer


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


@pytest.fixture
def server(work: Work) -> Iterator[HpaServer]:
    with HpaServer(work.host) as running:
        work.serve()
        yield running


def test_a_mirror_is_linked_with_receipts(work: Work) -> None:
    work.serve()
    rows = work.run()
    assert names(rows) == ALL
    target = work.images / "135" / "1_A_7_2.jpg"
    assert rows[1].path == str(target)
    assert target.samefile(work.host / PLACES[1].lstrip("/"))
    receipt = json.loads(target.with_suffix(".json").read_text())
    assert receipt["sha256"] == rows[1].sha256
    assert receipt["size_bytes"] == rows[1].size_bytes == len(hpa.jpeg(1))
    assert receipt["url"] == f"http://v23.proteinatlas.org{PLACES[1]}"
    assert receipt["hpa_version"] == "23"
    assert "Human Protein Atlas" in receipt["credit"]


def test_a_mirror_that_changed_is_linked_anew(work: Work) -> None:
    work.serve()
    before = work.run()
    place = work.host / PLACES[0].lstrip("/")
    place.unlink()
    place.write_bytes(hpa.jpeg(9))
    after = work.run()
    assert before[0].sha256 != after[0].sha256
    assert before[1:] == after[1:]
    assert (work.images / "135" / "0_A_7_2.jpg").read_bytes() == hpa.jpeg(9)
    assert work.run() == after


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "not_found"),
        (b"", "not_an_image"),
        (hpa.HTML, "not_an_image"),
        (hpa.PNG, "not_an_image"),
        (hpa.png_that_claims(100_000), "not_an_image"),
        (b"just text", "not_an_image"),
        (hpa.jpeg()[:-40], "damaged"),
    ],
)
def test_a_bad_file_in_a_mirror_is_one_failure(work: Work, data: bytes | None, reason: str) -> None:
    work.serve()
    place = work.host / PLACES[1].lstrip("/")
    place.unlink()
    if data is not None:
        place.write_bytes(data)
    assert names(work.run()) == [ALL[0], ALL[2]]
    assert work.failures() == [("HPA000135/1_A_7_2", reason)]
    assert sorted(path.name for path in (work.images / "135").iterdir()) == [
        "0_A_7_2.jpg",
        "0_A_7_2.json",
        "2_A_7_2.jpg",
        "2_A_7_2.json",
    ]
    with pytest.raises(StrictError, match=r"1 image\(s\) failed"):
        work.run(strict=True)


def test_a_manifest_stays_where_it_is(work: Work, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "x.png").write_bytes(hpa.PNG)
    (mine / "empty.png").write_bytes(b"")
    (mine / "folder.png").mkdir()
    (mine / "m.csv").write_text(
        "image_path,antibody_id,patient_id,mpp\n"
        "x.png,AB1,p,0.5\ngone.png,AB1,p,\nempty.png,AB1,p,\nfolder.png,AB1,p,\n"
    )
    work.catalog(SourceConfig(kind="manifest", manifest=mine / "m.csv"))
    (row,) = work.run()
    assert (row.image_id, row.path, row.mpp) == ("AB1/x", str(mine / "x.png"), 0.5)
    assert row.size_bytes == len(hpa.PNG)
    assert work.failures() == [
        ("AB1/empty", "not_an_image"),
        ("AB1/folder", "not_an_image"),
        ("AB1/gone", "not_found"),
    ]
    assert not work.images.exists()


def test_the_host_is_asked_once(work: Work, server: HpaServer) -> None:
    source = hpa_source(server)
    rows = work.run(source)
    assert names(rows) == ALL
    assert sorted(path for _, path, _ in server.requests) == PLACES
    before = work.files()
    assert work.run(source) == rows
    assert (len(server.requests), work.files()) == (3, before)
    receipt = json.loads((work.images / "135" / "0_A_7_2.json").read_text())
    assert receipt["etag"]
    assert receipt["fetched"].endswith("+00:00")


def test_progress_says_the_rate_and_the_time_left(
    work: Work, server: HpaServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        work.run(hpa_source(server))
    (line,) = (text for text in caplog.messages if text.startswith("acquire: images: "))
    assert re.fullmatch(r"acquire: images: 3 of 3, [\d.]+/s, [\d.]+ MB/s, 0 s left", line)


def test_a_run_has_a_total_time(
    work: Work, server: HpaServer, caplog: pytest.LogCaptureFixture
) -> None:
    source = hpa_source(server)
    server.fail(PLACES[1], hpa.status(503), for_ever=True)
    patient = HttpLimits(max_attempts=500, initial_backoff_s=0.5, max_backoff_s=0.5)
    assert names(work.run(source, limits=patient, max_minutes=3 / 60)) == [ALL[0], ALL[2]]
    assert work.failures() == [("HPA000135/1_A_7_2", "postponed")]
    assert (
        "1 of 3 images are missing because the time limit was reached; run the same" in caplog.text
    )
    asked = len(server.requests)
    server.fail(PLACES[1])
    assert names(work.run(source, max_minutes=3)) == ALL
    assert [path for _, path, _ in server.requests[asked:]] == [PLACES[1]]


def test_no_time_at_all_is_a_mistake(work: Work, server: HpaServer) -> None:
    for minutes in (0.0, -1.0, math.nan):
        with pytest.raises(ConfigError, match=r"source\.max_minutes is .*; expected more than 0"):
            work.run(hpa_source(server), max_minutes=minutes)
    assert not server.requests


def test_an_image_of_another_release_is_not_taken_for_this_one(
    work: Work, server: HpaServer
) -> None:
    rows = work.run(hpa_source(server))
    receipt = work.images / "135" / "1_A_7_2.json"
    values = json.loads(receipt.read_text())
    older = values | {"url": values["url"].replace("v23", "v18"), "hpa_version": "18"}
    receipt.write_text(json.dumps(older))
    assert work.run(hpa_source(server)) == rows
    assert server.asked(PLACES[1]) == 2
    assert json.loads(receipt.read_text())["hpa_version"] == "23"


def test_what_was_acquired_is_a_mirror(work: Work, server: HpaServer, tmp_path: Path) -> None:
    rows = work.run(hpa_source(server))
    resources = work.images.parent
    (resources / f"{SI}.xml").write_bytes((work.host / f"{SI}.xml").read_bytes())
    other = Work(tmp_path / "other_group")
    other.catalog(SourceConfig(kind="mirror", mirror=resources))
    assert [row.sha256 for row in other.run()] == [row.sha256 for row in rows]
    assert other.files() == work.files()
    (work.images / "135" / "0_A_7_2.jpg").write_bytes(hpa.jpeg(7))
    assert names(other.run()) == ALL[1:]
    assert other.failures() == [("HPA000135/0_A_7_2", "changed")]


def test_a_mirror_may_be_run_in_place(work: Work) -> None:
    work.serve()
    work.images = work.host / "images"
    rows = work.run()
    assert names(rows) == ALL
    assert work.run() == rows
    assert (work.images / "135" / "0_A_7_2.jpg").read_bytes() == hpa.jpeg(0)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (hpa.status(404), "not_found"),
        (hpa.status(403), "refused"),
        (hpa.status(503), "unreachable"),
        (hpa.web_page, "not_an_image"),
        (hpa.cut, "damaged"),
        (hpa.redirect("http://127.0.0.1:9/x.jpg"), "unsafe_url"),
        (hpa.body(hpa.claims_to_be_huge(hpa.jpeg())), "too_large"),
        (hpa.body(hpa.png_that_claims(100_000)), "not_an_image"),
    ],
)
def test_a_fault_of_the_host_is_one_failure(
    work: Work, server: HpaServer, fault: hpa.Fault, reason: str
) -> None:
    server.fail(PLACES[1], fault, for_ever=True)
    assert names(work.run(hpa_source(server))) == [ALL[0], ALL[2]]
    assert work.failures() == [("HPA000135/1_A_7_2", reason)]
    assert len(work.files()) == 4
    server.fail(PLACES[1])
    assert names(work.run(hpa_source(server))) == ALL


def test_urls_of_another_host_are_not_asked_for(work: Work, server: HpaServer) -> None:
    assert work.run(hpa_source(server, hpa_version="22")) == []
    assert {reason for _, reason in work.failures()} == {"unsafe_url"}
    assert not server.requests


def test_damage_on_the_disk_is_fetched_again(work: Work, server: HpaServer) -> None:
    source = hpa_source(server)
    rows = work.run(source)
    before = work.files()
    (work.images / "135" / "0_A_7_2.jpg").write_bytes(b"damaged")
    (work.images / "135" / "1_A_7_2.json").write_bytes(b"[]")
    (work.images / "135" / "2_A_7_2.json").unlink()
    assert work.run(source) == rows
    assert work.files() == before
    assert len(server.requests) == 6


def test_refresh_fetches_only_what_changed(
    work: Work, server: HpaServer, caplog: pytest.LogCaptureFixture
) -> None:
    source = hpa_source(server)
    before = work.run(source)
    (work.host / PLACES[2].lstrip("/")).write_bytes(hpa.jpeg(5))
    assert work.run(source) == before
    after = work.run(source, refresh=True)
    assert after[:2] == before[:2]
    assert after[2].sha256 != before[2].sha256
    assert "HPA000135/2_A_7_2 has changed at the host" in caplog.text
    assert [headers.get("If-None-Match") is not None for _, _, headers in server.requests] == [
        *[False] * 3,
        *[True] * 3,
    ]


def test_check_verifies_without_asking(work: Work, server: HpaServer) -> None:
    source = hpa_source(server)
    rows = work.run(source)
    assert work.run(source, check=True) == rows
    (work.images / "135" / "0_A_7_2.jpg").write_bytes(b"damaged")
    (work.images / "135" / "1_A_7_2.jpg").unlink()
    assert names(work.run(source, check=True)) == ALL[2:]
    assert work.failures() == [
        ("HPA000135/0_A_7_2", "changed"),
        ("HPA000135/1_A_7_2", "not_found"),
    ]
    assert len(server.requests) == 3


def test_a_folder_that_cannot_be_written(work: Work, server: HpaServer) -> None:
    work.serve()
    work.images.parent.mkdir(parents=True)
    work.images.write_text("in the way")
    for source in (work.source, hpa_source(server)):
        assert work.run(source) == []
        assert {reason for _, reason in work.failures()} == {"unwritable"}
    assert not server.requests
    work.images = work.images / "below"
    with pytest.raises(ConfigError, match=r"images cannot be written \(File exists\)"):
        work.run(hpa_source(server))


def test_acquiring_needs_neither_genes_nor_the_manifest(work: Work, server: HpaServer) -> None:
    assert names(work.run(hpa_source(server, genes=()))) == ALL
    assert work.run(SourceConfig(kind="manifest")) == []


def test_a_source_needs_its_mirror(work: Work, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"source\.mirror is missing"):
        work.run(SourceConfig(kind="phantom", mirror=None))


def test_a_copy_is_made_where_links_cannot_be(work: Work, tmp_path: Path) -> None:
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system to link across")
    work.serve()
    with tempfile.TemporaryDirectory(dir=memory) as other:
        work.images = Path(other) / "images"
        assert names(work.run()) == ALL
        target = work.images / "135" / "0_A_7_2.jpg"
        assert not target.samefile(work.host / PLACES[0].lstrip("/"))
        assert target.read_bytes() == hpa.jpeg(0)
        assert len(work.files()) == 6
