"""Full disks, killed, interrupted and concurrent processes: no partial file, no lost image."""

from __future__ import annotations

import gzip
import hashlib
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
from filelock import FileLock

from cacl.errors import ConfigError, DiskError
from cacl.hpa.download_annotation import fetch_annotation
from cacl.tables import read_parquet
from cacl.tables.schemas import AcquiredRow
from tests.fixtures import hpa_server as hpa
from tests.fixtures.acquiring import (
    ALL_NAMES,
    LIMITS,
    PATHS,
    SI,
    Workspace,
    hpa_source,
    image_names,
)
from tests.fixtures.hpa_server import HpaServer
from tests.fixtures.small_disk import small_disk

pytestmark = pytest.mark.slow

SUFFIXES = ("jpg", "json")
BIG = "/download/proteinatlas.xml.gz"


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def server(work: Workspace) -> Iterator[HpaServer]:
    with HpaServer(work.host) as running:
        work.serve()
        yield running


@contextmanager
def limited_file_size(max_file_bytes: int) -> Iterator[None]:
    """Limit the size of the files of this process; writes fail as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_file_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def no_tables(work: Workspace) -> bool:
    return not (work.root / "acquired.parquet").exists() and not (work.root / "a.csv").exists()


def test_limit_of_file_size_ends_the_step(work: Workspace, server: HpaServer) -> None:
    server.files[PATHS[1]] = hpa.jpeg(1, size=512)
    assert len(server.files[PATHS[1]]) > 100_000
    with (
        limited_file_size(100_000),
        pytest.raises(DiskError, match=r"^acquire: HPA000135/1_A_7_2: the disk is full.*too large"),
    ):
        work.run(hpa_source(server))
    assert no_tables(work)
    assert not [name for name in work.files() if "1_A_7_2" in name]
    assert image_names(work.run(hpa_source(server))) == ALL_NAMES


def test_full_disk_keeps_as_many_downloads_as_fit(work: Workspace, server: HpaServer) -> None:
    together = threading.Barrier(len(PATHS))

    def serve_together(handler: hpa.Handler, data: bytes) -> None:
        together.wait()
        handler.serve(data)

    for number, url_path in enumerate(PATHS):
        server.files[url_path] = hpa.large_jpeg(number, 20)
        server.fail(url_path, serve_together)
    image_kb = len(server.files[PATHS[0]]) // 1024
    with small_disk(work.images.parent, 5 * image_kb // 2):
        with pytest.raises(DiskError, match="No space left on device"):
            work.run(hpa_source(server))
        assert no_tables(work)
        kept = [name for name in ALL_NAMES if f"135/{name}.jpg" in work.files()]
        assert 1 <= len(kept) <= 2
        assert sorted(work.files()) == sorted(f"135/{n}.{end}" for n in kept for end in SUFFIXES)
        remount = ["mount", "-o", f"remount,size={10 * image_kb}k", str(work.images.parent)]
        subprocess.run(remount, check=True)
        assert image_names(work.run(hpa_source(server))) == ALL_NAMES
        assert len(work.files()) == 6
        for url_path in PATHS:
            assert (work.images / "135" / Path(url_path).name).read_bytes() == server.files[
                url_path
            ]


PROGRAM = """
import sys
from pathlib import Path
from cacl.config import SourceConfig
from cacl.steps.acquire import acquire
from cacl.steps.parameters import AcquireOptions
root, host, rate = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
source = SourceConfig(kind="hpa", genes=("SI",), host=host, requests_per_second=rate)
acquire(root / "shards/0.parquet", root / "resources/images", root / "acquired.parquet",
        root / "a.csv", source, AcquireOptions(jobs=2))
"""


def test_full_disk_keeps_as_many_copies_as_fit(work: Workspace) -> None:
    work.serve()
    for number, url_path in enumerate(PATHS):
        (work.host / url_path.lstrip("/")).write_bytes(hpa.jpeg(number, size=512))
    image_kb = len(hpa.jpeg(0, size=512)) // 1024
    with small_disk(work.images.parent, 5 * image_kb // 2):
        with pytest.raises(DiskError, match=rf"^acquire: HPA000135/{ALL_NAMES[2]}: the disk"):
            work.run(jobs=1)
        assert no_tables(work)
        assert sorted(work.files()) == sorted(
            f"135/{n}.{end}" for n in ALL_NAMES[:2] for end in SUFFIXES
        )


FETCH = """
import sys
from pathlib import Path
from cacl.config import SourceConfig
from cacl.hpa.download_annotation import fetch_annotation
source = SourceConfig(kind="hpa", genes=(sys.argv[3],), host=sys.argv[2], requests_per_second=200)
fetch_annotation(source, Path(sys.argv[1]))
"""


def start_catalog(folder: Path, server: HpaServer, gene: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, str(folder), server.url, gene], stderr=subprocess.PIPE
    )


def start(work: Workspace, server: HpaServer, rate: float = 200.0) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(work.root), server.url, str(rate)],
        stderr=subprocess.PIPE,
    )


def wait_until(ready: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    """Wait while the process runs; on a busy machine its start may take minutes."""
    while not ready() and process.poll() is None:
        time.sleep(0.01)
    assert ready(), process.communicate()


@pytest.mark.parametrize("killed_after_s", [0.0, 0.05, 0.15, 0.3, 0.45])
def test_rerun_after_kill_gives_equal_files(
    work: Workspace, server: HpaServer, tmp_path: Path, killed_after_s: float
) -> None:
    server.latency_s = 0.1
    process = start(work, server, rate=5)
    wait_until(lambda: server.requests, process)
    time.sleep(killed_after_s)
    process.kill()
    process.communicate()
    assert image_names(work.run(hpa_source(server))) == ALL_NAMES
    killed = work.files()
    uninterrupted = Workspace(tmp_path / "uninterrupted")
    uninterrupted.run(hpa_source(server))
    assert killed == uninterrupted.files()


def test_reuses_files_of_a_killed_process(work: Workspace, server: HpaServer) -> None:
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


@pytest.mark.parametrize("from_host", [True, False])
def test_leftovers_beside_a_complete_image_are_removed_unless_a_process_holds_them(
    work: Workspace, server: HpaServer, from_host: bool
) -> None:
    """A process may be killed after the image is complete and before its lock is removed."""
    source = hpa_source(server) if from_host else None
    rows = work.run(source)
    folder = work.images / "135"
    killed = [folder / f".0_A_7_2.jpg.{end}" for end in ("lock", "part")]
    held = folder / ".1_A_7_2.jpg.lock"
    for path in killed:
        path.touch()
    with FileLock(held):
        assert work.run(source) == rows
        assert [path.name for path in folder.glob(".*")] == [held.name]


def test_two_processes_share_folder_and_request_rate(work: Workspace, server: HpaServer) -> None:
    server.latency_s = 0.2
    processes = [start(work, server) for _ in range(2)]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert image_names(read_parquet(work.root / "acquired.parquet", AcquiredRow)) == ALL_NAMES
    assert sorted(path for _, path, _ in server.requests) == PATHS
    assert len(work.files()) == 6
    assert server.max_open <= 3


def test_catalog_and_acquire_do_not_run_concurrently(work: Workspace, server: HpaServer) -> None:
    server.latency_s = 0.3
    process = start(work, server)
    wait_until(lambda: server.requests, process)
    fetched = fetch_annotation(hpa_source(server), work.images.parent, LIMITS)
    process.communicate()
    assert process.returncode == 0
    assert fetched.source == hpa_source(server)
    paths = [path for _, path, _ in server.requests]
    assert sorted(paths[:3]) == PATHS
    assert f"/{SI}.xml" in paths[3:]


def test_interrupt_stops_acquire_without_partial_file(work: Workspace, server: HpaServer) -> None:
    for url_path in PATHS:
        server.fail(url_path, hpa.status(429, Retry_After="299"), always=True)
    process = start(work, server)
    wait_until(lambda: server.requests, process)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode != 0
    assert b"KeyboardInterrupt" in stderr
    assert work.files() == {}


def test_interrupt_stops_catalog(work: Workspace, server: HpaServer) -> None:
    server.fail(f"/{SI}.xml", hpa.status(429, Retry_After="299"), always=True)
    process = start_catalog(work.root / "host", server, SI)
    wait_until(lambda: server.request_count(f"/{SI}.xml"), process)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode != 0
    assert b"KeyboardInterrupt" in stderr
    assert not list((work.root / "host").glob("*.xml"))


def test_resumes_file_of_all_genes_after_kill(
    work: Workspace, server: HpaServer, tmp_path: Path
) -> None:
    data = gzip.compress(hpa.gene_xml(antibodies=("<x/>" * 10**6,)).encode(), 0)
    server.files[BIG] = data
    killed = threading.Event()

    def send_half(handler: hpa.Handler, whole: bytes) -> None:
        etag = f'"{hashlib.sha256(whole).hexdigest()[:16]}"'
        handler.send(200, whole[: len(whole) // 2], {"ETag": etag}, length=len(whole))
        killed.wait()
        handler.close_connection = True

    server.fail(BIG, send_half)
    folder = work.root / "host"
    process = start_catalog(folder, server, "all")
    part = folder / "download" / ".proteinatlas.xml.gz.part"
    wait_until(lambda: part.exists() and part.stat().st_size > len(data) // 4, process)
    process.kill()
    process.communicate()
    killed.set()
    part_bytes = part.stat().st_size
    fetch_annotation(hpa_source(server, genes=("all",)), folder, LIMITS)
    assert (folder / BIG.lstrip("/")).read_bytes() == data
    assert server.requests[-1][2]["Range"] == f"bytes={part_bytes}-"
    uninterrupted = tmp_path / "uninterrupted"
    fetch_annotation(hpa_source(server, genes=("all",)), uninterrupted, LIMITS)
    assert files_below(folder) == files_below(uninterrupted)


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_full_disk_stops_catalog_with_message(work: Workspace, server: HpaServer) -> None:
    server.files[f"/{SI}.xml"] = hpa.gene_xml(antibodies=("<x>novelty</x>" * 20_000,)).encode()
    folder = work.root / "host"
    with (
        limited_file_size(100_000),
        pytest.raises(ConfigError, match=r"cannot be written to .*space"),
    ):
        fetch_annotation(hpa_source(server), folder, LIMITS)
    assert not list(folder.glob("*ENSG*"))
    assert not list(folder.glob(".*ENSG*"))
    fetch_annotation(hpa_source(server), folder, LIMITS)
    assert (folder / f"{SI}.xml").read_bytes() == server.files[f"/{SI}.xml"]
