"""Full disks, killed and interrupted processes, two at a time: no half file, no lost image."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hpa_server as hpa
import pytest
from acquiring import ALL, LIMITS, PLACES, SI, Work, hpa_source, names
from hpa_server import HpaServer

from cacl.atlas.remote import fetch_annotation
from cacl.records import AcquiredRow
from cacl.tables import read_parquet


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


@pytest.fixture
def server(work: Work) -> Iterator[HpaServer]:
    with HpaServer(work.host) as running:
        work.serve()
        yield running


@contextmanager
def disk_that_holds(file_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_one_failure(work: Work, server: HpaServer) -> None:
    server.files[PLACES[1]] = hpa.jpeg(1, size=512)
    assert len(server.files[PLACES[1]]) > 100_000
    with disk_that_holds(100_000):
        assert names(work.run(hpa_source(server))) == [ALL[0], ALL[2]]
    assert work.failures() == [("HPA000135/1_A_7_2", "unwritable")]
    assert len(work.files()) == 4
    assert names(work.run(hpa_source(server))) == ALL


@contextmanager
def small_disk(place: Path, size_kb: int) -> Iterator[None]:
    """Mount a file system of so many KB, or skip the test where that is not allowed."""
    place.mkdir(parents=True)
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None:
        pytest.skip("there is no mount command, so no small file system")
    options = ["-t", "tmpfs", "-o", f"size={size_kb}k", "cacl-test", str(place)]
    done = subprocess.run([mount, *options], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run([umount, str(place)], check=True)


def test_a_disk_that_fills_up(work: Work, server: HpaServer) -> None:
    for number, place in enumerate(PLACES):
        server.files[place] = hpa.jpeg(number, size=512)
    image_kb = len(server.files[PLACES[0]]) // 1024
    with small_disk(work.images.parent, 5 * image_kb // 2):
        assert len(work.run(hpa_source(server))) == 2
        (failure,) = work.failures()
        assert failure[1] == "unwritable"
        assert len(work.files()) == 4
        space = ["mount", "-o", f"remount,size={10 * image_kb}k", str(work.images.parent)]
        subprocess.run(space, check=True)
        assert names(work.run(hpa_source(server))) == ALL
        assert len(work.files()) == 6
        for place in PLACES:
            assert (work.images / "135" / Path(place).name).read_bytes() == server.files[place]


PROGRAM = """
import sys
from pathlib import Path
from cacl.atlas.client import Limits
from cacl.atlas.options import SourceOptions
from cacl.steps.acquire import acquire
root, host, rate = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
source = SourceOptions(kind="hpa", genes=("SI",), host=host, requests_per_second=rate)
acquire(root / "shards/0.parquet", root / "resources/images", root / "acquired.parquet",
        root / "a.csv", source, jobs=2, strict=False, limits=Limits())
"""


def start(work: Work, server: HpaServer, rate: float = 200.0) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(work.root), server.url, str(rate)],
        stderr=subprocess.PIPE,
    )


def wait_for_requests(server: HpaServer, count: int) -> None:
    end = time.monotonic() + 60
    while len(server.requests) < count and time.monotonic() < end:
        time.sleep(0.01)
    assert len(server.requests) >= count


@pytest.mark.parametrize("killed_after_s", [0.02, 0.2, 0.4])
def test_kill_and_run_again(
    work: Work, server: HpaServer, tmp_path: Path, killed_after_s: float
) -> None:
    server.latency_s = 0.1
    process = start(work, server, rate=5)
    wait_for_requests(server, 1)
    time.sleep(killed_after_s)
    process.kill()
    process.communicate()
    assert names(work.run(hpa_source(server))) == ALL
    killed = work.files()
    calm = Work(tmp_path / "calm")
    calm.run(hpa_source(server))
    assert killed == calm.files()


def test_what_a_killed_process_leaves_is_taken_up(work: Work, server: HpaServer) -> None:
    rows = work.run(hpa_source(server))
    before = work.files()
    folder = work.images / "135"
    for name in (".0_A_7_2.jpg.part", ".0_A_7_2.jpg.part.link", ".0_A_7_2.json.part"):
        (folder / name).write_bytes(b"half")
    (folder / "0_A_7_2.json").unlink()
    assert work.run() == rows
    (folder / ".1_A_7_2.jpg.part").write_bytes(b"half")
    (folder / "1_A_7_2.jpg").unlink()
    assert work.run(hpa_source(server)) == rows
    assert work.files().keys() == before.keys()


def test_two_processes_share_a_folder_and_a_rate(work: Work, server: HpaServer) -> None:
    server.latency_s = 0.2
    processes = [start(work, server) for _ in range(2)]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert names(read_parquet(work.root / "acquired.parquet", AcquiredRow)) == ALL
    assert sorted(path for _, path, _ in server.requests) == PLACES
    assert len(work.files()) == 6
    assert server.most_open <= 3


def test_the_catalog_and_the_images_take_turns(work: Work, server: HpaServer) -> None:
    server.latency_s = 0.3
    process = start(work, server)
    wait_for_requests(server, 1)
    fetched = fetch_annotation(hpa_source(server), work.images.parent, LIMITS)
    process.communicate()
    assert process.returncode == 0
    assert fetched.source == hpa_source(server)
    paths = [path for _, path, _ in server.requests]
    assert sorted(paths[:3]) == PLACES
    assert f"/{SI}.xml" in paths[3:]


def test_ctrl_c_stops_soon_and_leaves_no_half_file(work: Work, server: HpaServer) -> None:
    for place in PLACES:
        server.fail(place, hpa.status(429, Retry_After="120"), for_ever=True)
    process = start(work, server)
    wait_for_requests(server, 1)
    time.sleep(0.3)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert time.monotonic() - began < 5
    assert process.returncode != 0
    assert b"KeyboardInterrupt" in said
    assert work.files() == {}
