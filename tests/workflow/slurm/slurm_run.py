"""Snakemake with profiles/slurm-gpu on the test Slurm."""

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
# The node has more CPUs than this machine; waiting threads must not occupy a core.
PASSIVE_THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}
SNAKEMAKE = Path(__file__).parent / "quick_snakemake.py"
TIMEOUT_S = 1500


@dataclass(frozen=True)
class Run:
    """The workflow in a working directory, on a Slurm cluster, with the shipped profile.

    Parameters
    ----------
    checkout
        Folder with the Snakefile and the profile.
    folder
        The working directory.
    slurm
        The cluster.
    changes
        Keys that a user changes in the profile; a key with value None is removed.
    programs
        A folder that comes first on PATH.
    """

    checkout: Path
    folder: Path
    slurm: Slurm
    changes: tuple[tuple[str, Any], ...] = ()
    programs: Path | None = None

    def configure(self, **sections: object) -> None:
        (self.folder / "config.yaml").write_text(yaml.safe_dump(TINY | sections))

    def copy(
        self,
        folder: Path,
        *,
        slurm: Slurm | None = None,
        changes: tuple[tuple[str, Any], ...] = (),
        programs: Path | None = None,
    ) -> Run:
        """Return a copy of the run with its files, in another folder or on another cluster."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return Run(self.checkout, folder, slurm or self.slurm, changes, programs)

    def profile(self) -> Path:
        """Return the folder of the profile: the shipped one, or a changed copy."""
        shipped = self.checkout / "profiles/slurm-gpu"
        if not self.changes:
            return shipped
        profile = yaml.safe_load((shipped / "config.yaml").read_text())
        for key, value in self.changes:
            *sections, name = key.split(".")
            mapping = profile
            for section in sections:
                mapping = mapping[section]
            if value is None:
                del mapping[name]
            else:
                mapping[name] = value
        changed = self.folder / "profile"
        changed.mkdir(exist_ok=True)
        (changed / "config.yaml").write_text(yaml.safe_dump(profile))
        return changed

    def start(self, *options: object) -> subprocess.Popen[str]:
        """Start Snakemake; its messages are on standard output."""
        paths = ("--snakefile", self.checkout / "workflow/Snakefile", "--directory", self.folder)
        profile = ("--profile", self.profile(), *QUICK)
        config = ("--configfile", self.folder / "config.yaml")
        environment = self.slurm.environment
        folders = [self.programs, Path(sys.executable).parent, environment["PATH"]]
        path = os.pathsep.join(str(folder) for folder in folders if folder)
        command = [sys.executable, SNAKEMAKE, *paths, *profile, *config, *options]
        return subprocess.Popen(
            [*map(str, command)],
            env=os.environ | environment | PASSIVE_THREADS | {"PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            preexec_fn=be_killed_with_parent,
        )

    def __call__(self, *options: object) -> subprocess.CompletedProcess[str]:
        """Run Snakemake and wait for its end."""
        process = self.start(*options)
        output, _ = process.communicate(timeout=TIMEOUT_S)
        return subprocess.CompletedProcess(process.args, process.returncode, output)

    def jobs(self, rule: str = "") -> list[dict[str, str]]:
        """Return Slurm's records of the jobs of this run, selected by rule."""
        return [
            job
            for job in self.slurm.jobs()
            if job["WorkDir"] == str(self.folder)
            and job.get("Comment", "").startswith(f"rule_{rule}")
        ]


def wait_for(condition: Callable[[], object], seconds: float = 600) -> None:
    """Wait until a condition holds; the time-out is long enough for a busy machine."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"the condition did not hold within {seconds} s"
        time.sleep(0.2)
