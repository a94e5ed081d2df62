"""The display of a run: live rows in a terminal, plain lines in a log."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cacl.launch.job_errors import failure_sentence
from cacl.launch.job_progress import RunProgress, StepProgress, duration
from cacl.runtime.printable import printable

SECONDS_BETWEEN_LINES = 30.0
SECONDS_BETWEEN_READS = 1.0
BAR_WIDTH = 24


class RunDisplay:
    """Shows the steps of a run with progress and time left.

    In a terminal each step has a row that changes; in a log it has a line when it starts, when it
    ends, and every half minute.

    Parameters
    ----------
    stream
        Where it writes.
    clock
        Returns the time in seconds.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._console = Console(file=stream, soft_wrap=True, highlight=False)
        self._progress = RunProgress()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._live: Live | None = None
        self._ticker: threading.Thread | None = None
        self._last_line: dict[str, tuple[float, str]] = {}

    def plan(self, counts: dict[str, int]) -> None:
        """Take over the number of jobs of each rule, and start to show them."""
        with self._lock:
            self._progress.plan(counts)
        if self._ticker is None and self._progress.jobs:
            if self._console.is_terminal:
                self._live = Live(
                    get_renderable=self._rows, console=self._console, refresh_per_second=1
                )
                self._live.start()
            self._ticker = threading.Thread(target=self._tick, daemon=True)
            self._ticker.start()

    def start_job(self, job: int, rule: str, logs: Sequence[str]) -> None:
        """Show that a job has started."""
        with self._lock:
            self._progress.start(job, rule, logs, self._clock())
            self._print_lines()

    def finish_job(self, job: int) -> None:
        """Show that a job has finished."""
        with self._lock:
            step = self._progress.end(job, self._clock())
            if step is not None:
                step.update(self._clock(), lambda _: "")
                if step.is_done and self._live is None:
                    self._print(f"{self._count()}  {describe(step, self._clock())}")

    def fail_job(self, job: int, rule: str, logs: Sequence[str]) -> None:
        """Show the sentence of a failed job, and where its log is."""
        with self._lock:
            self._progress.end(job, self._clock(), failed=True)
        paths = [Path(log) for log in logs]
        where = f" (log: {paths[0]})" if paths else ""
        self.message(f"Error: {rule}: {failure_sentence(paths)}{where}", "bold red")

    def stop_job(self, job: int, rule: str) -> None:
        """Show that a job was stopped with the run; what its log says last is no error."""
        with self._lock:
            self._progress.end(job, self._clock(), failed=True)
        self.message(f"{rule}: stopped")

    def message(self, text: str, style: str = "") -> None:
        """Show a text; it controls no terminal."""
        self._print(printable(text), style)

    def close(self) -> None:
        """End the display; the rows stay on the terminal."""
        self._stopped.set()
        if self._ticker is not None:
            self._ticker.join()
        if self._live is not None:
            self._live.stop()

    def _tick(self) -> None:
        while not self._stopped.wait(SECONDS_BETWEEN_READS):
            with self._lock:
                self._progress.update(self._clock())
                self._print_lines()

    def _print_lines(self) -> None:
        """Print a line for each running step whose last one is old, if there is no terminal."""
        now = self._clock()
        for step in self._progress.running() if self._live is None else ():
            text = describe(step, now)
            printed_at, printed = self._last_line.get(step.name, (-SECONDS_BETWEEN_LINES, ""))
            if now - printed_at >= SECONDS_BETWEEN_LINES and text != printed:
                self._last_line[step.name] = now, text
                self._print(f"{self._count()}  {text}")

    def _count(self) -> str:
        done, jobs = self._progress.done, self._progress.jobs
        return f"{time.strftime('%H:%M:%S')} [{done:>{len(str(jobs))}}/{jobs} jobs]"

    def _print(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style=style))

    def _rows(self) -> RenderableType:
        with self._lock:
            now = self._clock()
            table = Table.grid(padding=(0, 2))
            for step in self._progress.steps.values():
                bar = ProgressBar(total=1.0, completed=step.fraction, width=BAR_WIDTH)
                style = "red" if step.failed else "" if step.running else "dim"
                table.add_row(
                    Text(_title(step), style=style),
                    bar,
                    f"{len(step.finished)}/{step.jobs}",
                    step.describe_logged() if step.running else "",
                    _time(step, now),
                )
            table.add_row("", "", f"{self._progress.done}/{self._progress.jobs}", "jobs", "")
            return table


def describe(step: StepProgress, now: float) -> str:
    """Return a step as a line: `train: 0 of 1 jobs, 120 of 400 steps, about 6 min left`."""
    jobs = f"{step.jobs} {'job' if step.jobs == 1 else 'jobs'}"
    parts = [f"{len(step.finished)} of {jobs}", step.describe_logged(), _time(step, now)]
    return f"{_title(step)}: {', '.join(filter(None, parts))}"


def _title(step: StepProgress) -> str:
    return step.name.replace("_", " ")


def _time(step: StepProgress, now: float) -> str:
    if step.failed and not step.running:
        return f"{len(step.failed)} failed"
    if step.started_at is None:
        return ""
    if not step.running:
        return f"done in {duration(step.ended_at - step.started_at)}" if step.is_done else ""
    left = step.time_left(now)
    return "running" if left is None else f"about {duration(left)} left"
