"""Which process has locked a file."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

UNKNOWN = "another process"


def lock_holder(path: Path) -> str:
    """Return "process <number>" for the process that has locked a file with `flock`.

    Linux lists the locks of its own processes in `/proc/locks`; otherwise, and on network file
    systems, it is "another process".
    """
    with suppress(OSError, ValueError, IndexError):
        inode = path.stat().st_ino
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            fields = line.split()
            if fields[1] == "FLOCK" and int(fields[5].rpartition(":")[2]) == inode:
                return f"process {fields[4]}"
    return UNKNOWN
