"""What a reader may do with a file from outside, checked while one case runs.

A reader returns a value or raises an error of `cacl.errors`. It ends within the time limit, stays
within the memory limit, writes only below its own folder, starts no program, unpickles nothing and
connects to no other host.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from cacl.errors import CaclError, ImageError

MAX_MESSAGE = 20_000
WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate"}
FORBIDDEN = {
    "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork",
    "pickle.find_class",
}  # fmt: skip


class HangError(BaseException):
    """A case takes longer than its limit; no handler of `Exception` catches it."""


@dataclass(frozen=True)
class Outcome:
    """How a case ended.

    Parameters
    ----------
    name
        `accepted`, the place and class of the error, or the kind of a finding.
    finding
        What is wrong, with a traceback; empty if nothing is.
    """

    name: str
    finding: str = ""


class Guard:
    """Runs cases in one folder of this process, which cannot be used for anything else.

    Parameters
    ----------
    folder
        Holds the files of one case at a time.
    seconds
        Longest time of a case.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder = folder
        self._seconds = seconds
        self._is_active = False
        self._violations: list[str] = []
        self._files: dict[str, bytes] = {}
        self._has_written = False
        sys.addaudithook(self._audit)
        signal.signal(signal.SIGALRM, self._expire)

    def run(self, files: dict[str, bytes], read: Callable[[Path], object]) -> Outcome:
        """Write the files of a case, call the reader with their folder, and judge the outcome."""
        self._write(files)
        self._violations.clear()
        try:
            with self._limits():
                read(self.folder)
        except (CaclError, HangError, Exception, SystemExit) as error:  # noqa: BLE001
            outcome = self._judge(error)
        else:
            outcome = Outcome("accepted")
        if self._violations and not outcome.finding:
            name = f"forbidden: {self._violations[0]}"
            return Outcome(name, "\n".join(self._violations))
        return outcome

    def _write(self, files: dict[str, bytes]) -> None:
        """Make the folder hold these files; unchanged ones stay if the last case wrote nothing."""
        if self._has_written:
            shutil.rmtree(self.folder)
            self.folder.mkdir()
            self._files = {}
        for name in self._files.keys() - files.keys():
            (self.folder / name).unlink()
        for name, data in files.items():
            if self._files.get(name) != data:
                path = self.folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        self._files, self._has_written = files, False

    @contextmanager
    def _limits(self) -> Iterator[None]:
        signal.setitimer(signal.ITIMER_REAL, self._seconds)
        self._is_active = True
        try:
            yield
        finally:
            self._is_active = False
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _expire(self, _number: int, _frame: FrameType | None) -> None:
        raise HangError(f"longer than {self._seconds:g} s")

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._is_active:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & WRITE_FLAGS:
                self._check_path(event, path)
        elif event in CHANGES:
            for path in arguments[:2]:
                self._check_path(event, path)
        elif event in FORBIDDEN:
            self._violations.append(f"{event} {arguments!r:.200}")
        elif event == "socket.connect" and arguments[1][0] != "127.0.0.1":
            self._violations.append(f"{event} {arguments[1]!r:.200}")

    def _check_path(self, event: str, path: object) -> None:
        self._has_written = True
        if isinstance(path, bytes | str | os.PathLike):
            place = f"{os.path.realpath(os.fsdecode(path))}/"
            if place != f"{os.devnull}/" and not place.startswith(
                f"{os.path.realpath(self.folder)}/"
            ):
                self._violations.append(f"{event} {place}")

    def _judge(self, error: BaseException) -> Outcome:
        kind = type(error).__name__
        place = _place(error)
        if isinstance(error, HangError):
            return Outcome(f"hang at {place}", _trace(error))
        if any(isinstance(each, MemoryError) for each in _chain(error)):
            return Outcome(f"memory at {place}", _trace(error))
        if not isinstance(error, CaclError):
            return Outcome(f"{kind} at {place}", _trace(error))
        message = str(error)
        if not message.strip() or len(message) > MAX_MESSAGE:
            return Outcome(f"message of {len(message)} characters at {place}", message[:2000])
        reason = f" {error.reason}" if isinstance(error, ImageError) else ""
        return Outcome(f"{kind}{reason} at {place}")


def limit_memory(megabytes: int) -> None:
    """Limit the address space of this process to what it has now plus `megabytes`."""
    status = Path("/proc/self/statm").read_text(encoding="ascii").split()
    size = int(status[0]) * resource.getpagesize() + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _place(error: BaseException) -> str:
    """Return file and line of the innermost frame in this project, else of the innermost frame."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/cacl/" in frame.filename] or list(frames)
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "?"


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error, limit=-12))[-4000:]
