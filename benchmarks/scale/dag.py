"""Time and memory of Snakemake for planning the whole atlas: 25,000 antibodies in 256 shards.

Usage: python -m benchmarks.scale.dag [--antibodies 25000] [--shards 256] [--out FILE]

Plans a new run, marks all its products as made (`--touch`), plans again, adds one antibody to the
table of its shard, and plans once more. Then it plans finished runs of each source with a real
small file per image (for a mirror two: original and copy) that `acquire` has recorded: unchanged,
with one image replaced, and with newer times of all files.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from benchmarks._lib.process import environment
from benchmarks._lib.report import CHECKOUT, RESULTS, write_table
from cacl import tables
from cacl.config import load
from cacl.diagnostics.workflow_triggers import training_settings
from cacl.hpa.attempts import AttemptRecord, attempt_path, write_attempt
from cacl.hpa.catalog import shard_of
from cacl.hpa.image_state import FileState, ImageState
from cacl.tables.schemas import AnnotationRow, ImageRow

CORES = 3
TARGET_S, TARGET_MB = 30, 1074


@dataclass(frozen=True)
class Plan:
    """Cost of one call of Snakemake, and the numbers of jobs it plans."""

    seconds: float
    cpu_s: float
    memory_mb: float
    jobs: int
    acquire_jobs: int


def snakemake(folder: Path, *options: str) -> tuple[str, float, float, float]:
    """Run Snakemake in `folder`; return its output, seconds, CPU seconds and peak MB."""
    paths = ("--snakefile", CHECKOUT / "workflow" / "Snakefile", "--directory", folder)
    programs = Path(sys.executable).parent
    command = [programs / "snakemake", *paths, "--configfile", folder / "config.yaml", *options]
    search_path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    start = time.perf_counter()
    with (folder / "output.txt").open("w+") as output:
        process = subprocess.Popen(  # nosec B603  # a list, no shell
            [*map(str, command)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment() | {"PATH": search_path},
            cwd=folder,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise SystemExit(text[-3000:])
    return text, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6


def plan(folder: Path) -> Plan:
    """Return the cost and the jobs of a dry run."""
    text, seconds, cpu_s, memory_mb = snakemake(folder, "--dry-run")
    jobs, acquire_jobs = (
        int(match[1]) if (match := re.search(rf"^{row} +(\d+)$", text, re.MULTILINE)) else 0
        for row in ("total", "acquire")
    )
    return Plan(seconds, cpu_s, memory_mb, jobs, acquire_jobs)


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


def write_tables(folder: Path, antibodies: int, shards: int) -> None:
    """Write the tables of the catalog, one per shard."""
    rows_of: list[list[ImageRow]] = [[] for _ in range(shards)]
    for antibody in range(1, antibodies + 1):
        rows = images_of(antibody)
        rows_of[shard_of(rows[0].antibody_id, shards)] += rows
    catalog = folder / "results" / "catalog"
    for number, rows in enumerate(rows_of):
        annotations = [annotation_of(row) for row in rows[::CORES]]
        tables.write_parquet(catalog / f"shards/{number}.parquet", rows, ImageRow)
        tables.write_parquet(catalog / f"annotations/{number}.parquet", annotations, AnnotationRow)


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
    """Create the products of all steps as empty files, and let Snakemake record them as made."""
    text, *_ = snakemake(folder, "--summary")
    for line in text.splitlines():
        name = line.split("\t")[0]
        if name.startswith("results/"):
            product = folder / name
            is_file = product.suffix or product.name == "SHA256SUMS"
            (product.parent if is_file else product).mkdir(parents=True, exist_ok=True)
            if is_file:
                product.touch()
    write_tables(folder, antibodies, shards)
    settings = load([folder / "config.yaml"])
    (folder / "results/training/config.txt").write_text(training_settings(settings))
    snakemake(folder, "--touch", "--forceall", "--cores", "1", "--quiet", "all")


def add_antibody(folder: Path, antibody: int, shards: int) -> None:
    """Add the cores of an antibody to the table of its shard."""
    rows = images_of(antibody)
    shard = shard_of(rows[0].antibody_id, shards)
    path = folder / f"results/catalog/shards/{shard}.parquet"
    tables.write_parquet(path, [*tables.read_parquet(path, ImageRow), *rows], ImageRow)


def write_images(folder: Path, kind: str, antibodies: int, shards: int) -> list[Path]:
    """Write a small file for each place of each image, and the records of `acquire`."""
    places = {
        "hpa": ("resources/images",),
        "mirror": ("mirror/images", "resources/images"),
        "manifest": ("own",),
    }[kind]
    states: list[list[ImageState]] = [[] for _ in range(shards)]
    files: list[Path] = []
    for antibody in range(1, antibodies + 1):
        for image in images_of(antibody):
            names = [f"{place}/{antibody}/{Path(image.url).name}" for place in places]
            for name in names:
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(image.image_id)
                files.append(path)
            digest = hashlib.sha256(image.image_id.encode()).hexdigest()
            copies = tuple(
                (replace(FileState.of(str(folder / name)), path=name),) for name in names
            )
            shard = shard_of(image.antibody_id, shards)
            states[shard].append(ImageState(image.image_id, digest, copies))
    for shard, images in enumerate(states):
        path = attempt_path(folder / "results" / "attempts", "acquire", str(shard))
        write_attempt(path, AttemptRecord(0, images=tuple(images)))
    return files


def plan_source(kind: str, antibodies: int, shards: int) -> list[list[str]]:
    """Return rows on finished runs of a source whose images are on this machine."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = {"kind": kind, "genes": "all"}
        if kind == "mirror":
            (folder / "mirror").mkdir()
            source["mirror"] = "mirror"
        if kind == "manifest":
            (folder / "manifest.csv").touch()
            source["manifest"] = "manifest.csv"
        config = {"source": source, "census": {"shards": shards}}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        mark_made(folder, antibodies, shards)
        files = write_images(folder, kind, antibodies, shards)
        title = f"{kind}, {len(files):,} files"
        unchanged = plan(folder)
        files[0].write_text("another image")
        replaced = plan(folder)
        for path in files:
            path.touch()
        newer = plan(folder)
    return [
        row(f"finished run, {title}", unchanged),
        row(f"finished run, {title}, one replaced", replaced),
        row(f"finished run, {title}, one replaced, all with newer times", newer),
    ]


def row(name: str, planned: Plan) -> list[str]:
    """Return a row of the table."""
    return [
        name,
        f"{planned.jobs:,}",
        f"{planned.acquire_jobs}",
        f"{planned.seconds:.1f}",
        f"{planned.cpu_s:.1f}",
        f"{planned.memory_mb:.0f}",
    ]


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--antibodies", type=int, default=25_000)
    parser.add_argument("--shards", type=int, default=256)
    parser.add_argument("--out", type=Path, default=RESULTS / "dag.md")
    options = parser.parse_args()
    antibodies, shards = options.antibodies, options.shards
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = {"source": {"kind": "hpa", "genes": "all"}, "census": {"shards": shards}}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        new_run = plan(folder)
        mark_made(folder, antibodies, shards)
        finished_run = plan(folder)
        add_antibody(folder, antibodies + 1, shards)
        one_more = plan(folder)
    header = ["plan", "jobs", "acquire jobs", "s", "CPU s", "peak MB"]
    rows = [
        row("new run", new_run),
        row("finished run", finished_run),
        row("finished run, one antibody added", one_more),
    ]
    for kind in ("hpa", "mirror", "manifest"):
        rows += plan_source(kind, antibodies, shards)
    notes = [
        f"load average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; if it "
        "exceeds the cores, compare CPU s",
        f"{antibodies:,} antibodies, {CORES * antibodies:,} images, {shards} shards; "
        f"`snakemake --dry-run`; targets: {TARGET_S} s, 1 GiB ({TARGET_MB} MB)",
        "empty products recorded by `--touch`; tables of images and annotation are real tables",
    ]
    write_table(options.out, "Planning the whole atlas", notes, header, rows)


if __name__ == "__main__":
    main()
