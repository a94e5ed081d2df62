"""Temporary conditions of the machine: how libraries report them, and what is none."""

from __future__ import annotations

import errno
import gzip
import io
import os
import threading
import time
import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
import torch

from cacl.errors import (
    CheckpointError,
    ConfigError,
    DiskError,
    ImageError,
    Reason,
    ResourceError,
    StoreError,
    TableError,
)
from cacl.runtime.images import run_images
from cacl.runtime.resources import Shortage, error_sentence, find_shortage

TOO_MUCH = 2**50


def numpy_memory_error() -> None:
    np.empty(TOO_MUCH, np.uint8)


def torch_memory_error() -> None:
    torch.empty(TOO_MUCH, dtype=torch.uint8)


def arrow_memory_error() -> None:
    pa.allocate_buffer(TOO_MUCH)


def opencv_memory_error() -> None:
    cv2.resize(np.zeros((1, 1), np.uint8), (2**30, 2**20), interpolation=cv2.INTER_NEAREST)


def raised(function: object) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - any error of a library
        function()  # type: ignore[operator]
    return caught.value


@pytest.mark.parametrize(
    "function", [numpy_memory_error, torch_memory_error, arrow_memory_error, opencv_memory_error]
)
def test_memory_errors_of_libraries(function: object) -> None:
    found = find_shortage(raised(function))
    assert found is not None
    assert found[0] is Shortage.MEMORY


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("could not create a primitive"), Shortage.MEMORY),
        (OSError(errno.ENOSPC, "No space left on device"), Shortage.DISK),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), Shortage.DISK),
        (OSError(errno.EROFS, "Read-only file system"), Shortage.DISK),
        (OSError(errno.EFBIG, "File too large"), Shortage.DISK),
        (OSError(errno.EMFILE, "Too many open files"), Shortage.FILES),
        (OSError(errno.ENFILE, "Too many open files in system"), Shortage.FILES),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), Shortage.MEMORY),
        (OSError(errno.EIO, "Input/output error"), Shortage.INPUT_OUTPUT),
        (OSError(errno.ESTALE, "Stale file handle"), Shortage.INPUT_OUTPUT),
        (RuntimeError("can't start new thread"), Shortage.THREADS),
        (RuntimeError("Too many open files (os error 24)"), Shortage.FILES),
        (RuntimeError("No space left on device (os error 28)"), Shortage.DISK),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), Shortage.MEMORY),
        (ValueError("Insufficient memory (case 4)"), Shortage.MEMORY),
        (OSError("out of memory error when reading image file"), Shortage.MEMORY),
        (zlib.error("Error -4 while decompressing data"), Shortage.MEMORY),
        (ImportError("libtorch.so: failed to map segment from shared object"), Shortage.MEMORY),
    ],
)
def test_kind_of_an_error(error: Exception, kind: Shortage) -> None:
    assert find_shortage(error) == (kind, error)
    for wrapped in (ImageError(Reason.DAMAGED, "x"), TableError("x"), CheckpointError("x")):
        wrapped.__cause__ = error
        assert find_shortage(wrapped) == (kind, error)


def test_what_is_no_shortage() -> None:
    for error in (
        OSError(errno.ENOENT, "No such file or directory"),
        OSError(errno.EACCES, "Permission denied"),
        OSError(errno.ENAMETOOLONG, "File name too long"),
        zlib.error("Error -3 while decompressing data: invalid block type"),
        ValueError("invalid literal"),
        raised(lambda: gzip.GzipFile(fileobj=io.BytesIO(b"\x1f\x8bxx")).read()),
        ImageError(Reason.DAMAGED, "/data/out of memory/1.png is truncated"),
    ):
        assert find_shortage(error) is None, error


def test_broken_connection_is_no_file_system() -> None:
    error = ImageError(Reason.UNREACHABLE, "no response")
    error.__cause__ = OSError(errno.ETIMEDOUT, "Connection timed out")
    assert find_shortage(error) is None
    error.__cause__ = OSError(errno.EMFILE, "Too many open files")
    assert find_shortage(error) == (Shortage.FILES, error.__cause__)


@dataclass(frozen=True)
class Row:
    image_id: str


class PanicException(BaseException):
    """Named as that of pyo3, which is raised when Rust code panics."""


ROWS = [Row(f"A/{number}") for number in range(40)]


@pytest.mark.parametrize("jobs", [1, 3])
def test_shortage_ends_the_step_and_starts_no_further_image(jobs: int) -> None:
    started: list[str] = []
    lock = threading.Lock()

    def work(row: Row) -> str:
        with lock:
            started.append(row.image_id)
        if row.image_id == "A/5":
            try:
                numpy_memory_error()
            except MemoryError as error:
                raise ImageError(Reason.DAMAGED, "x.tif is damaged") from error
        time.sleep(0.02)  # an image takes longer than the handling of an error
        return row.image_id

    with pytest.raises(
        ResourceError,
        match=r"^tile: A/5: the memory is not enough \(Unable to allocate 1\.00 PiB.*this process "
        r"has used up to .* GB and may use .* GB more.*continues where it stopped$",
    ):
        run_images("tile", ROWS, work, source=str, jobs=jobs)
    assert 6 <= len(started) < 40


def test_each_kind_of_error_of_an_image() -> None:
    errors: list[tuple[BaseException, type[Exception], str]] = [
        (OSError(errno.EACCES, "Permission denied", "/x"), DiskError, "cannot be written or read"),
        (OSError(errno.ENOSPC, "No space left on device"), DiskError, "the disk is full"),
        (OSError(errno.EMFILE, "Too many open files"), ResourceError, "too many files.*ulimit -n"),
        (RuntimeError("can't start new thread"), ResourceError, "ulimit -u"),
        (PanicException("failed to spawn thread"), ResourceError, "no thread or process"),
        (raised(lambda: b"\xff".decode("utf-8", "surrogateescape").encode()), ConfigError, "UTF-8"),
    ]
    for error, expected, text in errors:

        def work(row: Row, error: BaseException = error) -> None:
            raise error

        with pytest.raises(expected, match=text):
            run_images("tile", ROWS[:1], work, source=str)


def test_errors_of_one_image_stay_rows() -> None:
    errors = [StoreError("lost"), PanicException("index out of bounds"), ZeroDivisionError("0")]

    def work(row: Row) -> None:
        raise errors[int(row.image_id[2:])]

    outcome = run_images("tile", ROWS[:3], work, source=str)
    assert [(row.reason, row.message) for row in outcome.failures] == [
        ("damaged", "lost"),
        ("unexpected", "PanicException: index out of bounds"),
        ("unexpected", "ZeroDivisionError: 0"),
    ]


def test_interrupt_is_no_failure() -> None:
    def work(row: Row) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_images("tile", ROWS[:1], work, source=str)


def test_sentence_of_a_command() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    assert "cacl train: the disk is full" in str(error_sentence(full, "cacl train"))
    table = TableError("The table t.parquet cannot be read; run the step that writes it again")
    assert error_sentence(table, "cacl report") == str(table)
    table.__cause__ = OSError(errno.EMFILE, "Too many open files")
    assert "cacl report: too many files are open" in str(error_sentence(table, "cacl report"))
    missing = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(Path("x")))
    assert "No such file or directory: 'x'" in str(error_sentence(missing, "cacl top"))
    assert error_sentence(ZeroDivisionError("0"), "cacl top") is None


def full_disk() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_error_of_another_process_is_stated_without_its_traceback() -> None:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        error = pool.submit(full_disk).exception()
    assert error is not None
    assert "Traceback" in str(error.__cause__)
    for each in (error, error.__cause__):
        assert each is not None
        sentence = error_sentence(each, "cacl train")
        assert sentence is not None
        assert "[Errno 28] No space left on device);" in sentence
        assert "Traceback" not in sentence


def test_missing_package_is_a_fault_of_the_environment_and_a_missing_module_is_ours() -> None:
    absent = ModuleNotFoundError("No module named 'openslide'", name="openslide.lowlevel")
    assert str(error_sentence(absent, "cacl tile")) == (
        "cacl tile: a package cannot be imported (No module named 'openslide'); `cacl doctor` "
        "names what the environment lacks"
    )
    ours = ModuleNotFoundError("No module named 'cacl.x'", name="cacl.x")
    assert error_sentence(ours, "cacl tile") is None
