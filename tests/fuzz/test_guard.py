"""The fuzzer notices what a reader must not do."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cacl.errors import ManifestError
from tests.fuzz import engine, targets
from tests.fuzz.targets import Target


def accept(_: Path) -> None:
    return


def refuse(_: Path) -> None:
    raise ManifestError("not a table")


def fail(_: Path) -> None:
    raise KeyError("x")


def write_outside(folder: Path) -> None:
    (folder.parent / "outside").write_text("x")


def start_program(_: Path) -> None:
    subprocess.run([sys.executable, "--version"], check=True)


def unpickle(_: Path) -> None:
    pickle.loads(pickle.dumps(Path("x")))


def wait(_: Path) -> None:
    time.sleep(60)


def fill_memory(_: Path) -> None:
    np.ones(2**30, np.uint8)


def crash(folder: Path) -> None:
    if (folder / "a").stat().st_size:  # not in the first, unobserved case
        os.kill(os.getpid(), signal.SIGSEGV)


CASES: tuple[tuple[Callable[[Path], None], str], ...] = (
    (accept, ""),
    (refuse, ""),
    (fail, "KeyError"),
    (write_outside, "forbidden: open"),
    (start_program, "forbidden: subprocess.Popen"),
    (unpickle, "forbidden: pickle.find_class"),
    (wait, "hang"),
    (fill_memory, "memory"),
    (crash, "killed by signal 11"),
)


def run(place: Path, read: Callable[[Path], None]) -> None:
    """Run three cases in this process, as the engine does in its own."""
    engine.SECONDS_PER_CASE = 0.5
    targets.BY_NAME["self"] = Target("self", "", lambda genome: {"a": genome.raw(1)}, read, 256)
    engine._work(engine._given_genomes, "self", ([b"0", b"1", b"2"],), place)


@pytest.mark.parametrize(
    ("read", "finding"), CASES, ids=lambda value: getattr(value, "__name__", "")
)
def test_finds_what_a_reader_must_not_do(
    tmp_path: Path, read: Callable[[Path], None], finding: str
) -> None:
    # A fork of this process would lack the threads that earlier tests left in OpenCV's pool.
    process = engine.CONTEXT.Process(target=run, args=(tmp_path, read))
    process.start()
    end = engine._wait(process, tmp_path / "log")
    tally = engine._read(tmp_path, end)
    assert [name.startswith(finding) for name in tally.findings] == [True] * bool(finding)
    assert tally.cases == (1 if end else 3)
