"""Snakemake's events on the display of a run: a logger plugin, see `snakemake --logger`.

Snakemake's own log in `.snakemake/log` stays complete.
"""

from __future__ import annotations

import logging
import re
import sys

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from cacl.launch.display import RunDisplay

NOTHING_TO_DO = "Nothing to be done"
LOG_HINT = "Complete log(s): "
STOPPING = ("Will exit after finishing currently running jobs", "Terminating processes on user")
"""What Snakemake says after SIGTERM, and after Ctrl-C."""

REPEATED = re.compile(
    r"Exiting because a job execution failed|At least one job did not complete"
    r"|Command '.*' (returned non-zero exit status|died with)"
    r"|Restored previous version of|Cannot restore .*: no backup found",
    re.DOTALL,
)
"""What Snakemake says of a failed job, whose own sentence the display shows."""

HEADER = re.compile(r"^(?:\w+ in (?:file|rule) .*:\n|\w+(?:Error|Exception):\n)+")
"""First lines of a message: the class of the error, and the place in the workflow's code."""

PLACE = re.compile(r"^ {2}File \".*\", line \d+, in .*$\n?", re.MULTILINE)


class LogHandler(LogHandlerBase):
    """Shows steps, progress and errors of a run in place of Snakemake's log of jobs."""

    def __post_init__(self) -> None:
        """Open the display on standard error."""
        self.display = RunDisplay(sys.stderr)
        self.failed: set[str] = set()
        self.log_hint = ""
        self.is_stopping = False

    def emit(self, record: logging.LogRecord) -> None:
        """Show an event of Snakemake, or a message that is a warning or an error."""
        fields = record.__dict__
        event = fields.get("event")
        if event == LogEvent.RUN_INFO:
            self.display.plan(fields["stats"])
        elif event == LogEvent.JOB_INFO:
            self.display.start_job(fields["jobid"], fields["rule_name"], fields["log"])
        elif event == LogEvent.JOB_FINISHED:
            self.display.finish_job(fields["job_id"])
        elif event == LogEvent.JOB_ERROR:
            rule = fields["rule_name"]
            if self.is_stopping:
                self.display.stop_job(fields["jobid"], rule)
            else:
                self.failed.add(rule)
                self.display.fail_job(fields["jobid"], rule, fields["log"])
        else:
            self._show_message(record)

    def _show_message(self, record: logging.LogRecord) -> None:
        text = record.getMessage() if record.msg else ""
        if text.startswith(NOTHING_TO_DO):
            self.display.message("Everything is up to date: nothing has to run")
        elif text.startswith(LOG_HINT):
            self.log_hint = text.removeprefix(LOG_HINT)
        elif text.startswith(STOPPING):
            if not self.is_stopping:
                self.display.message(
                    "Stopping when the running jobs have ended; the same command continues the run"
                )
            self.is_stopping = True
        elif record.levelno >= logging.WARNING:
            text = PLACE.sub("", HEADER.sub("", text)).strip()
            if text and not REPEATED.match(text):
                self.display.message(text, "red" if record.levelno >= logging.ERROR else "yellow")

    def close(self) -> None:
        """End the display, after a failure with the way to continue."""
        self.display.close()
        if self.failed:
            self.display.message(
                f"The run stopped after a failure in {', '.join(sorted(self.failed))}; remove the "
                "cause and run the same command again: it continues where it stopped. Snakemake's "
                f"log: {self.log_hint}"
            )
            self.failed.clear()
        super().close()

    @property
    def writes_to_stream(self) -> bool:
        """It replaces Snakemake's own output on the terminal."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """It writes no file."""
        return False

    @property
    def has_filter(self) -> bool:
        """It chooses the events itself."""
        return True

    @property
    def has_formatter(self) -> bool:
        """It formats the events itself."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """It needs no graph of rules."""
        return False
