"""The lock of Snakemake on a run's folder: who holds it, and its removal after a kill.

Snakemake leaves its lock when it is killed, and does not record who took it. So the workflow
records its process when it starts (`onstart`), and removes the record when it ends.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from cacl.errors import LockedError
from cacl.tables import write_text

STATE = Path(".snakemake")
LOCKS, RECORD = STATE / "locks", STATE / "cacl-run.json"
PROGRAMS = ("snakemake", "cacl")
STARTED = 19
"""Place of the start time after the command's name in `/proc/<pid>/stat`; see proc(5)."""


@dataclass(frozen=True)
class RunProcess:
    """A process that runs the workflow, or a step of it.

    Parameters
    ----------
    host
        Name of its machine.
    pid
        Its number there.
    started
        Its start time in clock ticks after the machine's; numbers are used again, times are not.
    command
        Its command line.
    """

    host: str
    pid: int
    started: int
    command: str

    def __str__(self) -> str:
        where = "" if self.host == socket.gethostname() else f" on {self.host}"
        return f"process {self.pid}{where} ({self.command[:80]})"


def record_run(folder: Path) -> None:
    """Record this process as the one that runs the workflow in `folder`."""
    process = _process(os.getpid())
    if process is not None:
        write_text(folder / RECORD, json.dumps(asdict(process), indent=1) + "\n")


def remove_record(folder: Path) -> None:
    """Remove the record of this process, when the workflow ends."""
    (folder / RECORD).unlink(missing_ok=True)


def is_locked(folder: Path) -> bool:
    """Return whether Snakemake's lock is on a run's folder."""
    return any((folder / LOCKS).glob("*.lock"))


def find_user(folder: Path) -> RunProcess | None:
    """Return a process that runs the workflow or a step in `folder`, or that may do so.

    A recorded process of another machine counts, because it cannot be seen from this one. The
    caller and its parents do not count.
    """
    recorded = _recorded(folder)
    if recorded is not None:
        if recorded.host != socket.gethostname():
            return recorded
        living = _process(recorded.pid)
        if living is not None and living.started == recorded.started and living.pid != os.getpid():
            return living
    return next(_processes_in(folder.resolve()), None)


def explain_lock(folder: Path) -> str | None:
    """Return one sentence on the lock of a run's folder; None if there is no lock."""
    if not is_locked(folder):
        return None
    user = find_user(folder)
    if user is not None:
        return f"{folder} is locked by {user}; wait until it ends, or work in another folder."
    return (
        f"{folder} is locked by a run that was killed: no process uses the folder. Run "
        f"`cacl unlock --directory {shlex.quote(str(folder))}`, then the same command again: it "
        "continues where it stopped."
    )


def unlock(folder: Path) -> bool:
    """Remove Snakemake's lock from a run's folder if no process uses the folder.

    Returns
    -------
    Whether there was a lock.

    Raises
    ------
    LockedError
        A process uses the folder, or may use it on another machine.
    """
    if not is_locked(folder):
        return False
    user = find_user(folder)
    if user is not None and user.host != socket.gethostname():
        raise LockedError(
            f"{folder} is locked by {user}; run `cacl unlock` on {user.host}, or, if that machine "
            "is gone for good, `snakemake --unlock`"
        )
    if user is not None:
        raise LockedError(
            f"{folder} is in use by {user}; wait until it ends, or end it, then run `cacl unlock` "
            "again"
        )
    shutil.rmtree(folder / LOCKS)
    remove_record(folder)
    return True


def _recorded(folder: Path) -> RunProcess | None:
    try:
        values = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return RunProcess(
            str(values["host"]), int(values["pid"]), int(values["started"]), str(values["command"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _process(pid: int) -> RunProcess | None:
    """Return a living process of this machine; None if there is none, or it has ended."""
    proc = Path(f"/proc/{pid}")
    try:
        state, *numbers = (proc / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        command = (proc / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    if state in ("Z", "X"):
        return None
    return RunProcess(
        socket.gethostname(), pid, int(numbers[STARTED - 1]), " ".join(command).strip()
    )


def _processes_in(folder: Path) -> Iterator[RunProcess]:
    """Yield the processes of this machine that run the workflow or a step in a folder."""
    own = set(_ancestors(os.getpid()))
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in own:
            continue
        with suppress(OSError):  # it has ended, or is another user's
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if {Path(word).name for word in words} & {*PROGRAMS} and (
                (entry / "cwd").resolve(strict=True) == folder
            ):
                process = _process(int(entry.name))
                if process is not None:
                    yield process


def _ancestors(pid: int) -> Iterator[int]:
    """Yield a process and its parents."""
    while pid > 0:
        yield pid
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        except OSError:
            return
        pid = int(stat.rpartition(")")[2].split()[1])
