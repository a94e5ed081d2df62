"""`cacl doctor` checks on a real Slurm whether it accepts the jobs of a profile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from cacl.diagnostics.slurm_check import check_slurm
from tests.workflow.slurm.one_node import Slurm

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def profile(checkout: Path) -> dict[str, Any]:
    text = (checkout / "profiles/slurm-gpu/config.yaml").read_text()
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


class Doctor:
    """Runs the checks on a cluster and returns their results by name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch

    def __call__(self, slurm: Slurm, profile: dict[str, Any]) -> dict[str, dict[str, str]]:
        for name, value in slurm.environment.items():
            self.monkeypatch.setenv(name, value)
        return {result.name: asdict(result) for result in check_slurm(profile)}


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch) -> Doctor:
    return Doctor(monkeypatch)


def test_profile_passes_all_checks(slurm: Slurm, checkout: Path) -> None:
    profile = checkout / "profiles/slurm-gpu"
    command = [sys.executable, "-m", "cacl", "doctor", "--profile", str(profile), "--json"]
    environment = os.environ | slurm.environment
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    everything = json.loads(process.stdout)
    assert process.returncode == any(result["status"] == "fail" for result in everything)
    results = {
        result["name"]: result for result in everything if result["name"].startswith("Slurm")
    }
    assert {result["status"] for result in results.values()} == {"ok"}
    assert "--gpus=1" in results["Slurm job of train"]["detail"]
    assert results["Slurm accounting"]["detail"] == "none; the profile uses squeue"


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"slurm_partition": "nowhere"}, "set `slurm_partition` in the profile"),
        ({"runtime": 6000}, "lower `runtime` in the profile"),
        ({"mem_mb": "9000000 * attempt"}, "lower `mem_mb` or threads in the profile"),
    ],
)
def test_rejected_request_fails_with_its_remedy(
    slurm: Slurm, doctor: Doctor, profile: dict[str, Any], changes: dict[str, Any], remedy: str
) -> None:
    profile["set-resources"]["train"] |= changes
    results = doctor(slurm, profile)
    assert results["Slurm job of train"]["status"] == "fail"
    assert remedy in results["Slurm job of train"]["remedy"]
    assert results["Slurm job of segment"]["status"] == "ok"


def test_rejected_retry_is_a_warning(slurm: Slurm, doctor: Doctor, profile: dict[str, Any]) -> None:
    profile["set-resources"]["train"]["mem_mb"] = "20000 * attempt"
    result = doctor(slurm, profile)["Slurm job of train"]
    assert result["status"] == "warn"
    assert result["detail"].startswith("attempt 3: ")


def test_missing_profile_keys_fail(slurm: Slurm, doctor: Doctor, profile: dict[str, Any]) -> None:
    del profile["slurm-status-command"], profile["slurm-requeue"]
    results = doctor(slurm, profile)
    assert "slurm-status-command: squeue" in results["Slurm accounting"]["remedy"]
    assert "slurm-requeue: true" in results["Slurm preemption"]["remedy"]


def test_cluster_without_gpus(bare_slurm: Slurm, doctor: Doctor, profile: dict[str, Any]) -> None:
    results = doctor(bare_slurm, profile)
    assert results["Slurm job of other rules"]["status"] == "ok"
    assert results["Slurm job of train"]["status"] == "fail"
    assert "omit GPUs" in results["Slurm job of train"]["remedy"]


def test_cluster_with_gres_instead_of_gpus(
    gres_slurm: Slurm, doctor: Doctor, profile: dict[str, Any]
) -> None:
    results = doctor(gres_slurm, profile)
    assert results["Slurm job of other rules"]["status"] == "ok"
    assert results["Slurm job of train"]["status"] == "fail"
    remedy = 'write `gres: "gpu:1"` instead of `gpu: 1` in the profile'
    assert results["Slurm job of train"]["remedy"] == remedy
    del profile["set-resources"]["train"]["gpu"]
    profile["set-resources"]["train"]["gres"] = "gpu:1"
    assert doctor(gres_slurm, profile)["Slurm job of train"]["status"] == "ok"


def test_cluster_with_accounting(
    accounting_slurm: Slurm, doctor: Doctor, profile: dict[str, Any]
) -> None:
    for command in ("squeue", "sacct"):
        profile["slurm-status-command"] = command
        results = doctor(accounting_slurm, profile)
        assert {result["status"] for result in results.values()} == {"ok"}
        assert (
            results["Slurm accounting"]["detail"] == f"sacct responds; the profile uses {command}"
        )
    profile["default-resources"]["slurm_account"] = "nobody"
    results = doctor(accounting_slurm, profile)
    assert results["Slurm job of other rules"]["status"] == "fail"
    remedy = results["Slurm job of other rules"]["remedy"]
    assert remedy.startswith("set `slurm_account` in the profile to one of")
