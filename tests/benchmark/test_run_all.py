"""Tables are made when they are stale, replaced as a whole, and left alone otherwise."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks import run_all
from benchmarks._lib.catalog import TABLES, Entry
from benchmarks._lib.report import RESULTS_VARIABLE
from benchmarks._lib.runs import DIGEST_FILE, MODEL, PRODUCTS, SharedRun, model_digest
from benchmarks._lib.sources import SourceTree
from benchmarks._lib.status import Place, State, Status, has_arguments, status_of
from cacl.runtime.file_digest import json_with_digest

SHORT = replace(TABLES["coverage.md"], arguments="--draws 3", minutes=0.1)
FAILING = replace(SHORT, arguments="--draws none")
ONE_RUN = TABLES["spread.md"]
OLD = "# Coverage\n\n- date: 2026-11-24\n\n| image |\n| --- |\n| old |\n"
TIMEOUT_S = 60.0


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "results").mkdir()
    return Place(tmp_path / "results", tmp_path / "runs")


@pytest.fixture
def tree() -> SourceTree:
    return SourceTree()


def make(place: Place, *entries: Entry) -> int:
    return run_all.make(entries, place, remake=False, quick=False)


def status(entry: Entry, place: Place, tree: SourceTree) -> Status:
    return status_of(entry, place, tree)[0]


def write_header(entry: Entry, place: Place, tree: SourceTree, **changes: str) -> None:
    """Write a table whose header is that of the entry, but for the changes."""
    facts = {
        "date": "2026-11-30",
        "command": f"`python -m {entry.module} {entry.arguments}`",
        "sources": entry.digest(tree),
    } | changes
    lines = [f"- {key}: {value}" for key, value in facts.items() if value]
    text = "\n".join(["# Table", "", *lines, "", "| a |", "| --- |", "| 1 |", ""])
    (place.results / entry.name).write_text(text, encoding="utf-8")


def write_model(run: Path, name: str) -> str:
    """Write the description of a model; return its digest."""
    (run / MODEL).parent.mkdir(parents=True)
    (run / MODEL).write_bytes(json_with_digest({"preset": name}))
    return model_digest(run)


def test_a_table_is_made_once(
    place: Place, tree: SourceTree, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(SHORT, place, tree).state is State.MISSING
    assert make(place, SHORT) == 0
    path = place.results / SHORT.name
    text = path.read_text(encoding="utf-8")
    assert "- command: `python -m benchmarks.quality.coverage --draws 3`\n" in text
    assert f"- sources: {SHORT.digest(tree)}\n" in text
    made = status(SHORT, place, tree)
    assert (made.state, made.reason) == (State.CURRENT, "")
    assert made.made == datetime.now(UTC).date()
    before = path.stat()
    capsys.readouterr()
    assert make(place, SHORT) == 0
    assert path.stat().st_ino == before.st_ino
    assert "0 commands, 0 problems" in capsys.readouterr().out


def test_a_command_that_fails_leaves_its_table_and_the_others_are_made(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    other = replace(TABLES["codec_pipeline.md"], arguments="--rounds 1 --cores 1", needs=())
    (place.results / FAILING.name).write_text(OLD, encoding="utf-8")
    assert make(place, FAILING, other) == 1
    assert (place.results / FAILING.name).read_text(encoding="utf-8") == OLD
    assert {path.name for path in place.results.iterdir()} == {FAILING.name, *other.tables}
    out = capsys.readouterr().out
    assert "2 commands, 1 problems\n  coverage.md: exit status 2; see " in out
    assert "invalid int value: 'none'" in (place.runs / "logs/coverage.log").read_text("utf-8")


def test_a_short_command_replaces_no_table(place: Place) -> None:
    entry = replace(SHORT, quick="--draws 2")
    (place.results / entry.name).write_text(OLD, encoding="utf-8")
    assert run_all.make([entry], place, remake=False, quick=True) == 0
    assert (place.results / entry.name).read_text(encoding="utf-8") == OLD
    made = (place.runs / "quick/coverage/coverage.md").read_text(encoding="utf-8")
    assert "- 2 draws per row, seed 0" in made


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"sources": ""}, "made before digests were recorded"),
        ({"sources": "0" * 16}, "sources changed since it was made"),
        (
            {"command": "`python -m benchmarks.quality.coverage --draws 4`"},
            "made with other arguments than --draws 3",
        ),
    ],
)
def test_status_says_why_a_table_is_stale(
    place: Place, tree: SourceTree, changes: dict[str, str], reason: str
) -> None:
    write_header(SHORT, place, tree, **changes)
    found = status(SHORT, place, tree)
    assert found.reason == reason
    assert found.state is (State.STALE if reason else State.CURRENT)


def test_a_table_of_another_model_is_stale(place: Place, tree: SourceTree) -> None:
    digest = write_model(place.runs / "duodenum-a/0", "robust")
    write_header(ONE_RUN, place, tree, model=digest)
    assert status(ONE_RUN, place, tree).state is State.CURRENT
    write_header(ONE_RUN, place, tree, model="0" * 12)
    assert status(ONE_RUN, place, tree).reason == (
        "made from another model than that of the present run"
    )


def test_tables_of_different_models_are_named(
    place: Place, tree: SourceTree, capsys: pytest.CaptureFixture[str]
) -> None:
    other = TABLES["segmentation.md"]
    write_header(ONE_RUN, place, tree, model="1" * 12)
    write_header(other, place, tree, model="2" * 12)
    run_all.choose([ONE_RUN, other], place, remake=False)
    out = capsys.readouterr().out
    assert f"  {'1' * 12}: spread.md\n  {'2' * 12}: segmentation.md\n" in out


def test_a_run_of_other_sources_blocks_its_tables(place: Place, tree: SourceTree) -> None:
    run = SharedRun.of(place.runs, "duodenum-a/0")
    run.begin(tree)
    assert status(ONE_RUN, place, tree).blocked == ()
    (run.folder / DIGEST_FILE).write_text("0" * 16, encoding="ascii")
    [reason] = status(ONE_RUN, place, tree).blocked
    assert reason.startswith(f"the run {run.folder} is of other sources; remove it")
    assert status(ONE_RUN, replace(place, accept_model=True), tree).blocked == ()
    (run.folder / DIGEST_FILE).unlink()
    [reason] = status(ONE_RUN, place, tree).blocked
    assert "does not say of which sources it is" in reason


def test_a_missing_run_is_made_first_and_once(
    place: Place, tree: SourceTree, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [ONE_RUN, TABLES["segmentation.md"]]
    run_all.show_commands(entries, place, quick=False)
    first, *tables = capsys.readouterr().out.splitlines()
    folder = place.runs / "duodenum-a/0"
    assert first == (
        f"python -m snakemake --directory {folder} --config seed=0 "
        "'phantom={setting: duodenum-a}' 'train={preset: robust}' --quiet host reason -- "
        "all benchmark"
    )
    assert tables == [
        f"python -m benchmarks.quality.spread --run {folder}",
        f"python -m benchmarks.speed.segmentation --run {folder} --cores 5",
    ]
    for product in PRODUCTS:
        (folder / product).parent.mkdir(parents=True, exist_ok=True)
        (folder / product).touch()
    assert run_all.missing_runs(entries, place) == []


def test_what_cannot_be_made_here_is_not_tried(
    place: Place, tree: SourceTree, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_all.choose([TABLES["tile.md"]], place, remake=True) == []
    assert "name the Python of an environment that has it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "same"),
    [
        ("`python -m benchmarks.quality.spread --run RUN`", True),
        ("`python -m benchmarks.quality.spread --run RUN --out benchmarks/x.md`", True),
        ("`python -m benchmarks.quality.spread --run RUN --seeds 2`", False),
        ("`python -m benchmarks.quality.presets --run RUN`", False),
        ("", False),
    ],
)
def test_arguments_of_a_header_are_compared(command: str, same: bool) -> None:
    assert has_arguments(command, ONE_RUN) is same


def test_an_unknown_table_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_all.main(["qualty"]) == 2
    assert "No such table: qualty.md" in capsys.readouterr().err


def test_an_interrupted_call_leaves_no_table(place: Place, checkout: Path) -> None:
    (place.results / "coverage.md").write_text(OLD, encoding="utf-8")
    command = [sys.executable, "benchmarks/run_all.py", "coverage", "--run", str(place.runs)]
    environment = os.environ | {
        RESULTS_VARIABLE: str(place.results),
        "PYTHONPATH": os.pathsep.join([str(checkout), os.environ.get("PYTHONPATH", "")]),
    }
    process = subprocess.Popen(
        command, cwd=checkout, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    end = time.monotonic() + TIMEOUT_S
    while not (place.runs / "logs/coverage.log").exists() and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130
    assert b"the same command goes on with the tables that are left" in error
    assert [path.name for path in place.results.iterdir()] == ["coverage.md"]
    assert (place.results / "coverage.md").read_text(encoding="utf-8") == OLD
