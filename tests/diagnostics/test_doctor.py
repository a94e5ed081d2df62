"""`cacl doctor`: the requirements of a run, and the remedy for each check that fails."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from importlib import metadata
from pathlib import Path

import pytest
import requests
from typer.testing import CliRunner

from cacl import config
from cacl.cli import app
from cacl.diagnostics.check_result import CheckResult, CheckStatus
from cacl.diagnostics.doctor import run_checks
from cacl.diagnostics.slurm_check import evaluate_resource, sbatch_options
from cacl.errors import ConfigError

DEMO = config.resolve({})
PROFILE = {
    "executor": "slurm",
    "retries": 2,
    "default-resources": {"slurm_partition": "cpu", "mem_mb": "2000 * attempt", "runtime": 60},
    "set-threads": {"train": 8},
    "set-resources": {"train": {"slurm_partition": "gpu", "gpu": 1, "mem_mb": "4000 * attempt"}},
}


def named(results: list[CheckResult], name: str) -> CheckResult:
    (result,) = (result for result in results if result.name == name)
    return result


def test_checks_of_this_machine(tmp_path: Path) -> None:
    results = run_checks(tmp_path, DEMO)
    assert [result.name for result in results] == [
        *("Python", "packages", "program snakemake", "program cacl"),
        *("folder", "disk", "memory", "CPU", "GPU"),
    ]
    assert named(results, "Python").status is CheckStatus.OK
    assert named(results, "folder").status is CheckStatus.OK
    assert all(result.remedy for result in results if result.status is not CheckStatus.OK)


def test_missing_and_outdated_packages_fail(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    requirements = ["nosuchpackage>=1", "zarr>=99", "dask>=2", "pytest; extra == 'dev'"]
    monkeypatch.setattr(metadata, "requires", lambda name: requirements)
    results = run_checks(tmp_path, DEMO)
    assert named(results, "package nosuchpackage").detail == "not installed, expected >=1"
    remedy = named(results, "package zarr").remedy
    assert remedy == "pip install --constraint constraints.txt 'zarr>=99'"
    assert {result.name for result in results if result.name.startswith("package ")} == {
        "package nosuchpackage",
        "package zarr",
    }


def test_full_disk_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 10**12, 2 * 10**8))
    disk = named(run_checks(tmp_path, DEMO), "disk")
    assert disk.status is CheckStatus.FAIL
    assert disk.detail.startswith("0.2 GB free")
    assert "`cacl estimate` says how much" in disk.remedy


def test_missing_folder_is_checked_by_its_nearest_parent(tmp_path: Path) -> None:
    folder = named(run_checks(tmp_path / "a" / "b", DEMO), "folder")
    assert folder.detail == f"{tmp_path} writable"


def test_host_is_contacted_only_for_source_hpa(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    contacted = []

    def refuse(address: str, **_: object) -> None:
        contacted.append(address)
        raise requests.ConnectionError

    monkeypatch.setattr(requests, "head", refuse)
    run_checks(tmp_path, DEMO)
    assert contacted == []
    hpa = config.resolve({"source": {"kind": "hpa", "genes": ["ALPI"], "hpa_version": "23"}})
    host = named(run_checks(tmp_path, hpa), "HPA host")
    assert contacted == ["https://v23.proteinatlas.org/"]
    assert host.status is CheckStatus.FAIL
    assert "behind a proxy set HTTPS_PROXY" in host.remedy


def test_slurm_profile_fails_without_slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(json.dumps(PROFILE))
    monkeypatch.setenv("PATH", str(tmp_path))
    result = CliRunner().invoke(app, ["doctor", "--profile", str(tmp_path), "--json"])
    assert result.exit_code == 1
    assert result.output.rstrip().endswith("1 check failed; fix it and run `cacl doctor` again")
    results = json.loads(result.output[: result.output.rindex("]") + 1])
    slurm = next(result for result in results if result["name"] == "Slurm")
    assert slurm["status"] == "fail"
    assert slurm["detail"] == "no sbatch, squeue, scontrol on PATH"


def test_sbatch_options_equal_those_of_the_plugin() -> None:
    assert sbatch_options(PROFILE, "train", 2) == [
        *("--partition=gpu", "--gpus=1", "--time=60", "--mem=8000", "--cpus-per-task=8")
    ]
    assert sbatch_options(PROFILE, "select", 1) == [
        *("--partition=cpu", "--time=60", "--mem=2000", "--cpus-per-task=1")
    ]


@pytest.mark.parametrize(("text", "number"), [("400 * attempt ** 2", 3600), (7, 7), ("6 // 4", 1)])
def test_evaluates_arithmetic_of_resources(text: object, number: float) -> None:
    assert evaluate_resource(text, attempt=3) == number


@pytest.mark.parametrize("text", ["__import__('os')", "input.size_mb", "2 *", "'a' * attempt"])
def test_rejects_resource_that_is_not_arithmetic(text: str) -> None:
    with pytest.raises(ConfigError, match="The profile's resource"):
        evaluate_resource(text, attempt=1)


def test_reports_unreadable_configuration(tmp_path: Path) -> None:
    missing = CliRunner().invoke(app, ["doctor", "--config", str(tmp_path / "none.yaml")])
    assert missing.exit_code == 1
    assert "cannot be read" in missing.output
    path = tmp_path / "list.yaml"
    path.write_text("- a\n")
    assert "holds no keys" in CliRunner().invoke(app, ["doctor", "--config", str(path)]).output
