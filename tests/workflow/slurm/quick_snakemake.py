"""Snakemake, whose Slurm plugin asks for the state of its jobs once a second.

The plugin waits ten seconds longer after each round without news. That is kind to a controller
whose jobs take hours, and most of the time of a test whose jobs take seconds.
"""

from __future__ import annotations

import sys

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

SECONDS = 1.0


def always(_: Executor) -> float:
    return SECONDS


def unchanged(_: Executor, seconds: float) -> None:
    """Leave the time as it is."""


if __name__ == "__main__":
    Executor.next_seconds_between_status_checks = property(always, unchanged)
    sys.exit(main())
