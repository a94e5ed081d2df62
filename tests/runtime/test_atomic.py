"""Temporary files and folders: complete or absent, taken over from killed writers, never shared."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from cacl.runtime import atomic
from cacl.runtime.atomic import remove_leftover, replaced_file, replaced_folder

FILE_WRITER = """
import sys, time
from pathlib import Path
from cacl.runtime.atomic import replaced_file
with replaced_file(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""
FOLDER_WRITER = """
import sys, time
from pathlib import Path
from cacl.runtime.atomic import replaced_folder
with replaced_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


@contextmanager
def writer(program: str, target: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until it has begun to write `target`; end it afterwards."""
    command = [sys.executable, "-c", program, str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"writing\n"
            yield process
        finally:
            process.kill()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(target: Path, text: str) -> None:
    with replaced_file(target) as temporary:
        temporary.write_text(text)


def write_folder(target: Path, text: str) -> None:
    with replaced_folder(target) as folder:
        (folder / "content").write_text(text)


def test_next_writer_takes_over_the_file_of_a_killed_one(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    target.write_text("before")
    with writer(FILE_WRITER, target) as process:
        process.send_signal(signal.SIGKILL)
    assert (names(tmp_path), target.read_text()) == ([".table.csv.tmp", "table.csv"], "before")
    write(target, "x")
    assert (names(tmp_path), target.read_text()) == (["table.csv"], "x")


def test_next_writer_takes_over_the_folder_of_a_killed_one(tmp_path: Path) -> None:
    target = tmp_path / "image"
    write_folder(target, "before")
    with writer(FOLDER_WRITER, target) as process:
        process.send_signal(signal.SIGKILL)
    assert names(tmp_path) == [".image.tmp", "image"]
    write_folder(target, "after")
    assert (names(tmp_path), names(target)) == (["image"], ["content"])
    assert (target / "content").read_text() == "after"


def test_second_writer_waits_for_a_living_one(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    with writer(FILE_WRITER, target) as process:
        thread = threading.Thread(target=write, args=(target, "second"))
        thread.start()
        time.sleep(0.3)
        assert thread.is_alive()
        assert names(tmp_path) == [".table.csv.tmp"]
        process.send_signal(signal.SIGKILL)
        thread.join(timeout=10)
    assert (names(tmp_path), target.read_text()) == (["table.csv"], "second")


def test_process_that_waits_names_the_one_that_writes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = tmp_path / "image"
    with writer(FOLDER_WRITER, target) as process, caplog.at_level("INFO"):
        thread = threading.Thread(target=write_folder, args=(target, "second"))
        thread.start()
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
        thread.join(timeout=10)
    (record,) = caplog.records
    assert record.getMessage() == (
        f"Waiting for process {process.pid}, which writes {tmp_path / '.image.tmp' / 'lock'}"
    )


def test_leftover_of_a_complete_folder_is_removed_unless_its_writer_lives(tmp_path: Path) -> None:
    target = tmp_path / "image"
    write_folder(target, "complete")
    with writer(FOLDER_WRITER, target) as process:
        remove_leftover(target)
        assert names(tmp_path / ".image.tmp") == ["lock", "new"]
        process.send_signal(signal.SIGKILL)
    remove_leftover(target)
    assert (names(tmp_path), (target / "content").read_text()) == (["image"], "complete")


def test_folder_that_was_killed_between_its_two_renames_is_put_back(tmp_path: Path) -> None:
    target, temporary = tmp_path / "image", tmp_path / ".image.tmp"
    write_folder(target, "before")
    temporary.mkdir()
    target.rename(temporary / "old")
    (temporary / "lock").touch()
    remove_leftover(target)
    assert (names(tmp_path), (target / "content").read_text()) == (["image"], "before")


def fail_in_file(target: Path) -> None:
    with replaced_file(target) as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "full")


def fail_in_folder(target: Path) -> None:
    with replaced_folder(target) as new:
        (new / "content").write_text("half")
        raise OSError(errno.ENOSPC, "full")


def test_failed_write_leaves_the_target_and_nothing_else(tmp_path: Path) -> None:
    file, folder = tmp_path / "table.csv", tmp_path / "image"
    write(file, "before")
    write_folder(folder, "before")
    with pytest.raises(OSError, match="full"):
        fail_in_file(file)
    with pytest.raises(OSError, match="full"):
        fail_in_folder(folder)
    assert names(tmp_path) == ["image", "table.csv"]
    assert (file.read_text(), (folder / "content").read_text()) == ("before", "before")


def test_file_replaced_inside_the_block_is_the_result(tmp_path: Path) -> None:
    """A writer may itself rename a file to the path that it was given."""
    target = tmp_path / "table.csv"
    with replaced_file(target) as temporary:
        (tmp_path / "other").write_text("other")
        (tmp_path / "other").rename(temporary)
    assert (names(tmp_path), target.read_text()) == (["table.csv"], "other")


def repeat(target: Path, number: int) -> None:
    for _ in range(50):
        write(target / "table.csv", f"{number}" * 10_000)
        write_folder(target / "image", f"{number}" * 10_000)


def test_four_processes_and_threads_write_the_same_targets(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    processes = [context.Process(target=repeat, args=(tmp_path, number)) for number in range(2)]
    for process in processes:
        process.start()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda number: repeat(tmp_path, number), (2, 3)))
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert names(tmp_path) == ["image", "table.csv"]
    assert names(tmp_path / "image") == ["content"]
    for text in ((tmp_path / "table.csv").read_text(), (tmp_path / "image/content").read_text()):
        assert len(text) == 10_000
        assert len(set(text)) == 1


@pytest.mark.parametrize("number", atomic.NO_LOCKS)
def test_file_system_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    write(tmp_path / "table.csv", "x")
    write_folder(tmp_path / "image", "x")
    remove_leftover(tmp_path / "image")
    assert names(tmp_path) == ["image", "table.csv"]
    assert (tmp_path / "table.csv").stat().st_mode & 0o777 == 0o666 & ~umask()


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_link_in_the_place_of_a_temporary_file_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / ".table.csv.tmp").symlink_to(precious)
    with pytest.raises(OSError, match="symbolic links"):
        write(tmp_path / "table.csv", "x")
    assert precious.read_text() == "precious"
