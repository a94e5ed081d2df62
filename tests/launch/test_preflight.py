"""What `cacl run` refuses before Snakemake starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cacl.config import resolve
from cacl.diagnostics.run_source import CATALOG, check_source, record_source
from cacl.errors import ConfigError, DiskError, ManifestError
from cacl.launch import preflight
from cacl.launch.snakemake_command import RunOptions, snakemake_arguments
from cacl.runtime.workflow_files import bundled_profiles, snakefile, workflow_folder

NOBODY = 65534


def test_workflow_of_a_checkout_is_beside_the_package(checkout: Path) -> None:
    assert workflow_folder() == checkout
    assert snakefile() == checkout / "workflow" / "Snakefile"
    assert set(bundled_profiles()) == {"default", "slurm-gpu"}


def test_configuration_of_the_folder_is_used_if_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"There is no configuration: .* `cacl init manifest`"):
        preflight.find_configs([], Path())
    Path("cacl.yaml").touch()
    assert preflight.find_configs([], Path()) == [tmp_path / "cacl.yaml"]
    with pytest.raises(ConfigError, match=r"or write run/cacl.yaml with"):
        preflight.find_configs([], Path("run"))
    with pytest.raises(ConfigError, match=f"There is no configuration {tmp_path}/my.yaml; "):
        preflight.find_configs([Path("my.yaml")], Path())


@pytest.mark.parametrize(
    ("rows", "sections", "sentence"),
    [
        (["no.jpg,A,1,positive"], {}, r"None of the 1 images in own.csv exists, .*/no.jpg; list"),
        (["a.jpg,A,1,positive", "a.jpg,B,1,"], {}, "own.csv labels no image negative, and tr"),
        (["a.jpg,A,1,yes"], {}, "own.csv, line 2: the label 'yes' is unknown"),
        (["no.jpg,A,1,positive", "a.jpg,B,1,negative"], {}, ""),
        (["a.jpg,A,1,"], {"train": {"model": "model"}}, ""),
        (["a.jpg,A,1,"], {"labels": {"overrides": "labels.csv"}}, ""),
    ],
)
def test_manifest_is_checked_before_anything_runs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rows: list[str],
    sections: dict[str, Any],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.jpg").touch()
    lines = ["image_path,antibody_id,patient_id,label", *rows, ""]
    Path("own.csv").write_text("\n".join(lines))
    config = resolve({"source": {"kind": "manifest", "manifest": "own.csv"}} | sections)
    if sentence:
        with pytest.raises(ManifestError, match=sentence):
            preflight.check_manifest(config)
    else:
        preflight.check_manifest(config)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user without permission")
def test_folder_without_write_permission(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from cacl.launch.preflight import check_writable"
        f"; os.setuid({NOBODY}); check_writable(Path('/proc/self')); check_writable(Path('/usr/x'))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "DiskError: The folder " in result.stderr
    assert " is not writable; choose another one with --directory" in result.stderr
    assert "`cacl doctor`" in result.stderr


def test_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(DiskError, match="run is a file; name a folder with --directory"):
        preflight.check_writable(tmp_path / "run")
    preflight.check_writable(tmp_path / "new" / "folder")
    assert not (tmp_path / "new").exists()


def test_profile_is_found_by_path_by_name_or_in_the_workflow(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert preflight.find_profile("slurm-gpu") == str(checkout / "profiles/slurm-gpu")
    assert preflight.workflow_profile() == checkout / "profiles/default"
    for name in ("mine", "profiles/default"):
        Path(name).mkdir(parents=True)
        Path(name, "config.yaml").write_text("cores: 1\n")
        assert preflight.find_profile(name) == name
    assert preflight.workflow_profile() == Path("profiles/default")
    with pytest.raises(ConfigError, match=r"no profile 'slurm': .*\(default, slurm-gpu\)"):
        preflight.find_profile("slurm")


def test_results_of_another_source_are_refused(tmp_path: Path) -> None:
    phantom = resolve({}).source
    manifest = resolve({"source": {"kind": "manifest", "manifest": "a.csv"}}).source
    other = resolve({"source": {"kind": "manifest", "manifest": "b.csv"}}).source
    release_23, release_24 = (
        resolve({"source": {"kind": "hpa", "hpa_version": version, "genes": ["SI"]}}).source
        for version in ("23", "24")
    )
    record_source(tmp_path, phantom)
    check_source(tmp_path, manifest)  # nothing was made yet
    (tmp_path / CATALOG).parent.mkdir(parents=True)
    (tmp_path / CATALOG).touch()
    check_source(tmp_path, phantom)
    with pytest.raises(ConfigError, match=r"another source \(source.kind phantom\) .* manifest\)"):
        check_source(tmp_path, manifest)
    record_source(tmp_path, manifest)
    check_source(tmp_path, other)
    record_source(tmp_path, release_23)
    with pytest.raises(ConfigError, match=r"source.hpa_version 23\) .* source.hpa_version 24\)"):
        check_source(tmp_path, release_24)


def test_arguments_of_snakemake_end_with_the_further_ones(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = RunOptions(cores=4, profile="slurm-gpu", extra=["-n", "benchmark"])
    assert snakemake_arguments(options, [tmp_path / "a.yaml", tmp_path / "b.yaml"]) == [
        *("--snakefile", str(checkout / "workflow/Snakefile")),
        *("--configfile", str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")),
        *("--workflow-profile", str(checkout / "profiles/default")),
        *("--profile", str(checkout / "profiles/slurm-gpu")),
        *("--cores", "4", "--directory", ".", "-n", "benchmark"),
    ]
