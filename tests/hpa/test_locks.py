"""Locks of downloads: one process at a time, which the waiting one names."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cacl.errors import ConfigError
from cacl.hpa.http.locks import host_lock, locked_part, remove_leftovers

HOLDER = """
import sys, time
from pathlib import Path
from cacl.hpa.http.locks import host_lock
with host_lock(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


def test_process_that_waits_for_the_host_names_the_one_that_downloads(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    entered = threading.Event()

    def download() -> None:
        with host_lock(tmp_path):
            entered.set()

    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"locked\n"
            caplog.set_level("INFO")
            thread = threading.Thread(target=download)
            thread.start()
            assert not entered.wait(0.5)
        finally:
            process.kill()
    thread.join(timeout=10)
    assert entered.is_set()
    (message,) = [
        record.getMessage() for record in caplog.records if record.name.startswith("cacl")
    ]
    assert message == (
        f"Waiting for process {process.pid}, which has locked {tmp_path / '.client.lock'}"
    )
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"), host_lock(tmp_path / "file" / "x"):
        pass


def test_leftovers_of_a_living_process_stay(tmp_path: Path) -> None:
    target = tmp_path / "1.jpg"
    part = tmp_path / ".1.jpg.part"
    with locked_part(target) as path:
        path.write_bytes(b"half")
        remove_leftovers(target)
        assert part.exists()
    part.write_bytes(b"of a killed process")
    remove_leftovers(target)
    assert list(tmp_path.iterdir()) == []
