"""Images of a shard on a real dask cluster of two workers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cacl import tables
from cacl.cli import app
from cacl.errors import ClusterError, DiskError, ImageError, Reason, ResourceError
from cacl.runtime import dask_executor
from cacl.runtime.images import run_images
from cacl.tables.schemas import AcquiredRow, FailureRow, MeasureRow
from tests.fixtures import small_atlas
from tests.fixtures.small_atlas import Core
from tests.steps.test_tile import Run, acquired, core  # noqa: F401

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).parents[2]
IMAGES = 12


@dataclass
class Cluster:
    """A scheduler and its workers, each in a process of its own."""

    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", *arguments, "--no-dashboard"]
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / f"{len(self.processes)}.log").open("wb"),
        )
        self.processes.append(process)
        return process

    def scheduler(self) -> str:
        """Start the scheduler and return its address."""
        self.start("scheduler", "--host", "127.0.0.1", "--port", "0")
        log = self.folder / "0.log"
        for _ in range(600):
            for line in log.read_text().splitlines():
                if "Scheduler at:" in line:
                    return line.split()[-1]
            time.sleep(0.1)
        raise AssertionError(log.read_text())

    def worker(self, address: str, threads: int = 1) -> subprocess.Popen[bytes]:
        return self.start("worker", address, "--nthreads", str(threads), "--no-nanny")

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    running = Cluster(folder)
    yield running
    running.stop()


@dataclass(frozen=True)
class Row:
    image_id: str


def test_images_of_a_killed_worker_are_repeated(cluster: Cluster, tmp_path: Path) -> None:
    address = cluster.scheduler()
    workers = {process.pid: process for process in map(cluster.worker, [address] * 2)}
    starts = tmp_path / "starts"
    starts.mkdir()
    rows = [Row(f"A/{number}") for number in range(IMAGES)]

    def work(row: Row) -> int:
        number = int(row.image_id.split("/")[1])
        (starts / f"{number}-{os.getpid()}").touch()
        while len(list(starts.glob(f"*-{os.getpid()}"))) == 1 and len(list(starts.iterdir())) < 2:
            time.sleep(0.05)
        time.sleep(0.2)
        if number == 3:
            raise ImageError(Reason.DAMAGED, "truncated")
        return number

    def kill() -> None:
        while len({start.name.split("-")[1] for start in starts.iterdir()}) < 2:
            time.sleep(0.02)
        victim = int(sorted(starts.iterdir())[0].name.split("-")[1])
        workers[victim].kill()

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    outcome = run_images("tile", rows, work, source=str, scheduler=address)
    killer.join()
    assert outcome.results == [number for number in range(IMAGES) if number != 3]
    assert [(failure.image_id, failure.reason) for failure in outcome.failures] == [
        ("A/3", "damaged")
    ]
    assert sum(process.poll() is None for process in workers.values()) == 1
    assert len(list(starts.iterdir())) > IMAGES, "no image was repeated, so no worker was lost"


def test_full_disk_and_dead_workers_end_the_step(cluster: Cluster) -> None:
    address = cluster.scheduler()
    cluster.worker(address)

    def full_disk(row: Row) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(DiskError, match=r"^tile: A/0: the disk is full.*continues where it"):
        run_images("tile", [Row("A/0"), Row("A/1")], full_disk, source=str, scheduler=address)

    for _ in range(4):
        cluster.worker(address)

    def die(row: Row) -> None:
        if row.image_id == "A/1":
            os.kill(os.getpid(), 9)

    with pytest.raises(ResourceError, match=r"^4 dask workers died while they had .*A/1, the last"):
        run_images("tile", [Row("A/0"), Row("A/1")], die, source=str, scheduler=address)


def test_every_image_of_the_dead_workers_is_named(cluster: Cluster) -> None:
    address = cluster.scheduler()

    def start_workers() -> None:
        for _ in range(4):
            cluster.worker(address, threads=2).wait()

    def work(row: Row) -> None:
        time.sleep(2 if row.image_id == "A/1" else 600)
        os.kill(os.getpid(), 9)

    starter = threading.Thread(target=start_workers, daemon=True)
    starter.start()
    with pytest.raises(ResourceError, match=r"^4 dask workers died .* A/0 and A/1, the"):
        run_images("tile", [Row("A/0"), Row("A/1")], work, source=str, scheduler=address)
    starter.join()


def test_dask_cluster_and_threads_give_equal_tables(
    cluster: Cluster,
    tmp_path: Path,
    core: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address = cluster.scheduler()
    for _ in range(2):
        cluster.worker(address)
    monkeypatch.chdir(tmp_path)
    rows = [acquired(Path(core.name), name) for name in "abc"] + [acquired(Path("none.png"), "d")]
    run = Run(Path())
    remote = run(rows, dask_scheduler=address)
    assert len(remote) == 3 * 2 * 3
    assert run.failures == {"HPA000001/d": "not_found"}
    failures = tables.read_csv(run.folder / "failures.csv", FailureRow)
    assert failures["source"].tolist() == ["none.png"]
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / core.name).write_bytes(core.read_bytes())
    monkeypatch.chdir(tmp_path / "here")
    assert Run(Path())([acquired(Path(core.name), name) for name in "abc"]) == remote

    monkeypatch.chdir(tmp_path)
    atlas = small_atlas.build(Path("small"), [Core("HPA000001", 9), Core("HPA000002", 30)])
    atlas.measure()
    local = tables.read_parquet(atlas.path("census.parquet"), MeasureRow)
    atlas.measure(dask_scheduler=address)
    assert tables.read_parquet(atlas.path("census.parquet"), MeasureRow) == local
    assert len(local) == 2


def test_rejects_address_without_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_executor, "CONNECT_TIMEOUT_S", 1)
    with pytest.raises(ClusterError, match=r"No dask scheduler answers at tcp://127\.0\.0\.1:9"):
        run_images("tile", [], str, source=str, scheduler="tcp://127.0.0.1:9")
    with pytest.raises(ClusterError, match="omit --dask-scheduler"):
        run_images("tile", [], str, source=str, scheduler="nonsense")


def test_reports_missing_workers_and_a_lost_scheduler(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_executor, "WORKER_TIMEOUT_S", 1)
    address = cluster.scheduler()
    with pytest.raises(ClusterError, match=f"`dask worker {address}`"):
        run_images("tile", [Row("A/0")], str, source=str, scheduler=address)

    monkeypatch.setattr(dask_executor, "WORKER_TIMEOUT_S", 60)
    cluster.worker(address)

    def work(row: Row) -> None:
        time.sleep(60)

    threading.Timer(10, cluster.processes[0].kill).start()
    with pytest.raises(ClusterError, match="was lost; start the scheduler and run the step again"):
        run_images("tile", [Row("A/0")], work, source=str, scheduler=address)


@pytest.mark.parametrize("environment", [{}, {"CACL_DASK_SCHEDULER": "nonsense"}])
def test_scheduler_address_from_option_and_environment(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    names = {"--acquired": "in.parquet", "--store": "s", "--out": "out", "--failures": "f.csv"}
    tables.write_parquet(tmp_path / "in.parquet", [], AcquiredRow)
    options = [part for key, name in names.items() for part in (key, str(tmp_path / name))]
    option = [] if environment else ["--dask-scheduler", "nonsense"]
    result = CliRunner().invoke(app, ["tile", *options, *option], env=environment)
    assert result.exit_code == 1
    assert "No dask scheduler answers at nonsense" in result.output
