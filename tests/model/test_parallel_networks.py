"""Networks that are trained in parallel processes: equal bytes, and every way to stop."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cacl.errors import TrainingError
from cacl.model.presets import TEACHER
from cacl.model.training import parallel_networks
from cacl.model.training.networks import STATES
from tests.fixtures.model_atlas import ModelAtlas

pytestmark = pytest.mark.slow

PRODUCTS = ("checkpoint.safetensors", "model.json", "training.csv")
STEPS = 246  # 24 of each teacher, 54 of the student


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> ModelAtlas:
    made = ModelAtlas(tmp_path_factory.mktemp("atlas")).build()
    made.select()
    return made


def start(atlas: ModelAtlas, out: Path) -> subprocess.Popen[str]:
    """Start `cacl train` with teachers that always pass for trained."""
    code = (
        "from cacl.model.training import loop, monitor;"
        "monitor.MIN_USAGE, monitor.MAX_USAGE = -1.0, 2.0;"
        "import runpy; runpy.run_module('cacl', run_name='__main__', alter_sys=True)"
    )
    files = (
        *("--tiles", atlas.path("training.parquet")),
        *("--store", atlas.path("atlas.zarr"), "--out", out),
    )
    how = ("--preset", "robust", "--max-steps", str(STEPS), "--threads", "2")
    command = [sys.executable, "-c", code, "train", *map(str, (*files, *how))]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def children(pid: int) -> list[int]:
    """Return the processes of a training that train a network."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            parent = next(
                line for line in status.read_text().splitlines() if line.startswith("PPid:")
            )
            command = (status.parent / "cmdline").read_text()
        except (OSError, StopIteration):
            continue
        if int(parent.split()[1]) == pid and "popen_loky" in command:
            found.append(int(status.parent.name))
    return found


def lines_until(process: subprocess.Popen[str], text: str) -> Iterator[str]:
    assert process.stderr is not None
    for line in process.stderr:
        yield line
        if text in line:
            return
    raise AssertionError(f"the training ended before {text!r}")


def is_running(pid: int) -> bool:
    try:
        return "Z" not in (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2][:3]
    except OSError:
        return False


@pytest.fixture(scope="module")
def whole(atlas: ModelAtlas) -> Path:
    out = atlas.path("whole")
    run = start(atlas, out)
    _, stderr = run.communicate()
    assert run.returncode == 0, stderr
    for number in range(1, 9):
        assert f"train: teacher, network {number}: step 24 of 24, " in stderr
    done = [line for line in stderr.splitlines() if "train: steps: " in line]
    counts = [int(line.split("train: steps: ")[1].split()[0]) for line in done]
    assert 8 * 24 in counts, "the steps of all teachers together"
    assert done[-1].endswith(f"train: steps: {STEPS} of {STEPS}, robust, network 9")
    assert not (out / STATES).exists()
    return out


@pytest.mark.usefixtures("lenient")
def test_number_of_processes_changes_no_network(
    atlas: ModelAtlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = atlas.train("one", preset=TEACHER, seeds=3, max_steps=24)
    started: list[int] = []
    train_in_processes = parallel_networks._train_in_processes

    def count(stages: object, processes: int, *arguments: object) -> bool:
        started.append(processes)
        return train_in_processes(stages, processes, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(parallel_networks, "_train_in_processes", count)
    three = atlas.train("three", preset=TEACHER, seeds=3, max_steps=24, threads=3)
    assert started == [3]
    for name in ("checkpoint.safetensors", "training.csv"):
        assert (one / name).read_bytes() == (three / name).read_bytes(), name


def test_memory_limits_the_number_of_processes(
    atlas: ModelAtlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACL_MEMORY_GB", "1")
    monkeypatch.setattr(parallel_networks, "_train_in_processes", None)
    one = atlas.train("small", preset=TEACHER, seeds=2, max_steps=30, threads=3)
    assert (one / "checkpoint.safetensors").exists()


def test_diverging_network_ends_the_training(atlas: ModelAtlas) -> None:
    optim = dataclasses.replace(TEACHER.optim, learning_rate=1e30, clip_norm=None)
    preset = dataclasses.replace(TEACHER, optim=optim)
    with pytest.raises(TrainingError, match="is not a finite number at step"):
        atlas.train("diverging", preset=preset, seeds=2, max_steps=30, threads=2)


def test_sigterm_stops_all_processes_and_the_next_run_gives_equal_bytes(
    atlas: ModelAtlas, whole: Path
) -> None:
    out = atlas.path("terminated")
    run = start(atlas, out)
    seen = list(lines_until(run, "network 2: step 24 of 24"))
    pids = children(run.pid)
    assert len(pids) == 2
    run.send_signal(signal.SIGTERM)
    _, stderr = run.communicate(timeout=120)
    assert run.returncode == 1
    assert "was stopped by SIGTERM and saved" in " ".join(stderr.split()), seen
    assert not any(map(is_running, pids))
    assert any((out / STATES).glob("*.safetensors"))

    run = start(atlas, out)
    _, stderr = run.communicate()
    assert run.returncode == 0, stderr
    for name in PRODUCTS:
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
    assert not (out / STATES).exists()


def test_killed_process_is_named(atlas: ModelAtlas) -> None:
    out = atlas.path("killed")
    run = start(atlas, out)
    list(lines_until(run, "network 2: step 24 of 24"))
    os.kill(children(run.pid)[0], signal.SIGKILL)
    _, stderr = run.communicate(timeout=120)
    assert run.returncode == 1
    sentence = " ".join(stderr.split())
    assert "train: one of 2 processes was killed, most often because memory is short" in sentence
    assert "Traceback" not in sentence


def test_processes_end_with_a_killed_training(atlas: ModelAtlas) -> None:
    run = start(atlas, atlas.path("orphaned"))
    list(lines_until(run, "network 1: step 24 of 24"))
    pids = children(run.pid)
    run.kill()
    run.wait()
    end = time.monotonic() + 60
    while any(map(is_running, pids)):
        assert time.monotonic() < end, "a process outlives its training"
        time.sleep(0.1)
