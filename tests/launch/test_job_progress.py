"""Progress of a run from Snakemake's events and the logs of its jobs."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from cacl.launch.job_errors import NO_MESSAGE, failure_sentence
from cacl.launch.job_progress import LOG_TAIL_BYTES, RunProgress, StepProgress, duration, read_tail
from cacl.runtime import progress
from cacl.runtime.printable import LogFormatter
from cacl.runtime.progress import LoggedProgress

STAMP = "2026-11-29 17:40:01,123 INFO "


def log_of(path: Path, *lines: str) -> str:
    path.write_text("".join(f"{STAMP}{line}\n" for line in lines))
    return str(path)


def test_progress_that_a_loop_logs_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LOG_INTERVAL_S", -1.0)
    handler = logging.FileHandler(tmp_path / "log")
    handler.setFormatter(LogFormatter("%(asctime)s %(levelname)s %(message)s"))
    progress.log.addHandler(handler)
    progress.log.setLevel(logging.INFO)
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    try:
        for number, _ in enumerate(progress.track("abcd", "tile: images", 4)):
            stated = LoggedProgress.last_of((tmp_path / "log").read_text())
            assert stated == (LoggedProgress("tile: images", number, 4) if number else None)
    finally:
        progress.log.removeHandler(handler)
        handler.close()
    assert LoggedProgress.last_of((tmp_path / "log").read_text()) == LoggedProgress(
        "tile: images", 4, 4
    )


@pytest.mark.parametrize(
    "line",
    [
        "train: selected 4 of 8 teachers, of separation 0.3; of all: 0.1",
        "train: border: 12 of 30 tiles of positive images have logits above 0.5",
        "train: teacher: step 32 of 32, 90.1 tiles/s",
        "3 of 4 images are missing because the time limit was reached",
    ],
)
def test_other_counts_of_a_log_are_no_progress(line: str) -> None:
    assert LoggedProgress.last_of(f"{STAMP}{line}\n") is None


def test_jobs_of_each_step_are_counted() -> None:
    run = RunProgress()
    run.plan({"tile": 2, "train": 1, "all": 1, "total": 4})
    assert (run.done, run.jobs) == (0, 3)
    run.start(7, "tile", ["logs/tile/0.log"], 10.0)
    run.start(8, "tile", ["logs/tile/1.log"], 11.0)
    run.end(7, 15.0)
    assert [(step.name, step.is_done) for step in run.running()] == [("tile", False)]
    run.end(8, 16.0, failed=True)
    tile = run.steps["tile"]
    assert (tile.finished, tile.failed, tile.jobs, run.done) == ({7}, {8}, 2, 1)
    run.start(8, "tile", [], 20.0)
    assert not tile.failed
    run.end(8, 30.0)
    assert tile.is_done
    assert tile.ended_at - tile.started_at == 20.0  # type: ignore[operator]
    assert run.end(99, 31.0) is None


def test_jobs_that_a_checkpoint_adds_are_counted() -> None:
    run = RunProgress()
    run.plan({"catalog": 1})
    run.start(1, "tile", [], 0.0)
    run.start(2, "tile", [], 0.0)
    assert (run.steps["tile"].jobs, run.jobs) == (2, 3)


def test_time_left_follows_what_the_logs_state(tmp_path: Path) -> None:
    step = StepProgress("train", planned=1)
    step.start(1, tmp_path / "log", 0.0)
    step.update(1.0, read_tail)
    assert step.time_left(1.0) is None
    log_of(tmp_path / "log", "train: steps: 100 of 1000, teacher")
    step.update(20.0, read_tail)
    assert step.describe_logged() == "100 of 1,000 steps"
    assert step.time_left(20.0) is None
    log_of(tmp_path / "log", "train: steps: 100 of 1000, teacher", "train: steps: 300 of 1000, x")
    step.update(60.0, read_tail)
    assert step.fraction == pytest.approx(0.3)
    assert step.time_left(60.0) == pytest.approx(700 / (200 / 40))


def test_time_left_of_resumed_training_counts_only_its_own_steps(tmp_path: Path) -> None:
    step = StepProgress("train", planned=1)
    step.start(1, tmp_path / "log", 0.0)
    for now, done in ((10.0, 900), (20.0, 910)):
        log_of(tmp_path / "log", f"train: steps: {done} of 1000, student")
        step.update(now, read_tail)
    assert step.time_left(20.0) == pytest.approx(90.0)


def test_time_left_of_jobs_without_logged_progress_follows_the_finished_jobs() -> None:
    step = StepProgress("measure", planned=4)
    step.start(1, None, 0.0)
    step.end(1, 10.0, failed=False)
    step.start(2, None, 10.0)
    step.update(10.0, read_tail)
    assert step.time_left(10.0) == pytest.approx(30.0)


def test_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("first\n" + "x" * LOG_TAIL_BYTES + "\nlast\n")
    assert read_tail(path).endswith("\nlast\n")
    assert "first" not in read_tail(path)
    assert read_tail(tmp_path / "none") == ""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("INFO a\nError: The table x is missing; run y\n", "The table x is missing; run y"),
        ("Error: first\nINFO again\nError: a: 1\nb: 2\n", "a: 1\nb: 2"),
        ("Traceback (most recent call last):\n  x\nValueError: no\n", "ValueError: no"),
        ("", NO_MESSAGE),
    ],
)
def test_sentence_of_a_failed_job(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "log").write_text(text)
    assert failure_sentence([tmp_path / "none", tmp_path / "log"]) == sentence


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.2, "4 s"), (89.0, "89 s"), (400.0, "7 min"), (12_600.0, "3.5 h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
