"""Full disks, killed and interrupted processes, two at a time: no half file, no lost image."""

from __future__ import annotations

import gzip
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cacl.errors import ConfigError
from cacl.hpa.download_annotation import fetch_annotation
from cacl.tables import read_parquet
from cacl.tables.schemas import AcquiredRow
from tests.fixtures import hpa_server as hpa
from tests.fixtures.acquiring import ALL, LIMITS, PLACES, SI, Work, hpa_source, names
from tests.fixtures.hpa_server import HpaServer
from tests.fixtures.small_disk import small_disk

ENDS = ("jpg", "json")
BIG = "/download/proteinatlas.xml.gz"


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


@pytest.fixture
def server(work: Work) -> Iterator[HpaServer]:
    with HpaServer(work.host) as running:
        work.serve()
        yield running


@contextmanager
def disk_that_holds(max_file_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_file_bytes, hard))
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


def test_a_disk_that_fills_up(work: Work, server: HpaServer) -> None:
    together = threading.Barrier(len(PLACES))

    def serve_together(handler: hpa.Handler, data: bytes) -> None:
        together.wait()
        handler.serve(data)

    for number, place in enumerate(PLACES):
        server.files[place] = hpa.large_jpeg(number, 20)
        server.fail(place, serve_together)
    image_kb = len(server.files[PLACES[0]]) // 1024
    with small_disk(work.images.parent, 5 * image_kb // 2):
        kept = names(work.run(hpa_source(server)))
        assert len(kept) == 2
        lost = sorted(set(ALL) - set(kept))
        assert work.failures() == [(f"HPA000135/{name}", "unwritable") for name in lost]
        assert sorted(work.files()) == sorted(f"135/{n}.{end}" for n in kept for end in ENDS)
        space = ["mount", "-o", f"remount,size={10 * image_kb}k", str(work.images.parent)]
        subprocess.run(space, check=True)
        assert names(work.run(hpa_source(server))) == ALL
        assert len(work.files()) == 6
        for place in PLACES:
            assert (work.images / "135" / Path(place).name).read_bytes() == server.files[place]


PROGRAM = """
import sys
from pathlib import Path
from cacl.hpa.http.limits import HttpLimits
from cacl.config import SourceConfig
from cacl.steps.acquire import acquire
root, host, rate = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
source = SourceConfig(kind="hpa", genes=("SI",), host=host, requests_per_second=rate)
acquire(root / "shards/0.parquet", root / "resources/images", root / "acquired.parquet",
        root / "a.csv", source, jobs=2, strict=False, limits=HttpLimits())
"""


def test_a_disk_that_fills_up_with_copies_of_a_mirror(work: Work) -> None:
    work.serve()
    for number, place in enumerate(PLACES):
        (work.host / place.lstrip("/")).write_bytes(hpa.jpeg(number, size=512))
    image_kb = len(hpa.jpeg(0, size=512)) // 1024
    with small_disk(work.images.parent, 5 * image_kb // 2):
        assert names(work.run(jobs=1)) == ALL[:2]
        assert work.failures() == [(f"HPA000135/{ALL[2]}", "unwritable")]
        assert sorted(work.files()) == sorted(f"135/{n}.{end}" for n in ALL[:2] for end in ENDS)


FETCH = """
import sys
from pathlib import Path
from cacl.config import SourceConfig
from cacl.hpa.download_annotation import fetch_annotation
source = SourceConfig(kind="hpa", genes=(sys.argv[3],), host=sys.argv[2], requests_per_second=200)
fetch_annotation(source, Path(sys.argv[1]))
"""


def start_catalog(place: Path, server: HpaServer, gene: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, str(place), server.url, gene], stderr=subprocess.PIPE
    )


def start(work: Work, server: HpaServer, rate: float = 200.0) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(work.root), server.url, str(rate)],
        stderr=subprocess.PIPE,
    )


def wait_until(ready: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    """Wait as long as the process runs: on a busy machine its start alone may take minutes."""
    while not ready() and process.poll() is None:
        time.sleep(0.01)
    assert ready(), process.communicate()


@pytest.mark.parametrize("killed_after_s", [0.0, 0.05, 0.15, 0.3, 0.45])
def test_kill_and_run_again(
    work: Work, server: HpaServer, tmp_path: Path, killed_after_s: float
) -> None:
    server.latency_s = 0.1
    process = start(work, server, rate=5)
    wait_until(lambda: server.requests, process)
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
    wait_until(lambda: server.requests, process)
    fetched = fetch_annotation(hpa_source(server), work.images.parent, LIMITS)
    process.communicate()
    assert process.returncode == 0
    assert fetched.source == hpa_source(server)
    paths = [path for _, path, _ in server.requests]
    assert sorted(paths[:3]) == PLACES
    assert f"/{SI}.xml" in paths[3:]


def test_ctrl_c_stops_soon_and_leaves_no_half_file(work: Work, server: HpaServer) -> None:
    for place in PLACES:
        server.fail(place, hpa.status(429, Retry_After="299"), for_ever=True)
    process = start(work, server)
    wait_until(lambda: server.requests, process)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode != 0
    assert b"KeyboardInterrupt" in said
    assert work.files() == {}


def test_ctrl_c_stops_the_catalog_too(work: Work, server: HpaServer) -> None:
    server.fail(f"/{SI}.xml", hpa.status(429, Retry_After="299"), for_ever=True)
    process = start_catalog(work.root / "host", server, SI)
    wait_until(lambda: server.asked(f"/{SI}.xml"), process)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode != 0
    assert b"KeyboardInterrupt" in said
    assert not list((work.root / "host").glob("*.xml"))


def test_the_file_of_all_genes_goes_on_after_a_kill(
    work: Work, server: HpaServer, tmp_path: Path
) -> None:
    data = gzip.compress(hpa.gene_xml(antibodies=("<x/>" * 10**6,)).encode(), 0)
    server.files[BIG] = data
    killed = threading.Event()

    def half(handler: hpa.Handler, whole: bytes) -> None:
        etag = f'"{hpa.hashlib.sha256(whole).hexdigest()[:16]}"'
        handler.answer(200, whole[: len(whole) // 2], {"ETag": etag}, length=len(whole))
        killed.wait()
        handler.close_connection = True

    server.fail(BIG, half)
    place = work.root / "host"
    process = start_catalog(place, server, "all")
    part = place / "download" / ".proteinatlas.xml.gz.part"
    wait_until(lambda: part.exists() and part.stat().st_size > len(data) // 4, process)
    process.kill()
    process.communicate()
    killed.set()
    kept_bytes = part.stat().st_size
    fetch_annotation(hpa_source(server, genes=("all",)), place, LIMITS)
    assert (place / BIG.lstrip("/")).read_bytes() == data
    assert server.requests[-1][2]["Range"] == f"bytes={kept_bytes}-"
    calm = tmp_path / "calm"
    fetch_annotation(hpa_source(server, genes=("all",)), calm, LIMITS)
    assert files_below(place) == files_below(calm)


def files_below(place: Path) -> set[str]:
    return {str(path.relative_to(place)) for path in place.rglob("*")}


def test_a_full_disk_ends_the_catalog_with_a_sentence(work: Work, server: HpaServer) -> None:
    server.files[f"/{SI}.xml"] = hpa.gene_xml(antibodies=("<x>novelty</x>" * 20_000,)).encode()
    place = work.root / "host"
    with (
        disk_that_holds(100_000),
        pytest.raises(ConfigError, match=r"cannot be written to .*space"),
    ):
        fetch_annotation(hpa_source(server), place, LIMITS)
    assert not list(place.glob("*ENSG*"))
    assert not list(place.glob(".*ENSG*"))
    fetch_annotation(hpa_source(server), place, LIMITS)
    assert (place / f"{SI}.xml").read_bytes() == server.files[f"/{SI}.xml"]
