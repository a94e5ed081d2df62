"""A census that is killed in the middle of its steps ends like one that nothing disturbed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.reliability.census import PRESETS, STEPS, Census, kill_group, problems
from benchmarks.reliability.kills import PLANNING, kill, plan_kills
from benchmarks.reliability.processes import running_jobs
from tests.workflow.chaos.conftest import Reference

KILLS, SINGLE_JOBS, SEED = 5, 2, 0


def test_kills_are_spread_over_all_steps() -> None:
    planned = plan_kills(25, 10, seed=0)
    assert planned == plan_kills(25, 10, seed=0)
    assert planned != plan_kills(25, 10, seed=1)
    whole = Counter(kill.step for kill in planned if not kill.single)
    assert whole.total() == 25
    assert set(whole) == {PLANNING, *STEPS}
    assert whole["train"] <= 3
    assert Counter(kill.step for kill in planned if kill.single) == dict.fromkeys(STEPS, 1)
    order = [PLANNING, *STEPS]
    assert [order.index(kill.step) for kill in planned] == sorted(
        order.index(kill.step) for kill in planned
    )


@pytest.mark.timeout(1200)
def test_killed_census_ends_like_an_undisturbed_one(reference: Reference, tmp_path: Path) -> None:
    census = Census(tmp_path, PRESETS["paper"])
    killed = 0
    for planned in plan_kills(KILLS, SINGLE_JOBS, SEED):
        killed += kill(census, planned, reference.seconds) is not None
        census.unlock()
    assert killed == KILLS + SINGLE_JOBS
    status, output = census.run()
    assert status == 0, output
    assert problems(census, reference.products) == []


@pytest.mark.timeout(600)
def test_lock_of_a_killed_run_is_explained_and_removed_by_one_command(
    reference: Reference, tmp_path: Path
) -> None:
    census = Census(tmp_path, PRESETS["paper"])
    with census.start() as process:
        next(running_jobs(tmp_path, process))
        with pytest.raises(RuntimeError, match=rf"is in use by process {process.pid} "):
            census.unlock()
        kill_group(process)
    status, output = census.run()
    assert status == 1
    assert "LockException" in output
    command = f"cacl unlock --directory {tmp_path}"
    assert f"a run that was killed: no process uses the folder. Run `{command}`" in output
    assert "Unlocked" in census.unlock()
    status, output = census.run("--until", "catalog")
    assert status == 0, output
    assert census.leftovers() == []
