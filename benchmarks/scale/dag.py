"""Time and memory that Snakemake takes to plan the whole atlas: 25,000 antibodies in 256 shards.

Usage: python benchmarks/dag.py [--antibodies 25000] [--shards 256] [--out FILE]

Plans a run that has not begun, marks all its products as made (`--touch`), plans again, adds one
antibody to its shard's list, and plans once more.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks._lib.report import write_up
from cacl import tables
from cacl.config import load
from cacl.diagnostics.workflow_triggers import training_settings
from cacl.hpa.catalog import shard_of
from cacl.tables.schemas import AnnotationRow, ImageRow

CHECKOUT = Path(__file__).parents[2]
CORES = 3
TARGET_S, TARGET_MB = 30, 1074


@dataclass(frozen=True)
class Planned:
    """What one call of Snakemake took, and the jobs it named."""

    seconds: float
    cpu_s: float
    memory_mb: float
    jobs: int
    shards: int


def snakemake(folder: Path, *options: str) -> tuple[str, float, float, float]:
    """Run Snakemake in `folder`; return its words, seconds, CPU seconds and peak MB."""
    place = ("--snakefile", CHECKOUT / "workflow" / "Snakefile", "--directory", folder)
    programs = Path(sys.executable).parent
    command = [programs / "snakemake", *place, "--configfile", folder / "config.yaml", *options]
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    begun = time.perf_counter()
    with (folder / "said.txt").open("w+") as said:
        process = subprocess.Popen(
            [*map(str, command)],
            stdout=said,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PATH": path},
            cwd=folder,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read()
    if process.returncode:
        raise SystemExit(text[-3000:])
    return text, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6


def plan(folder: Path) -> Planned:
    """Return what a dry run takes and names."""
    text, seconds, cpu_s, memory_mb = snakemake(folder, "--dry-run")
    total = re.search(r"^total +(\d+)$", text, re.MULTILINE)
    acquiring = re.search(r"^acquire +(\d+)$", text, re.MULTILINE)
    return Planned(
        seconds,
        cpu_s,
        memory_mb,
        int(total[1]) if total else 0,
        int(acquiring[1]) if acquiring else 0,
    )


def images_of(antibody: int) -> list[ImageRow]:
    """Return the cores of one antibody."""
    name = f"HPA{antibody:06d}"
    return [
        ImageRow(
            image_id=f"{name}/{antibody}_A_{7 + core}_2",
            antibody_id=name,
            ensembl_id=f"ENSG{antibody:011d}",
            gene=f"GENE{antibody}",
            tissue="duodenum",
            patient_id=str(core),
            sex="female",
            age=50,
            url=f"https://images.proteinatlas.org/{antibody}/{antibody}_A_{7 + core}_2.jpg",
            path="",
            hpa_version="23",
            licence="CC BY-SA 4.0",
            mpp=None,
            label="",
            label_source="",
        )
        for core in range(CORES)
    ]


def write_lists(folder: Path, antibodies: int, shards: int) -> None:
    """Write the catalog's lists, one a shard."""
    parts: list[list[ImageRow]] = [[] for _ in range(shards)]
    for antibody in range(1, antibodies + 1):
        rows = images_of(antibody)
        parts[shard_of(rows[0].antibody_id, shards)] += rows
    catalog = folder / "results" / "catalog"
    for number, rows in enumerate(parts):
        words = [annotation_of(row) for row in rows[::CORES]]
        tables.write_parquet(catalog / f"shards/{number}.parquet", rows, ImageRow)
        tables.write_parquet(catalog / f"annotations/{number}.parquet", words, AnnotationRow)


def annotation_of(row: ImageRow) -> AnnotationRow:
    """Return the annotation of an antibody."""
    return AnnotationRow(
        antibody_id=row.antibody_id,
        ensembl_id=row.ensembl_id,
        gene=row.gene,
        tissue=row.tissue,
        cell_type="enterocytes - microvilli",
        staining="high",
        intensity="strong",
        quantity=">75%",
        location="cytoplasmic/membranous",
        reliability="enhanced",
    )


def mark_made(folder: Path, antibodies: int, shards: int) -> None:
    """Make the products of all steps as empty files, and let Snakemake record them as made."""
    text, *_ = snakemake(folder, "--summary")
    for line in text.splitlines():
        name = line.split("\t")[0]
        if name.startswith("results/"):
            product = folder / name
            (product.parent if product.suffix else product).mkdir(parents=True, exist_ok=True)
            if product.suffix:
                product.touch()
    write_lists(folder, antibodies, shards)
    settings = load([folder / "config.yaml"])
    (folder / "results/training/config.txt").write_text(training_settings(settings))
    snakemake(folder, "--touch", "--forceall", "--cores", "1", "--quiet", "all")


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--antibodies", type=int, default=25_000)
    parser.add_argument("--shards", type=int, default=256)
    parser.add_argument("--out", type=Path, default=CHECKOUT / "benchmarks/results/dag.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = {"source": {"kind": "hpa", "genes": "all"}, "census": {"shards": given.shards}}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        fresh = plan(folder)
        mark_made(folder, given.antibodies, given.shards)
        finished = plan(folder)
        rows = images_of(given.antibodies + 1)
        path = (
            folder / f"results/catalog/shards/{shard_of(rows[0].antibody_id, given.shards)}.parquet"
        )
        listed = tables.read_parquet(path, ImageRow)
        tables.write_parquet(path, [*listed, *rows], ImageRow)
        longer = plan(folder)
        table = [
            ["nothing is made yet", fresh],
            ["all is made", finished],
            ["one antibody more in a list", longer],
        ]
    write_up(
        given.out,
        "Planning the whole atlas",
        [
            f"load average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; where "
            "it is above the cores, other work took their time, and CPU s is what planning needs",
            f"{given.antibodies:,} antibodies, {CORES * given.antibodies:,} images, {given.shards} "
            f"shards; `snakemake --dry-run`; targets: {TARGET_S} s, 1 GiB ({TARGET_MB} MB)",
            "empty products recorded by `--touch`; lists of images and annotation are real tables",
        ],
        ["plan", "jobs", "of them acquire", "s", "CPU s", "peak MB"],
        [
            [
                str(what),
                f"{one.jobs:,}",
                f"{one.shards}",
                f"{one.seconds:.1f}",
                f"{one.cpu_s:.1f}",
                f"{one.memory_mb:.0f}",
            ]
            for what, one in table
            if isinstance(one, Planned)
        ],
    )


if __name__ == "__main__":
    main()
