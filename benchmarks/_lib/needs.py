"""What a table needs besides this software: data, programs, a device."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks._lib.sources import CHECKOUT

DATA = CHECKOUT.parent / "shared" / "data"
FORMER = "766479b:cacl/store/shard.py"
"""The writer of shards that `cacl.store` had before it used zarrs, in the history of git."""
INTEROP_PROGRAMS = ("make", "Rscript", "soffice", "xvfb-run")
CHROMIUM = Path("/usr/bin/chromium")


@dataclass(frozen=True)
class Tools:
    """Interpreters that the command line names.

    Parameters
    ----------
    tiatoolbox
        Python of an environment with TIAToolbox; None if there is none.
    """

    tiatoolbox: Path | None = None


@dataclass(frozen=True)
class Need:
    """A condition, and what to do if it is not met."""

    is_met: Callable[[Tools], bool]
    remedy: str


def former_code() -> str | None:
    """Return the text of `FORMER`; None if the history of this checkout does not have it."""
    command = ["git", "-C", str(CHECKOUT), "show", FORMER]
    try:
        done = subprocess.run(  # nosec B603  # a list, no shell
            command, capture_output=True, check=False, text=True
        )
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def _data(folder: str, pattern: str, what: str) -> Need:
    path = DATA / folder
    return Need(
        lambda _: any(path.glob(pattern)),
        f"needs {what} in ../shared/data/{folder}: put them there",
    )


NEEDS = {
    "cores": _data("cores", "*.jpg", "cores of the Human Protein Atlas (JPEG)"),
    "glas": _data("glas", "*", "the images of GlaS"),
    "ki67": _data("ki67", "*", "the fields of Ki67 with their masks"),
    "hpa-xml": _data("hpa-xml", "*.xml*", "gene XML of release 18"),
    "chromium": Need(
        lambda _: CHROMIUM.exists(), f"needs {CHROMIUM}: install the package chromium"
    ),
    "gpu": Need(
        lambda _: shutil.which("nvidia-smi") is not None, "needs a GPU: run on a machine with one"
    ),
    "root": Need(lambda _: os.geteuid() == 0, "mounts small disks: run as root"),
    "tiatoolbox": Need(
        lambda tools: tools.tiatoolbox is not None and tools.tiatoolbox.exists(),
        "needs TIAToolbox 2.1: name the Python of an environment that has it with --tiatoolbox",
    ),
    "former": Need(
        lambda _: former_code() is not None,
        f"needs {FORMER} from the history: work in a full clone",
    ),
    "interop": Need(
        lambda _: all(map(shutil.which, INTEROP_PROGRAMS)),
        f"needs {', '.join(INTEROP_PROGRAMS)}: install the packages that CONTRIBUTING.md lists",
    ),
}


def unmet(names: tuple[str, ...], tools: Tools) -> list[str]:
    """Return the remedies of the needs that are not met here."""
    return [NEEDS[name].remedy for name in names if not NEEDS[name].is_met(tools)]
