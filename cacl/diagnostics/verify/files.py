"""Tables, lists, files of the report and of the model."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cacl import tables
from cacl.diagnostics.verify.result import Item
from cacl.diagnostics.workflow_triggers import files_digest
from cacl.errors import TableError
from cacl.model.checkpoint import CHECKPOINT, DESCRIPTION, load_model, read_tensors
from cacl.runtime.file_digest import check_digest
from cacl.tables import dictionary
from cacl.tables.checksums import SUFFIX, SUMS, check_file, read_sums, sha256_of

STORE = "atlas.zarr"
TABLE, LIST, REPORT, MODEL = "table", "list", "report file", "model file"
STATES = "states"


def table_items(results: Path) -> Iterator[Item]:
    """Yield all Parquet tables."""
    for path in _files(results, "*.parquet"):
        yield Item(TABLE, str(path), partial(_check_table, path), path)


def list_items(results: Path) -> Iterator[Item]:
    """Yield the CSV tables and lists outside the report, each of which has a recorded digest."""
    paths = [
        *_files(results / "failures", "*.csv"),
        *_files(results / "model", "*.csv"),
        *_files(results / "controls", "*.csv"),
        *_files(results / "controls", "*.jpg"),
        *_files(results / "benchmark", "table.*"),
    ]
    for path in paths:
        if path.suffix != SUFFIX:
            yield Item(LIST, str(path), partial(_check_recorded, path), path)
    for path in (results / "stain" / "vectors.json", results / "training" / "config.txt"):
        if path.exists():
            yield Item(LIST, str(path), partial(_check_own_digest, path), path)
    listed = results / "tiles" / "tables.txt"
    if listed.exists():
        yield Item(LIST, str(listed), partial(_check_listed_tables, listed), listed.parent)


def report_items(report: Path) -> Iterator[Item]:
    """Yield the files of the report, and each CSV with its Parquet twin.

    Nothing for an empty folder, which Snakemake creates before the step runs.
    """
    if not report.exists() or not any(report.iterdir()):
        return
    sums = report / SUMS
    yield Item(REPORT, str(sums), partial(_check_names, report), report)
    try:
        digests = read_sums(sums)
    except TableError:
        return  # the item of the file itself says so
    for name, digest in digests.items():
        path = report / name
        yield Item(REPORT, str(path), partial(_check_sha256, path, digest), report)
    for table in dictionary.report_tables(""):
        path = report / f"{table.name}.csv"
        yield Item(
            REPORT,
            f"{path} and its twin",
            partial(_check_twin, path, table.record),
            report,
        )


def model_items(results: Path) -> Iterator[Item]:
    """Yield the models, the saved runs of trainings, and the classifier of the benchmark."""
    for folder in (results / "model", results / "benchmark" / "paper"):
        if (folder / DESCRIPTION).exists() or (folder / CHECKPOINT).exists():
            yield Item(MODEL, str(folder), partial(load_model, folder), folder)
        for path in _files(folder / STATES, "*.safetensors"):
            yield Item(MODEL, str(path), partial(read_tensors, path), path.parent)
    for path in _files(results / "benchmark" / "classifier", "*.safetensors"):
        yield Item(MODEL, str(path), partial(read_tensors, path), path.parent)


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob(pattern)
        if path.is_file() and not path.name.startswith(".") and STORE not in path.parts
    )


def _check_table(path: Path) -> None:
    table = tables.read_arrow(path)
    if b"cacl.record" not in (table.schema.metadata or {}):
        raise TableError(f"{path} is no table of this software; delete it and run again")
    tables.read_made_with(path)


def _check_recorded(path: Path) -> None:
    if not Path(f"{path}{SUFFIX}").exists():
        raise TableError(
            f"{path} has no recorded digest ({path.name}{SUFFIX}); delete it, and run the step "
            "that writes it again"
        )
    check_file(path)


def _check_own_digest(path: Path) -> None:
    try:
        check_digest(path.read_bytes())
    except (OSError, ValueError) as error:
        raise TableError(f"{path} is damaged ({error}); delete it and run again") from error


def _check_listed_tables(path: Path) -> None:
    """Check the list of tables that Snakemake writes: one of each shard, in order, and a digest."""
    lines = path.read_bytes().decode("utf-8", "replace").split("\n")
    names = [f"{number}.parquet" for number in range(len(lines) - 2)]
    digest = files_digest(path.parent / name for name in names)
    if lines != [*(f"results/tiles/{name}" for name in names), f"# sha256 {digest}", ""]:
        raise TableError(
            f"{path} does not list the tables of all shards as they are; delete it and run again"
        )


def _check_names(report: Path) -> None:
    """Check that the list of digests can be read; its files are items of their own."""
    if not (report / SUMS).exists():
        raise TableError(
            f"{report / SUMS} is missing; run `cacl report` again (`snakemake --forcerun report`)"
        )
    read_sums(report / SUMS)


def _check_sha256(path: Path, digest: str) -> None:
    problem = "is missing"
    if path.exists():
        actual = sha256_of(path)
        if actual == digest:
            return
        problem = f"has changed (SHA-256 {actual[:12]}..., expected {digest[:12]}...)"
    raise TableError(f"{path} {problem}; run `cacl report` again (`snakemake --forcerun report`)")


def _check_twin(path: Path, record: type) -> None:
    frame = tables.read_frame([path.with_suffix(".parquet")], record)
    try:
        actual = path.read_bytes()
    except OSError as error:
        raise TableError(f"{path} cannot be read ({error}); run `cacl report` again") from error
    if actual != tables.table_csv(frame, record).encode():
        raise TableError(
            f"{path} and its Parquet twin differ; run `cacl report` again (`snakemake --forcerun "
            "report`)"
        )
