"""Seeded SIGKILLs over all steps of a census, of the whole run or of single jobs."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.reliability.census import STEPS, Census, kill_group
from benchmarks.reliability.processes import Job, jobs, running_jobs

PLANNING = "planning"
PLANNING_S = 4.0
"""Snakemake plans about so long before its first job."""


@dataclass(frozen=True)
class Kill:
    """A planned SIGKILL.

    Parameters
    ----------
    step
        It comes while a job of this step runs, or while Snakemake plans.
    fraction
        Of the time that the step takes, 0 to 1.
    single
        Only the job is killed; otherwise the process group of Snakemake and all jobs.
    """

    step: str
    fraction: float
    single: bool


@dataclass(frozen=True)
class Killed:
    """A SIGKILL that was sent, and what ran then."""

    kill: Kill
    running: tuple[str, ...]
    locked: bool


def plan_kills(count: int, single_jobs: int, seed: int) -> list[Kill]:
    """Return `count` kills of the whole run and `single_jobs` of jobs, in the order of the steps.

    Each step has its share, as equal as the numbers allow; a step that is left out by a small
    number is chosen by the seed.
    """
    rng = random.Random(seed)  # nosec B311  # chooses cases, no secret
    planned = [
        Kill(step, rng.random(), single=False) for step in _shares([PLANNING, *STEPS], count, rng)
    ]
    planned += [
        Kill(step, rng.random(), single=True) for step in _shares([*STEPS], single_jobs, rng)
    ]
    order = [PLANNING, *STEPS]
    return sorted(planned, key=lambda kill: (order.index(kill.step), rng.random()))


def _shares(steps: list[str], count: int, rng: random.Random) -> list[str]:
    rounds, rest = divmod(count, len(steps))
    return steps * rounds + rng.sample(steps, rest)


def kill(census: Census, planned: Kill, seconds: Mapping[str, float]) -> Killed | None:
    """Start the run and kill it, or one of its jobs, as planned; return what was killed.

    Where the planned step is done, the next step that is not takes its place. None if nothing was
    left to do.

    Raises
    ------
    RuntimeError
        The run ended with another status than expected.
    """
    wanted = _wanted_steps(census, planned.step)
    with census.start() as process:
        if planned.step == PLANNING:
            time.sleep(planned.fraction * PLANNING_S)
            job = None
        else:
            started = running_jobs(census.folder, process)
            job = next((each for each in started if each.step in wanted), None)
            if job is None:
                if process.wait():
                    raise RuntimeError(census.output.read_text(encoding="utf-8"))
                return None
            time.sleep(planned.fraction * seconds[job.step])
        running = jobs(census.folder)
        if planned.single:
            _kill_job(job, running)
            process.wait()
        else:
            kill_group(process)
    steps = tuple(sorted({each.step for each in running}))
    if planned.single and process.returncode == 0 and steps:
        raise RuntimeError(f"A job of {steps} was killed, and the run ended with status 0")
    return Killed(planned, steps, any((census.folder / ".snakemake/locks").glob("*")))


def _wanted_steps(census: Census, step: str) -> list[str]:
    if step == PLANNING:
        return []
    following = list(STEPS)[list(STEPS).index(step) :]
    number = next((i for i, each in enumerate(following) if not census.is_done(each)), 0)
    return following[: number + 1]


def _kill_job(job: Job | None, running: list[Job]) -> None:
    """Kill the job that was waited for, or, where it has ended, another one."""
    pids = [each.pid for each in running if job is None or each.pid == job.pid]
    pids = pids or [each.pid for each in running]
    if pids:
        os.kill(pids[0], signal.SIGKILL)
