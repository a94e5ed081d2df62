"""A small census in a folder of its own: run it, and tell what it wrote and what it left over."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from benchmarks._lib.process import environment
from benchmarks._lib.report import CHECKOUT
from benchmarks.reliability.processes import peak_kb, running_jobs

TIMEOUT_S = 1200
STEPS = {
    "phantom": "resources/phantom/done",
    "catalog": "results/catalog/images.parquet",
    "acquire": "results/acquired/{shard}.parquet",
    "tile": "results/tiles/{shard}.parquet",
    "select": "results/training/config.txt",
    "train": "results/model/model.json",
    "controls": "results/controls/controls.csv",
    "segment": "results/segmented/{shard}.parquet",
    "measure": "results/census/{shard}.parquet",
    "report": "results/report/report.html",
}
"""The steps in the order in which they first run, with a product of each."""

SMALL: dict[str, dict[str, Any]] = {
    "phantom": {"antibodies": 4, "patients": 1},
    "tiles": {"source_px": 375, "tile_px": 64},
    "census": {"shards": 2},
}
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "paper": SMALL | {"train": {"preset": "paper", "max_steps": 12, "max_tiles": 32}},
    "robust": SMALL | {"train": {"preset": "robust", "max_steps": 108, "max_tiles": 32}},
}

NOT_COMPARED = {
    "results/model/speed.csv": "tiles per second of the training",
    "results/model/speed.csv.sha256": "its digest",
    "results/attempts/acquire/0.json": "times of the images' files",
    "results/attempts/acquire/1.json": "times of the images' files",
}
"""Products that may differ between equal runs, with the reason. Logs are not products."""

PRODUCTS = ("results", "resources")
LEFTOVERS = (
    "results/**/.*",
    "resources/**/.*",
    "results/**/*.part",
    "results/model/states",
    ".snakemake/locks/*",
    ".snakemake/incomplete/*",
    ".snakemake/cacl-run.json",
)
SNAKEMAKE_TIMESTAMP = ".snakemake_timestamp"
"""Snakemake keeps this empty file in every folder that is the product of a rule."""


@dataclass(frozen=True)
class Census:
    """A census in `folder`.

    Parameters
    ----------
    folder
        Working directory of the run.
    config
        Sections of its configuration.
    variables
        Environment variables of its processes.
    """

    folder: Path
    config: Mapping[str, Mapping[str, Any]]
    variables: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Write the configuration."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "config.yaml").write_text(yaml.safe_dump(dict(self.config)))

    def start(self, *options: str) -> subprocess.Popen[str]:
        """Start Snakemake as the leader of a process group; its output goes to `output.txt`."""
        programs = Path(sys.executable).parent
        command = [
            *(str(programs / "snakemake"), "--cores", "2", "--nocolor"),
            *("--snakefile", str(CHECKOUT / "workflow" / "Snakefile")),
            *("--workflow-profile", str(CHECKOUT / "profiles" / "default")),
            *("--directory", str(self.folder)),
            *("--configfile", str(self.folder / "config.yaml")),
        ]
        path = os.pathsep.join(
            [*filter(None, [self.variables.get("PATH")]), str(programs), os.environ["PATH"]]
        )
        with self.output.open("w", encoding="utf-8") as output:
            return subprocess.Popen(  # nosec B603  # a list, no shell
                [*command, *options],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment() | dict(self.variables) | {"PATH": path},
                cwd=self.folder,
                start_new_session=True,
                text=True,
            )

    @property
    def output(self) -> Path:
        """What the last run printed."""
        return self.folder / "output.txt"

    def run(self, *options: str) -> tuple[int, str]:
        """Run Snakemake to its end; return its exit status and output."""
        with self.start(*options) as process:
            try:
                process.wait(TIMEOUT_S)
            finally:
                if process.poll() is None:
                    kill_group(process)
        return process.returncode, self.output.read_text(encoding="utf-8")

    def unlock(self) -> str:
        """Run `cacl unlock`; return its output.

        Raises
        ------
        RuntimeError
            The lock was not removed.
        """
        command = [sys.executable, "-m", "cacl", "unlock", "--directory", str(self.folder)]
        result = subprocess.run(  # nosec B603  # a list, no shell
            command, capture_output=True, text=True, check=False, env=environment()
        )
        if result.returncode:
            raise RuntimeError(result.stdout + result.stderr)
        return result.stdout

    def planned_jobs(self) -> list[str]:
        """Return the rules that a dry run would run."""
        status, text = self.run("--dry-run")
        if status:
            raise RuntimeError(text)
        match = re.search(r"^job +count\n[- ]+\n(.*?)^total", text, re.DOTALL | re.MULTILINE)
        return [line.split()[0] for line in match[1].splitlines() if line.strip()] if match else []

    def products(self) -> dict[str, str]:
        """Return the SHA-256 of every product, by path; images are compared by content."""
        return {
            name: hashlib.sha256(path.read_bytes()).hexdigest()
            for top in PRODUCTS
            for path in sorted((self.folder / top).rglob("*"))
            if path.is_file()
            and (name := path.relative_to(self.folder).as_posix()) not in NOT_COMPARED
        }

    def leftovers(self) -> list[str]:
        """Return the temporary files, locks and saved states that are left."""
        found = {path for pattern in LEFTOVERS for path in self.folder.glob(pattern)}
        return sorted(
            path.relative_to(self.folder).as_posix()
            for path in found
            if path.name != SNAKEMAKE_TIMESTAMP
        )

    def is_done(self, step: str) -> bool:
        """Return whether a step has written its product for every shard."""
        return all((self.folder / path).exists() for path in self.targets(step))

    def targets(self, step: str) -> list[str]:
        """Return a product of a step for every shard, as targets of Snakemake."""
        shards = range(self.config["census"]["shards"])
        return sorted({STEPS[step].format(shard=shard) for shard in shards})

    def seconds(self, step: str) -> float:
        """Return the longest time that a job of a step took in the last run, as Snakemake noted."""
        logs = self.folder / "logs" / "benchmarks"
        files = [*(logs / step).glob("*.tsv"), *logs.glob(f"{step}.tsv")]
        return max(float(file.read_text().splitlines()[1].split()[0]) for file in files)

    def run_measured(self) -> tuple[int, str, dict[str, int]]:
        """Run Snakemake to its end; return also the peak address space of each step, in KiB."""
        peaks: dict[str, int] = {}
        with self.start() as process:
            for job in running_jobs(self.folder, process):
                peaks[job.step] = max(peaks.get(job.step, 0), peak_kb(job.pid))
        return process.returncode, self.output.read_text(encoding="utf-8"), peaks

    def image_ids(self, table: str) -> list[str]:
        """Return the images of a table or of a folder of tables below `results`, with repeats."""
        path = self.folder / "results" / table
        files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
        return sorted(
            image for file in files for image in pq.read_table(file)["image_id"].to_pylist()
        )


def differences(census: Census, reference: Mapping[str, str]) -> list[str]:
    """Return the products that a census lacks, has besides, or has with other bytes."""
    products = census.products()
    missing = [f"{name}: missing" for name in reference.keys() - products.keys()]
    additional = [f"{name}: additional" for name in products.keys() - reference.keys()]
    changed = [
        f"{name}: other bytes"
        for name in products.keys() & reference.keys()
        if products[name] != reference[name]
    ]
    return sorted([*missing, *additional, *changed])


def problems(census: Census, reference: Mapping[str, str]) -> list[str]:
    """Return all that distinguishes a census from one that nothing disturbed; empty if equal."""
    found = differences(census, reference)
    found += [f"{name}: left over" for name in census.leftovers()]
    catalog, measured = census.image_ids("catalog/images.parquet"), census.image_ids("census")
    if catalog != measured:
        found.append(f"images: {len(catalog)} in the catalog, {len(measured)} measured")
    planned = census.planned_jobs()
    if planned:
        found.append(f"a further run would run {', '.join(planned)}")
    return found


def kill_group(process: subprocess.Popen[str]) -> None:
    """Send SIGKILL to Snakemake and all of its jobs, and wait until none is left."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
