"""Snakemake through profiles/slurm-gpu on a Slurm of the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml
from one_node import Slurm, die_with_parent

TINY = {
    "phantom": {"antibodies": 4, "patients": 1},
    "train": {"preset": "paper", "max_steps": 12, "max_tiles": 64},
    "census": {"shards": 2},
}
QUICK = ("--slurm-init-seconds-before-status-checks", "5", "--max-status-checks-per-second", "2")


@dataclass(frozen=True)
class Run:
    """The workflow in a folder of its own, on a Slurm, through the profile that users get."""

    checkout: Path
    folder: Path
    slurm: Slurm

    def configure(self, **sections: object) -> None:
        (self.folder / "config.yaml").write_text(yaml.safe_dump(TINY | sections))

    def start(self, *options: object) -> subprocess.Popen[str]:
        """Start Snakemake; its messages come on its standard output."""
        bin_folder = Path(sys.executable).parent
        place = ("--snakefile", self.checkout / "workflow/Snakefile", "--directory", self.folder)
        profile = ("--profile", self.checkout / "profiles/slurm-gpu", *QUICK)
        configured = ("--configfile", self.folder / "config.yaml")
        environment = self.slurm.environment
        path = f"{bin_folder}{os.pathsep}{environment['PATH']}"
        return subprocess.Popen(
            [*map(str, (bin_folder / "snakemake", *place, *profile, *configured, *options))],
            env=os.environ | environment | {"PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            preexec_fn=die_with_parent,
        )

    def __call__(self, *options: object) -> subprocess.CompletedProcess[str]:
        """Run Snakemake to its end."""
        process = self.start(*options)
        said, _ = process.communicate(timeout=1500)
        return subprocess.CompletedProcess(process.args, process.returncode, said)

    def jobs(self, rule: str = "") -> list[dict[str, str]]:
        """Return what Slurm knows of this run's jobs, by the comment that names their rule."""
        return [
            job
            for job in self.slurm.jobs()
            if job["WorkDir"] == str(self.folder)
            and job.get("Comment", "").startswith(f"rule_{rule}")
        ]
