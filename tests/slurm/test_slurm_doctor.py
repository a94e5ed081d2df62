"""`cacl doctor` asks a real Slurm whether it would take the jobs of a profile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from one_node import Slurm

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


@pytest.fixture
def profile(checkout: Path) -> dict[str, object]:
    text = (checkout / "profiles/slurm-gpu/config.yaml").read_text()
    loaded: dict[str, object] = yaml.safe_load(text)
    return loaded


def findings(slurm: Slurm, folder: Path, profile: dict[str, object]) -> dict[str, dict[str, str]]:
    (folder / "config.yaml").write_text(yaml.safe_dump(profile))
    command = [sys.executable, "-m", "cacl", "doctor", "--profile", str(folder), "--json"]
    environment = os.environ | slurm.environment
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    found = [one for one in json.loads(said.stdout) if one["what"].startswith("Slurm")]
    assert said.returncode == any(one["verdict"] == "miss" for one in json.loads(said.stdout))
    return {one["what"]: one for one in found}


def test_the_profile_fits_the_cluster(
    slurm: Slurm, tmp_path: Path, profile: dict[str, object]
) -> None:
    found = findings(slurm, tmp_path, profile)
    assert {one["verdict"] for one in found.values()} == {"ok"}
    assert "--gpus=1" in found["Slurm job of train"]["found"]
    assert found["Slurm accounting"]["found"] == "none; the profile asks squeue"


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"slurm_partition": "nowhere"}, "set `slurm_partition` in the profile"),
        ({"runtime": 6000}, "lower `runtime` in the profile"),
        ({"mem_mb": "9000000 * attempt"}, "lower `mem_mb` or threads in the profile"),
    ],
)
def test_what_it_would_refuse_is_found_before_the_run(
    slurm: Slurm,
    tmp_path: Path,
    profile: dict[str, object],
    changes: dict[str, object],
    remedy: str,
) -> None:
    profile["set-resources"]["train"] |= changes  # type: ignore[index]
    found = findings(slurm, tmp_path, profile)
    assert found["Slurm job of train"]["verdict"] == "miss"
    assert remedy in found["Slurm job of train"]["remedy"]
    assert found["Slurm job of segment"]["verdict"] == "ok"


def test_a_retry_that_asks_too_much_is_noted(
    slurm: Slurm, tmp_path: Path, profile: dict[str, object]
) -> None:
    profile["set-resources"]["train"]["mem_mb"] = "20000 * attempt"  # type: ignore[index]
    found = findings(slurm, tmp_path, profile)["Slurm job of train"]
    assert found["verdict"] == "note"
    assert found["found"].startswith("attempt 3: ")


def test_what_would_wait_for_ever(slurm: Slurm, tmp_path: Path, profile: dict[str, object]) -> None:
    del profile["slurm-status-command"], profile["slurm-requeue"]
    found = findings(slurm, tmp_path, profile)
    assert "slurm-status-command: squeue" in found["Slurm accounting"]["remedy"]
    assert "slurm-requeue: true" in found["Slurm preemption"]["remedy"]


def test_a_cluster_without_gpus(
    new_slurm: Callable[..., Slurm], tmp_path: Path, profile: dict[str, object]
) -> None:
    found = findings(new_slurm(gpus=0), tmp_path, profile)
    assert found["Slurm job of other rules"]["verdict"] == "ok"
    assert found["Slurm job of train"]["verdict"] == "miss"
    assert "leave GPUs out" in found["Slurm job of train"]["remedy"]
