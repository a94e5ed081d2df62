"""`cacl doctor`: what a run needs, and the remedy for each miss."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import requests
from typer.testing import CliRunner

from cacl import config
from cacl.cli import app
from cacl.diagnostics import doctor
from cacl.diagnostics.check_result import CheckStatus, Finding
from cacl.diagnostics.doctor import examine
from cacl.diagnostics.slurm_check import evaluate, sbatch_options
from cacl.errors import ConfigError

DEMO = config.resolve({})
PROFILE = {
    "executor": "slurm",
    "retries": 2,
    "default-resources": {"slurm_partition": "cpu", "mem_mb": "2000 * attempt", "runtime": 60},
    "set-threads": {"train": 8},
    "set-resources": {"train": {"slurm_partition": "gpu", "gpu": 1, "mem_mb": "4000 * attempt"}},
}


def named(findings: list[Finding], what: str) -> Finding:
    (found,) = (one for one in findings if one.what == what)
    return found


def test_this_machine_has_what_the_tests_run_on(tmp_path: Path) -> None:
    findings = examine(tmp_path, DEMO)
    whats = [one.what for one in findings]
    assert whats == [
        *("Python", "packages", "program snakemake", "program cacl"),
        *("folder", "disk", "memory", "CPU", "GPU"),
    ]
    assert named(findings, "Python").verdict is CheckStatus.OK
    assert named(findings, "folder").verdict is CheckStatus.OK
    assert all(one.remedy for one in findings if one.verdict is not CheckStatus.OK)


def test_a_missing_and_an_old_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wanted = ["nosuchpackage>=1", "zarr>=99", "dask>=2", "pytest; extra == 'dev'"]
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: wanted)
    findings = examine(tmp_path, DEMO)
    assert named(findings, "package nosuchpackage").found == "not installed, expected >=1"
    remedy = named(findings, "package zarr").remedy
    assert remedy == "pip install --constraint constraints.txt 'zarr>=99'"
    assert {one.what for one in findings if one.what.startswith("package ")} == {
        "package nosuchpackage",
        "package zarr",
    }


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 10**12, 2 * 10**8))
    found = named(examine(tmp_path, DEMO), "disk")
    assert found.verdict is CheckStatus.MISS
    assert found.found.startswith("0.2 GB free")
    assert "`cacl estimate` says how much" in found.remedy


def test_a_folder_that_does_not_exist_yet_is_judged_by_the_one_above(tmp_path: Path) -> None:
    found = named(examine(tmp_path / "a" / "b", DEMO), "folder")
    assert found.found == f"{tmp_path} writable"


def test_the_host_is_asked_only_by_those_who_need_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = []

    def refuse(address: str, **_: object) -> None:
        asked.append(address)
        raise requests.ConnectionError

    monkeypatch.setattr(requests, "head", refuse)
    examine(tmp_path, DEMO)
    assert asked == []
    hpa = config.resolve({"source": {"kind": "hpa", "genes": ["ALPI"], "hpa_version": "23"}})
    found = named(examine(tmp_path, hpa), "atlas's host")
    assert asked == ["https://v23.proteinatlas.org/"]
    assert found.verdict is CheckStatus.MISS
    assert "behind a proxy set HTTPS_PROXY" in found.remedy


def test_a_slurm_profile_where_there_is_no_slurm(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(json.dumps(PROFILE))
    monkeypatch.setenv("PATH", str(tmp_path))
    result = CliRunner().invoke(app, ["doctor", "--profile", str(tmp_path), "--json"])
    assert result.exit_code == 1
    findings = json.loads(result.output[: result.output.rindex("]") + 1])
    slurm = next(one for one in findings if one["what"] == "Slurm")
    assert slurm["verdict"] == "miss"
    assert slurm["found"] == "no sbatch, squeue, scontrol on PATH"


def test_requests_are_written_as_the_plugin_writes_them() -> None:
    assert sbatch_options(PROFILE, "train", 2) == [
        *("--partition=gpu", "--gpus=1", "--time=60", "--mem=8000", "--cpus-per-task=8")
    ]
    assert sbatch_options(PROFILE, "select", 1) == [
        *("--partition=cpu", "--time=60", "--mem=2000", "--cpus-per-task=1")
    ]


@pytest.mark.parametrize(("text", "number"), [("400 * attempt ** 2", 3600), (7, 7), ("6 // 4", 1)])
def test_resources_are_arithmetic(text: object, number: float) -> None:
    assert evaluate(text, attempt=3) == number


@pytest.mark.parametrize("text", ["__import__('os')", "input.size_mb", "2 *", "'a' * attempt"])
def test_resources_that_are_not_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="The profile's resource"):
        evaluate(text, attempt=1)


def test_an_unreadable_configuration(tmp_path: Path) -> None:
    missing = CliRunner().invoke(app, ["doctor", "--config", str(tmp_path / "none.yaml")])
    assert missing.exit_code == 1
    assert "cannot be read" in missing.output
    path = tmp_path / "list.yaml"
    path.write_text("- a\n")
    assert "holds no keys" in CliRunner().invoke(app, ["doctor", "--config", str(path)]).output
