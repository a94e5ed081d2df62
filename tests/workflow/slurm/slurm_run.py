"""Snakemake through profiles/slurm-gpu on a Slurm of the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.workflow.slurm.one_node import Slurm, be_killed_with_parent

TINY = {
    "phantom": {"antibodies": 4, "patients": 1},
    "train": {"preset": "paper", "max_steps": 4, "max_tiles": 16},
    "census": {"shards": 2},
}
QUICK = ("--slurm-init-seconds-before-status-checks", "1", "--max-status-checks-per-second", "5")
# The node claims more CPUs than this machine has; threads that wait must leave them to others.
WAITING = {"OMP_WAIT_POLICY": "PASSIVE"}
SNAKEMAKE = Path(__file__).parent / "quick_snakemake.py"
LONGEST_S = 1500


@dataclass(frozen=True)
class Run:
    """The workflow in a folder of its own, on a Slurm, through the profile that users get.

    Parameters
    ----------
    checkout
        Where Snakefile and profile are.
    folder
        The working directory.
    slurm
        The cluster.
    changes
        What a user writes into the profile; a key whose value is None is left out.
    programs
        A folder whose programs come before all others.
    """

    checkout: Path
    folder: Path
    slurm: Slurm
    changes: tuple[tuple[str, Any], ...] = ()
    programs: Path | None = None

    def configure(self, **sections: object) -> None:
        (self.folder / "config.yaml").write_text(yaml.safe_dump(TINY | sections))

    def copy(self, folder: Path, **changed: Any) -> Run:
        """Return a copy of the run, as far as it is, in another folder or on another cluster."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return Run(**({"checkout": self.checkout, "slurm": self.slurm, "folder": folder} | changed))

    def profile(self) -> Path:
        """Return the folder of the profile, which is the checkout's own unless it is changed."""
        shipped = self.checkout / "profiles/slurm-gpu"
        if not self.changes:
            return shipped
        profile = yaml.safe_load((shipped / "config.yaml").read_text())
        for key, value in self.changes:
            *sections, name = key.split(".")
            part = profile
            for section in sections:
                part = part[section]
            if value is None:
                del part[name]
            else:
                part[name] = value
        changed = self.folder / "profile"
        changed.mkdir(exist_ok=True)
        (changed / "config.yaml").write_text(yaml.safe_dump(profile))
        return changed

    def start(self, *options: object) -> subprocess.Popen[str]:
        """Start Snakemake; its messages come on its standard output."""
        place = ("--snakefile", self.checkout / "workflow/Snakefile", "--directory", self.folder)
        profile = ("--profile", self.profile(), *QUICK)
        configured = ("--configfile", self.folder / "config.yaml")
        environment = self.slurm.environment
        folders = [self.programs, Path(sys.executable).parent, environment["PATH"]]
        path = os.pathsep.join(str(one) for one in folders if one)
        command = [sys.executable, SNAKEMAKE, *place, *profile, *configured, *options]
        return subprocess.Popen(
            [*map(str, command)],
            env=os.environ | environment | WAITING | {"PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            preexec_fn=be_killed_with_parent,
        )

    def __call__(self, *options: object) -> subprocess.CompletedProcess[str]:
        """Run Snakemake to its end."""
        process = self.start(*options)
        said, _ = process.communicate(timeout=LONGEST_S)
        return subprocess.CompletedProcess(process.args, process.returncode, said)

    def jobs(self, rule: str = "") -> list[dict[str, str]]:
        """Return what Slurm knows of this run's jobs, by the comment that names their rule."""
        return [
            job
            for job in self.slurm.jobs()
            if job["WorkDir"] == str(self.folder)
            and job.get("Comment", "").startswith(f"rule_{rule}")
        ]


def wait_for(what: Callable[[], object], seconds: float = 600) -> None:
    """Wait until something holds; the limit is for machines that are busy with other work."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)
