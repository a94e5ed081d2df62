"""Snakemake's events as lines: what a person sees of a run in a log."""

from __future__ import annotations

import io
import logging
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from snakemake.settings.types import OutputSettings
from snakemake_interface_logger_plugins.common import LogEvent

from cacl.launch.display import RunDisplay
from cacl.launch.log_handler import LogHandler


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def display(out: io.StringIO, clock: Clock) -> RunDisplay:
    return RunDisplay(out, clock)


def lines(out: io.StringIO) -> list[str]:
    """Return the lines without the time of day."""
    return [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in out.getvalue().splitlines()]


def test_step_has_a_line_when_it_starts_and_when_it_ends(
    display: RunDisplay, out: io.StringIO, clock: Clock
) -> None:
    display.plan({"list_tile_tables": 1, "tile": 2, "all": 1, "total": 4})
    display.start_job(1, "tile", [])
    clock.now = 1.0
    display.start_job(2, "tile", [])
    clock.now = 10.0
    display.finish_job(1)
    clock.now = 42.0
    display.finish_job(2)
    display.start_job(3, "list_tile_tables", [])
    display.finish_job(3)
    display.close()
    assert lines(out) == [
        "[0/3 jobs]  tile: 0 of 2 jobs, running",
        "[2/3 jobs]  tile: 2 of 2 jobs, done in 42 s",
        "[2/3 jobs]  list tile tables: 0 of 1 job, running",
        "[3/3 jobs]  list tile tables: 1 of 1 job, done in 0 s",
    ]


def test_progress_of_a_long_job_has_a_line_every_half_minute(
    display: RunDisplay, out: io.StringIO, clock: Clock, tmp_path: Path
) -> None:
    log = tmp_path / "train.log"
    display.plan({"train": 1, "total": 1})
    display.start_job(1, "train", [str(log)])
    for clock.now, step in ((10.0, 100), (20.0, 200), (31.0, 310), (40.0, 400), (62.0, 620)):
        log.write_text(f"x INFO train: steps: {step} of 1000, teacher\n")
        with display._lock:
            display._progress.update(clock.now)
            display._print_lines()
    display.close()
    assert lines(out)[1:] == [
        "[0/1 jobs]  train: 0 of 1 job, 310 of 1,000 steps, about 69 s left",
        "[0/1 jobs]  train: 0 of 1 job, 620 of 1,000 steps, about 38 s left",
    ]


def test_failed_job_shows_its_sentence_and_its_log(
    display: RunDisplay, out: io.StringIO, tmp_path: Path
) -> None:
    log = tmp_path / "select.log"
    log.write_text("INFO x\nError: No tile is \x1b[2J positive; label more images\n")
    display.plan({"select": 1, "total": 1})
    display.start_job(1, "select", [str(log)])
    display.fail_job(1, "select", [str(log)])
    display.close()
    assert lines(out)[1] == (
        rf"Error: select: No tile is \x1b[2J positive; label more images (log: {log})"
    )


def record(text: str | None, level: int = logging.INFO, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("snakemake.logging", level, "", 0, text, None, None)
    made.__dict__.update(fields)
    return made


def test_plugin_shows_steps_warnings_and_errors_and_no_more(
    monkeypatch: pytest.MonkeyPatch, out: io.StringIO
) -> None:
    monkeypatch.setattr(sys, "stderr", out)
    handler = LogHandler(OutputSettings(), None)
    job: dict[str, Any] = {"jobid": 1, "rule_name": "tile", "log": []}
    for each in (
        record("Building DAG of jobs..."),
        record("Job stats", event=LogEvent.RUN_INFO, stats={"tile": 1, "total": 1}),
        record("Rule: tile", event=LogEvent.JOB_INFO, **job),
        record("cacl tile ...", event=LogEvent.SHELLCMD),
        record("Error in rule tile", logging.ERROR, event=LogEvent.JOB_ERROR, **job),
        record("Exiting because a job execution failed. Look below", logging.ERROR),
        record(
            'RuleException:\nCalledProcessError in file "/a/b.smk", line 63:\n'
            "Command 'set -euo pipefail;\ncacl tile' returned non-zero exit status 1.",
            logging.ERROR,
            event=LogEvent.ERROR,
        ),
        record(
            'WorkflowError in file "/a/common.smk", line 42:\nThere is no folder x; name one\n'
            '  File "/a/common.smk", line 42, in <module>',
            logging.ERROR,
            event=LogEvent.ERROR,
        ),
        record("Complete log(s): /run/.snakemake/log/x.log"),
    ):
        handler.handle(each)
    handler.close()
    shown = lines(out)
    assert shown[0] == "[0/1 jobs]  tile: 0 of 1 job, running"
    assert shown[1].startswith("Error: tile: its command ended without a message; ")
    assert "`cacl doctor`" in shown[1]
    assert shown[2] == "There is no folder x; name one"
    assert "run the same command again: it continues" in shown[3]
    assert shown[3].endswith("Snakemake's log: /run/.snakemake/log/x.log")
    assert len(shown) == 4


@pytest.mark.parametrize(
    "text",
    [
        "Will exit after finishing currently running jobs (scheduler).",
        "Terminating processes on user request, this might take some time.",
    ],
)
def test_a_run_that_is_stopped_says_once_how_it_continues(
    monkeypatch: pytest.MonkeyPatch, out: io.StringIO, text: str
) -> None:
    monkeypatch.setattr(sys, "stderr", out)
    handler = LogHandler(OutputSettings(), None)
    for _ in range(2):
        handler.handle(record(text))
    handler.close()
    [shown] = lines(out)
    assert shown == "Stopping when the running jobs have ended; the same command continues the run"


def test_a_job_that_is_stopped_with_its_run_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, out: io.StringIO
) -> None:
    monkeypatch.setattr(sys, "stderr", out)
    handler = LogHandler(OutputSettings(), None)
    fields = {"jobid": 1, "rule_name": "train", "log": ["train.log"]}
    handler.handle(record("Terminating processes on user request"))
    handler.handle(record("", logging.ERROR, event=LogEvent.JOB_ERROR, **fields))
    handler.close()
    assert lines(out)[1:] == ["train: stopped"]


def test_rows_of_a_terminal_name_every_step_with_its_jobs(clock: Clock) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    display = RunDisplay(out, clock)
    display.plan({"tile": 2, "train": 1, "total": 3})
    display.start_job(1, "tile", [])
    clock.now = 5.0
    display.finish_job(1)
    display.close()
    rows = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", out.getvalue()).splitlines()
    assert any(re.search(r"tile +\S+ +1/2", row) for row in rows)
    assert any(re.search(r"train +\S+ +0/1", row) for row in rows)
