"""Snakemake with a Slurm plugin that queries the status of its jobs once per second.

The plugin waits ten seconds longer after each query without a change. This protects a controller
whose jobs take hours, but would take most of the time of a test whose jobs take seconds.
"""

from __future__ import annotations

import sys

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

INTERVAL_S = 1.0


def interval(_: Executor) -> float:
    return INTERVAL_S


def ignore(_: Executor, seconds: float) -> None:
    """Keep the interval."""


if __name__ == "__main__":
    Executor.next_seconds_between_status_checks = property(interval, ignore)
    sys.exit(main())
