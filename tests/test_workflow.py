from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cacl import tables
from cacl.records import MeasureRow

TINY = {
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
            timeout=280,
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


@pytest.fixture
def workflow(checkout: Path, tmp_path: Path) -> Workflow:
    return Workflow(checkout, tmp_path)


def test_plain_snakemake_is_the_demo(workflow: Workflow) -> None:
    per_shard = dict.fromkeys(("acquire", "tile", "segment", "measure"), 4)
    once = dict.fromkeys(("all", "phantom", "catalog", "select", "train", "report"), 1)
    assert workflow.jobs() == per_shard | once


def test_configurations_merge_and_the_demos_does_not_leak_in(workflow: Workflow) -> None:
    first = workflow.folder / "first.yaml"
    manifest = workflow.folder / "manifest.csv"
    manifest.touch()
    first.write_text(f"source: {{kind: manifest, manifest: {manifest}}}\ncensus: {{shards: 7}}\n")
    second = workflow.folder / "second.yaml"
    second.write_text("census: {shards: 3}\n")
    jobs = workflow.jobs("--configfile", first, second)
    assert jobs["tile"] == 3
    assert "phantom" not in jobs


def test_a_misspelt_key_is_one_sentence(workflow: Workflow) -> None:
    path = workflow.configure(tiles={"tile_pix": 64})
    result = workflow("--configfile", path, "--dry-run")
    assert result.returncode == 1
    assert "tiles: unknown key 'tile_pix'; did you mean 'tile_px'?" in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_whole_job_runs_resumes_and_reruns_only_what_changed(workflow: Workflow) -> None:
    path = workflow.configure(**TINY)
    result = workflow("--configfile", path)
    assert result.returncode == 0, result.stderr
    census = tables.read_frame(sorted(workflow.folder.glob("results/census/*.parquet")), MeasureRow)
    assert len(census) == 4
    assert (workflow.folder / "results/report/report.html").stat().st_size > 10_000

    assert workflow.jobs("--configfile", path) == {}

    wider = workflow.configure(**TINY, segment={"morphology": "dilation"})
    jobs = workflow.jobs("--configfile", wider)
    assert jobs == {"all": 1, "segment": 2, "measure": 2, "report": 1}
    assert workflow("--configfile", wider).returncode == 0

    tables_before = (workflow.folder / "results/report/images.csv").read_bytes()
    (workflow.folder / "results/census/0.parquet").unlink()
    assert workflow("--configfile", wider).returncode == 0
    assert (workflow.folder / "results/report/images.csv").read_bytes() == tables_before
