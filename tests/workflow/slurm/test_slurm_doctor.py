"""`cacl doctor` asks a real Slurm whether it would take the jobs of a profile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cacl.diagnostics.slurm_check import slurm_findings
from tests.workflow.slurm.one_node import Slurm

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def profile(checkout: Path) -> dict[str, Any]:
    text = (checkout / "profiles/slurm-gpu/config.yaml").read_text()
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


class Doctor:
    """Asks the Slurm that the environment names."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch

    def __call__(self, slurm: Slurm, profile: dict[str, Any]) -> dict[str, dict[str, str]]:
        for name, value in slurm.environment.items():
            self.monkeypatch.setenv(name, value)
        return {
            one.what: {"verdict": str(one.verdict), "found": one.found, "remedy": one.remedy}
            for one in slurm_findings(profile)
        }


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch) -> Doctor:
    return Doctor(monkeypatch)


def test_the_profile_fits_the_cluster(slurm: Slurm, checkout: Path) -> None:
    place = checkout / "profiles/slurm-gpu"
    command = [sys.executable, "-m", "cacl", "doctor", "--profile", str(place), "--json"]
    environment = os.environ | slurm.environment
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    everything = json.loads(said.stdout)
    assert said.returncode == any(one["verdict"] == "miss" for one in everything)
    found = {one["what"]: one for one in everything if one["what"].startswith("Slurm")}
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
    slurm: Slurm, doctor: Doctor, profile: dict[str, Any], changes: dict[str, Any], remedy: str
) -> None:
    profile["set-resources"]["train"] |= changes
    found = doctor(slurm, profile)
    assert found["Slurm job of train"]["verdict"] == "miss"
    assert remedy in found["Slurm job of train"]["remedy"]
    assert found["Slurm job of segment"]["verdict"] == "ok"


def test_a_retry_that_asks_too_much_is_noted(
    slurm: Slurm, doctor: Doctor, profile: dict[str, Any]
) -> None:
    profile["set-resources"]["train"]["mem_mb"] = "20000 * attempt"
    found = doctor(slurm, profile)["Slurm job of train"]
    assert found["verdict"] == "note"
    assert found["found"].startswith("attempt 3: ")


def test_what_would_wait_for_ever(slurm: Slurm, doctor: Doctor, profile: dict[str, Any]) -> None:
    del profile["slurm-status-command"], profile["slurm-requeue"]
    found = doctor(slurm, profile)
    assert "slurm-status-command: squeue" in found["Slurm accounting"]["remedy"]
    assert "slurm-requeue: true" in found["Slurm preemption"]["remedy"]


def test_a_cluster_without_gpus(bare_slurm: Slurm, doctor: Doctor, profile: dict[str, Any]) -> None:
    found = doctor(bare_slurm, profile)
    assert found["Slurm job of other rules"]["verdict"] == "ok"
    assert found["Slurm job of train"]["verdict"] == "miss"
    assert "leave GPUs out" in found["Slurm job of train"]["remedy"]


def test_a_cluster_that_knows_gres_only(
    gres_slurm: Slurm, doctor: Doctor, profile: dict[str, Any]
) -> None:
    found = doctor(gres_slurm, profile)
    assert found["Slurm job of other rules"]["verdict"] == "ok"
    assert found["Slurm job of train"]["verdict"] == "miss"
    remedy = 'write `gres: "gpu:1"` instead of `gpu: 1` in the profile'
    assert found["Slurm job of train"]["remedy"] == remedy
    del profile["set-resources"]["train"]["gpu"]
    profile["set-resources"]["train"]["gres"] = "gpu:1"
    assert doctor(gres_slurm, profile)["Slurm job of train"]["verdict"] == "ok"


def test_a_cluster_with_accounts(
    counting_slurm: Slurm, doctor: Doctor, profile: dict[str, Any]
) -> None:
    for asked in ("squeue", "sacct"):
        profile["slurm-status-command"] = asked
        found = doctor(counting_slurm, profile)
        assert {one["verdict"] for one in found.values()} == {"ok"}
        assert found["Slurm accounting"]["found"] == f"sacct answers; the profile asks {asked}"
    profile["default-resources"]["slurm_account"] = "nobody"
    found = doctor(counting_slurm, profile)
    assert found["Slurm job of other rules"]["verdict"] == "miss"
    remedy = found["Slurm job of other rules"]["remedy"]
    assert remedy.startswith("set `slurm_account` in the profile to one of")
