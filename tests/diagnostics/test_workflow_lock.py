"""The lock of Snakemake: whose it is, and when `cacl unlock` may remove it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cacl.cli import app
from cacl.diagnostics.workflow_lock import (
    LOCKS,
    RECORD,
    explain_lock,
    find_user,
    record_run,
    remove_record,
    unlock,
)
from cacl.errors import LockedError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder with Snakemake's lock."""
    (tmp_path / LOCKS).mkdir(parents=True)
    for name in ("0.input.lock", "0.output.lock"):
        (tmp_path / LOCKS / name).write_text("results/report/report.html\n")
    return tmp_path


@contextmanager
def process_in(folder: Path, *names: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process in a folder whose command line has words, such as a program's name."""
    command = [sys.executable, "-c", "import time; time.sleep(60)", *names]
    with subprocess.Popen(command, cwd=folder) as process:
        while b"sleep" not in Path(f"/proc/{process.pid}/cmdline").read_bytes():
            time.sleep(0.01)
        try:
            yield process
        finally:
            process.kill()


def test_lock_of_a_dead_process_is_explained_and_removed(folder: Path) -> None:
    sentence = explain_lock(folder)
    assert sentence is not None
    assert f"Run `cacl unlock --directory {folder}`, then the same command again" in sentence
    result = CliRunner().invoke(app, ["unlock", "--directory", str(folder)])
    assert result.exit_code == 0
    assert "Unlocked" in result.output
    assert not (folder / LOCKS).exists()
    assert explain_lock(folder) is None
    assert "is not locked" in CliRunner().invoke(app, ["unlock", "--directory", str(folder)]).output


@pytest.mark.parametrize("program", ["/usr/bin/snakemake", "/opt/venv/bin/cacl"])
def test_folder_of_a_living_process_stays_locked(folder: Path, program: str) -> None:
    with process_in(folder, program) as process:
        assert f"is locked by process {process.pid} " in str(explain_lock(folder))
        with pytest.raises(LockedError, match=rf"in use by process {process.pid} \("):
            unlock(folder)
        result = CliRunner().invoke(app, ["unlock", "--directory", str(folder)])
        assert result.exit_code == 1
        assert "wait until it ends" in " ".join(result.output.split())
    assert len(list((folder / LOCKS).iterdir())) == 2
    assert unlock(folder)


def test_processes_of_other_folders_and_other_programs_do_not_count(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("other")
    with process_in(elsewhere, "snakemake"), process_in(folder, "my-snakemake-notes.txt"):
        assert find_user(folder) is None
        assert unlock(folder)


def test_recorded_process_counts_wherever_it_works_until_it_ends(folder: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; "
        "from cacl.diagnostics.workflow_lock import record_run; "
        "record_run(Path(sys.argv[1])); print('ready', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", program, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        user = find_user(folder)
        assert user is not None
        assert (user.pid, user.host) == (process.pid, socket.gethostname())
        process.kill()
    assert find_user(folder) is None
    assert (folder / RECORD).exists()
    assert unlock(folder)
    assert not (folder / RECORD).exists()


def test_number_of_a_process_that_is_used_again_does_not_count(folder: Path) -> None:
    with process_in(folder.parent) as process:
        values = {"host": socket.gethostname(), "pid": process.pid, "started": 1, "command": "x"}
        (folder / RECORD).write_text(json.dumps(values))
        assert find_user(folder) is None


def test_lock_of_another_machine_is_left_to_that_machine(folder: Path) -> None:
    values = {"host": "login2", "pid": 1, "started": 1, "command": "snakemake"}
    (folder / RECORD).write_text(json.dumps(values))
    assert "is locked by process 1 on login2 (snakemake)" in str(explain_lock(folder))
    with pytest.raises(LockedError, match="run `cacl unlock` on login2"):
        unlock(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": 1}', '{"host": "a", "pid": "x"}'])
def test_damaged_record_is_no_record(folder: Path, text: str) -> None:
    (folder / RECORD).write_text(text)
    assert find_user(folder) is None
    assert unlock(folder)


def test_record_is_removed_at_the_end(folder: Path) -> None:
    record_run(folder)
    assert json.loads((folder / RECORD).read_text())["pid"] == os.getpid()
    assert find_user(folder) is None  # the caller does not count
    remove_record(folder)
    assert not (folder / RECORD).exists()
