"""Snakemake in a working directory of its own, for tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

TINY: dict[str, dict[str, Any]] = {
    "phantom": {"antibodies": 4, "patients": 1},
    "train": {"preset": "paper", "max_steps": 12, "max_tiles": 64},
    "census": {"shards": 2},
}


class Workflow:
    """Snakemake in a working directory of its own."""

    def __init__(self, checkout: Path, folder: Path) -> None:
        self.snakefile = checkout / "workflow" / "Snakefile"
        self.folder = folder

    def configure(self, **sections: object) -> Path:
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(sections))
        return path

    def __call__(self, *options: object) -> subprocess.CompletedProcess[str]:
        place = ["--snakefile", str(self.snakefile), "--directory", str(self.folder)]
        command = [sys.executable, "-m", "snakemake", *place, "--cores", "2"]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            [*command, *map(str, options)],
            capture_output=True,
            text=True,
            check=False,
            timeout=580,
            env=os.environ | {"PATH": path},
            cwd=self.folder,
        )

    def jobs(self, *options: object) -> dict[str, int]:
        """Return how many jobs of each rule a dry run names."""
        result = self(*options, "--dry-run")
        assert result.returncode == 0, result.stderr + result.stdout
        text = result.stdout + result.stderr
        found = re.search(r"^job +count\n[- ]+\n(.*?)^total", text, re.DOTALL | re.MULTILINE)
        lines = found[1].split("\n") if found else []
        return {line.split()[0]: int(line.split()[1]) for line in lines if line.strip()}
