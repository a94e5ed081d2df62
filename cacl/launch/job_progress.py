"""Progress of a run: jobs of each step, what their logs state, and the time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cacl.runtime.progress import LoggedProgress

HIDDEN = frozenset({"all", "total"})
"""Entries of Snakemake's counts that are no step."""

LOG_TAIL_BYTES = 20_000


@dataclass(eq=False)
class StepProgress:
    """Progress of one step, that is of the jobs of one rule.

    Parameters
    ----------
    name
        Name of the rule.
    planned
        Number of jobs that Snakemake planned.
    running
        Logs of the running jobs, by number of the job.
    finished, failed
        Numbers of the jobs.
    started_at, ended_at
        Times in seconds of the start of the first job and the end of the last one.
    logged
        What the logs of the running jobs stated last.
    fraction
        Part of the step that is done, 0-1.
    """

    name: str
    planned: int = 0
    running: dict[int, Path | None] = field(default_factory=dict)
    finished: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)
    started_at: float | None = None
    ended_at: float = 0.0
    logged: list[LoggedProgress] = field(default_factory=list)
    fraction: float = 0.0
    _baseline: tuple[float, float] = (0.0, 0.0)
    _is_timed: bool = False

    @property
    def jobs(self) -> int:
        """Number of jobs; Snakemake may add some to its plan after a checkpoint."""
        return max(self.planned, len(self.finished | self.failed | self.running.keys()))

    @property
    def is_done(self) -> bool:
        """Whether every job has finished."""
        return 0 < self.jobs == len(self.finished)

    def start(self, job: int, log: Path | None, now: float) -> None:
        """Count a job that starts, or starts again."""
        if self.started_at is None:
            self.started_at, self._baseline = now, (now, 0.0)
        self.failed.discard(job)
        self.running[job] = log

    def end(self, job: int, now: float, *, failed: bool) -> None:
        """Count a job that has ended."""
        self.running.pop(job, None)
        (self.failed if failed else self.finished).add(job)
        self.ended_at = now

    def update(self, now: float, read_tail: Callable[[Path], str]) -> None:
        """Read what the logs of the running jobs state."""
        stated = [LoggedProgress.last_of(read_tail(log)) for log in self.running.values() if log]
        self.logged = [progress for progress in stated if progress is not None]
        within = sum(progress.done / max(progress.total, 1) for progress in self.logged)
        self.fraction = (len(self.finished) + within) / max(self.jobs, 1)
        if self.logged and not self._is_timed:
            # A job that resumes starts with a part that this run did not do.
            self._is_timed = True
            self._baseline = (now, self.fraction)

    def time_left(self, now: float) -> float | None:
        """Return the time left in seconds; None if it is not known yet."""
        start, fraction = self._baseline
        gained = self.fraction - fraction
        if self.is_done or not self.running or gained <= 0:
            return None
        return (1.0 - self.fraction) * (now - start) / gained

    def describe_logged(self) -> str:
        """Return what the logs of the running jobs state, summed: `120 of 400 steps`."""
        if not self.logged:
            return ""
        done = sum(progress.done for progress in self.logged)
        total = sum(progress.total for progress in self.logged)
        return f"{done:,} of {total:,} {self.logged[-1].items}"


class RunProgress:
    """Progress of all steps of a run, from the events that Snakemake logs."""

    def __init__(self) -> None:
        self.steps: dict[str, StepProgress] = {}
        self._step_of_job: dict[int, StepProgress] = {}

    def plan(self, counts: Mapping[str, int]) -> None:
        """Take over the number of jobs of each rule."""
        for name, count in counts.items():
            if name not in HIDDEN:
                self._step(name).planned = count

    def start(self, job: int, rule: str, logs: Sequence[str], now: float) -> None:
        """Count a job that starts."""
        if rule not in HIDDEN:
            step = self._step_of_job[job] = self._step(rule)
            step.start(job, Path(logs[0]) if logs else None, now)

    def end(self, job: int, now: float, *, failed: bool = False) -> StepProgress | None:
        """Count a job that has ended and return its step; None for a job that is not shown."""
        step = self._step_of_job.get(job)
        if step is not None:
            step.end(job, now, failed=failed)
        return step

    def update(self, now: float) -> None:
        """Read the logs of the running jobs."""
        for step in self.running():
            step.update(now, read_tail)

    def running(self) -> Iterator[StepProgress]:
        """Yield the steps of which a job is running."""
        return (step for step in self.steps.values() if step.running)

    @property
    def done(self) -> int:
        """Number of finished jobs."""
        return sum(len(step.finished) for step in self.steps.values())

    @property
    def jobs(self) -> int:
        """Number of all jobs."""
        return sum(step.jobs for step in self.steps.values())

    def _step(self, name: str) -> StepProgress:
        return self.steps.setdefault(name, StepProgress(name))


def read_tail(path: Path) -> str:
    """Return the end of a log; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - LOG_TAIL_BYTES, 0))
            return file.read().decode("utf-8", "replace")
    except OSError:  # the job has not written it yet, or the file system is slow
        return ""


def duration(seconds: float) -> str:
    """Return a duration for people: `42 s`, `7 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
