"""Step `acquire`: images of every kind of source, provenance records, refresh, check."""

from __future__ import annotations

import hashlib
import json
import math
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cacl.config import SourceConfig
from cacl.errors import ConfigError, DiskError, StrictError
from cacl.hpa.attempts import read_attempt
from cacl.hpa.http.limits import HttpLimits
from cacl.hpa.image_state import FileState, ImageState
from cacl.steps.parameters import AttemptOptions
from tests.fixtures import hpa_server as hpa
from tests.fixtures.acquiring import ALL_NAMES, PATHS, SI, Workspace, hpa_source, image_names
from tests.fixtures.hpa_server import HpaServer


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def server(work: Workspace) -> Iterator[HpaServer]:
    with HpaServer(work.host) as running:
        work.serve()
        yield running


def test_links_mirror_images_and_writes_provenance_records(work: Workspace) -> None:
    work.serve()
    rows = work.run()
    assert image_names(rows) == ALL_NAMES
    target = work.images / "135" / "1_A_7_2.jpg"
    assert rows[1].path == str(target)
    assert target.samefile(work.host / PATHS[1].lstrip("/"))
    record = json.loads(target.with_suffix(".json").read_text())
    assert record["sha256"] == rows[1].sha256
    assert record["size_bytes"] == rows[1].size_bytes == len(hpa.jpeg(1))
    assert record["url"] == f"http://v23.proteinatlas.org{PATHS[1]}"
    assert record["hpa_version"] == "23"
    assert "Human Protein Atlas" in record["credit"]


def test_links_changed_mirror_image_again(work: Workspace) -> None:
    work.serve()
    before = work.run()
    path = work.host / PATHS[0].lstrip("/")
    path.unlink()
    path.write_bytes(hpa.jpeg(9))
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
        (hpa.png_with_size(100_000), "not_an_image"),
        (b"just text", "not_an_image"),
        (hpa.jpeg()[:-40], "damaged"),
    ],
)
def test_invalid_mirror_file_is_one_failure(
    work: Workspace, data: bytes | None, reason: str
) -> None:
    work.serve()
    path = work.host / PATHS[1].lstrip("/")
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    assert image_names(work.run()) == [ALL_NAMES[0], ALL_NAMES[2]]
    assert work.failures() == [("HPA000135/1_A_7_2", reason)]
    assert sorted(path.name for path in (work.images / "135").iterdir()) == [
        "0_A_7_2.jpg",
        "0_A_7_2.json",
        "2_A_7_2.jpg",
        "2_A_7_2.json",
    ]
    with pytest.raises(StrictError, match=r"1 image\(s\) failed"):
        work.run(strict=True)


def test_manifest_images_are_not_copied(work: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "x.png").write_bytes(hpa.PNG)
    (folder / "empty.png").write_bytes(b"")
    (folder / "folder.png").mkdir()
    (folder / "m.csv").write_text(
        "image_path,antibody_id,patient_id,mpp\n"
        "x.png,AB1,p,0.5\ngone.png,AB1,p,\nempty.png,AB1,p,\nfolder.png,AB1,p,\n"
    )
    work.catalog(SourceConfig(kind="manifest", manifest=folder / "m.csv"))
    (row,) = work.run()
    assert (row.image_id, row.path, row.mpp) == ("AB1/x", str(folder / "x.png"), 0.5)
    assert row.size_bytes == len(hpa.PNG)
    assert work.failures() == [
        ("AB1/empty", "not_an_image"),
        ("AB1/folder", "not_an_image"),
        ("AB1/gone", "not_found"),
    ]
    assert not work.images.exists()


def test_downloads_each_image_once(work: Workspace, server: HpaServer) -> None:
    source = hpa_source(server)
    rows = work.run(source)
    assert image_names(rows) == ALL_NAMES
    assert sorted(path for _, path, _ in server.requests) == PATHS
    before = work.files()
    assert work.run(source) == rows
    assert (len(server.requests), work.files()) == (3, before)
    record = json.loads((work.images / "135" / "0_A_7_2.json").read_text())
    assert record["etag"]
    assert record["fetched"].endswith("+00:00")


def test_logs_rate_and_remaining_time(
    work: Workspace, server: HpaServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        work.run(hpa_source(server))
    (line,) = (text for text in caplog.messages if text.startswith("acquire: images: "))
    assert re.fullmatch(r"acquire: images: 3 of 3, [\d.]+/s, [\d.]+ MB/s, 0 s left", line)


def test_postpones_files_after_run_timeout(
    work: Workspace, server: HpaServer, caplog: pytest.LogCaptureFixture
) -> None:
    source = hpa_source(server)
    server.fail(PATHS[1], hpa.status(503), always=True)
    patient_limits = HttpLimits(max_attempts=500, initial_backoff_s=0.5, max_backoff_s=0.5)
    limited = source.model_copy(update={"max_minutes": 3 / 60})
    assert image_names(work.run(limited, limits=patient_limits)) == [ALL_NAMES[0], ALL_NAMES[2]]
    assert work.failures() == [("HPA000135/1_A_7_2", "postponed")]
    assert (
        "1 of 3 images are missing because the time limit was reached; run the same" in caplog.text
    )
    n_requests = len(server.requests)
    server.fail(PATHS[1])
    assert image_names(work.run(source.model_copy(update={"max_minutes": 3.0}))) == ALL_NAMES
    assert [path for _, path, _ in server.requests[n_requests:]] == [PATHS[1]]


def test_rejects_max_minutes_that_is_not_positive(work: Workspace, server: HpaServer) -> None:
    for minutes in (0.0, -1.0, math.nan):
        with pytest.raises(ConfigError, match=r"source\.max_minutes: expected a number .*above 0"):
            work.run(hpa_source(server, max_minutes=minutes))
    assert not server.requests


def test_downloads_image_of_another_release_again(work: Workspace, server: HpaServer) -> None:
    rows = work.run(hpa_source(server))
    record = work.images / "135" / "1_A_7_2.json"
    values = json.loads(record.read_text())
    older = values | {"url": values["url"].replace("v23", "v18"), "hpa_version": "18"}
    record.write_text(json.dumps(older))
    assert work.run(hpa_source(server)) == rows
    assert server.request_count(PATHS[1]) == 2
    assert json.loads(record.read_text())["hpa_version"] == "23"


def test_acquired_images_are_a_mirror(work: Workspace, server: HpaServer, tmp_path: Path) -> None:
    rows = work.run(hpa_source(server))
    resources = work.images.parent
    (resources / f"{SI}.xml").write_bytes((work.host / f"{SI}.xml").read_bytes())
    other = Workspace(tmp_path / "other_group")
    other.catalog(SourceConfig(kind="mirror", mirror=resources))
    assert [row.sha256 for row in other.run()] == [row.sha256 for row in rows]
    assert other.files() == work.files()
    (work.images / "135" / "0_A_7_2.jpg").write_bytes(hpa.jpeg(7))
    assert image_names(other.run()) == ALL_NAMES[1:]
    assert other.failures() == [("HPA000135/0_A_7_2", "changed")]


def test_acquires_mirror_in_place(work: Workspace) -> None:
    work.serve()
    work.images = work.host / "images"
    rows = work.run()
    assert image_names(rows) == ALL_NAMES
    assert work.run() == rows
    assert (work.images / "135" / "0_A_7_2.jpg").read_bytes() == hpa.jpeg(0)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (hpa.status(404), "not_found"),
        (hpa.status(403), "refused"),
        (hpa.status(503), "unreachable"),
        (hpa.web_page, "not_an_image"),
        (hpa.truncated, "damaged"),
        (hpa.redirect("http://127.0.0.1:9/x.jpg"), "unsafe_url"),
        (hpa.body(hpa.with_huge_size(hpa.jpeg())), "too_large"),
        (hpa.body(hpa.png_with_size(100_000)), "not_an_image"),
    ],
)
def test_host_error_is_one_failure(
    work: Workspace, server: HpaServer, fault: hpa.Fault, reason: str
) -> None:
    server.fail(PATHS[1], fault, always=True)
    assert image_names(work.run(hpa_source(server))) == [ALL_NAMES[0], ALL_NAMES[2]]
    assert work.failures() == [("HPA000135/1_A_7_2", reason)]
    assert len(work.files()) == 4
    server.fail(PATHS[1])
    assert image_names(work.run(hpa_source(server))) == ALL_NAMES


def test_does_not_request_urls_of_another_host(work: Workspace, server: HpaServer) -> None:
    assert work.run(hpa_source(server, hpa_version="22")) == []
    assert {reason for _, reason in work.failures()} == {"unsafe_url"}
    assert not server.requests


def test_downloads_damaged_files_again(work: Workspace, server: HpaServer) -> None:
    source = hpa_source(server)
    rows = work.run(source)
    before = work.files()
    (work.images / "135" / "0_A_7_2.jpg").write_bytes(b"damaged")
    (work.images / "135" / "1_A_7_2.json").write_bytes(b"[]")
    (work.images / "135" / "2_A_7_2.json").unlink()
    assert work.run(source) == rows
    assert work.files() == before
    assert len(server.requests) == 6


def test_refresh_downloads_only_changed_images(
    work: Workspace, server: HpaServer, caplog: pytest.LogCaptureFixture
) -> None:
    source = hpa_source(server)
    before = work.run(source)
    (work.host / PATHS[2].lstrip("/")).write_bytes(hpa.jpeg(5))
    assert work.run(source) == before
    after = work.run(source, refresh=True)
    assert after[:2] == before[:2]
    assert after[2].sha256 != before[2].sha256
    assert "HPA000135/2_A_7_2 has changed at the host" in caplog.text
    assert [headers.get("If-None-Match") is not None for _, _, headers in server.requests] == [
        *[False] * 3,
        *[True] * 3,
    ]


def test_check_verifies_without_requests(work: Workspace, server: HpaServer) -> None:
    source = hpa_source(server)
    rows = work.run(source)
    assert work.run(source, check=True) == rows
    (work.images / "135" / "0_A_7_2.jpg").write_bytes(b"damaged")
    (work.images / "135" / "1_A_7_2.jpg").unlink()
    assert image_names(work.run(source, check=True)) == ALL_NAMES[2:]
    assert work.failures() == [
        ("HPA000135/0_A_7_2", "changed"),
        ("HPA000135/1_A_7_2", "not_found"),
    ]
    assert len(server.requests) == 3


def test_reports_folder_that_cannot_be_written(work: Workspace, server: HpaServer) -> None:
    work.serve()
    work.images.parent.mkdir(parents=True)
    work.images.write_text("in the way")
    for source in (work.source, hpa_source(server)):
        with pytest.raises(DiskError, match=r"^acquire: .*cannot be written.*Not a directory"):
            work.run(source)
    assert not server.requests
    work.images = work.images / "below"
    with pytest.raises(ConfigError, match=r"images cannot be written \(File exists\)"):
        work.run(hpa_source(server))


def test_acquire_needs_neither_genes_nor_manifest(work: Workspace, server: HpaServer) -> None:
    assert image_names(work.run(hpa_source(server, genes=()))) == ALL_NAMES
    assert work.run(SourceConfig(kind="manifest")) == []


def test_rejects_source_without_mirror(work: Workspace, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"source\.mirror is missing"):
        work.run(SourceConfig(kind="phantom", mirror=None))


def test_copies_images_across_file_systems(work: Workspace, tmp_path: Path) -> None:
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system to link across")
    work.serve()
    with tempfile.TemporaryDirectory(dir=memory) as other:
        work.images = Path(other) / "images"
        assert image_names(work.run()) == ALL_NAMES
        target = work.images / "135" / "0_A_7_2.jpg"
        assert not target.samefile(work.host / PATHS[0].lstrip("/"))
        assert target.read_bytes() == hpa.jpeg(0)
        assert len(work.files()) == 6


def test_record_of_an_attempt_says_what_was_read_failed_and_tried_again(work: Workspace) -> None:
    work.serve()
    missing = work.host / PATHS[2].lstrip("/")
    data = missing.read_bytes()
    missing.unlink()
    path = work.root / "attempts" / "0.json"
    work.run(attempt=AttemptOptions(attempt_record=path))
    first = read_attempt(path)
    assert first is not None
    assert (first.number, first.retried) == (0, ())
    assert first.failures == {"HPA000135/2_A_7_2": "not_found"}
    origin = work.host / PATHS[0].lstrip("/")
    copy = work.images / "135" / "0_A_7_2.jpg"
    assert first.images[0] == ImageState(
        "HPA000135/0_A_7_2",
        hashlib.sha256(origin.read_bytes()).hexdigest(),
        ((FileState.of(str(origin)),), (FileState.of(str(copy)),)),
    )
    missing.write_bytes(data)
    origin.unlink()
    origin.write_bytes(data)
    work.run(attempt=AttemptOptions(attempt=1, attempt_record=path))
    second = read_attempt(path)
    assert second is not None
    assert (second.number, dict(second.failures)) == (1, {})
    assert second.retried == ("HPA000135/0_A_7_2", "HPA000135/2_A_7_2")
    assert {state.sha256 for state in second.images[::2]} == {hashlib.sha256(data).hexdigest()}
