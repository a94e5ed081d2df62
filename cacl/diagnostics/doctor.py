"""Check what a run needs, and give the remedy for each check that fails."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import requests
from packaging.requirements import Requirement
from rich.table import Table

from cacl.config import Config, SourceConfig
from cacl.diagnostics.check_result import CheckResult, CheckStatus, check
from cacl.diagnostics.slurm_check import check_slurm
from cacl.hpa.urls import CURRENT_HOST, release_host

PACKAGE = "cacl-atlas"
MIN_DISK_GB, ADVISED_DISK_GB = 1.0, 10.0
MIN_MEMORY_GB, ADVISED_MEMORY_GB = 2.0, 4.0
HOST_TIMEOUT_S = 10


def run_checks(
    folder: Path, settings: Config, profile: Mapping[str, Any] | None = None
) -> list[CheckResult]:
    """Run all checks and return their results.

    Parameters
    ----------
    folder
        The run's working directory.
    settings
        The configuration; the HPA host is contacted only if `source.kind` is `hpa`.
    profile
        A Snakemake profile as read from YAML; Slurm is checked if its executor is `slurm`.
    """
    results = [
        _check_python(),
        *_check_packages(_pinned_versions()),
        *_check_programs(),
        *_check_machine(folder),
        _check_gpu(),
    ]
    if settings.source.kind == "hpa":
        results.append(_check_host(settings.source))
    if profile is not None and profile.get("executor") == "slurm":
        results += check_slurm(profile)
    return results


def _check_python() -> CheckResult:
    version = ".".join(map(str, sys.version_info[:3]))
    remedy = "install Python 3.11 or newer: make PYTHON=python3.12 demo"
    return check("Python", sys.version_info >= (3, 11), version, remedy)


def _pinned_versions() -> dict[str, str]:
    """Return the versions in `constraints.txt` of a checkout; none for an installed package."""
    path = Path(__file__).parents[2] / "constraints.txt"
    if not path.exists():
        return {}
    lines = (line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    return {name.lower(): version for name, _, version in (line.partition("==") for line in lines)}


def _check_packages(pinned: Mapping[str, str]) -> Iterator[CheckResult]:
    requirements = [Requirement(line) for line in metadata.requires(PACKAGE) or []]
    required = [item for item in requirements if item.marker is None or item.marker.evaluate()]
    untested = []
    for requirement in required:
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            version = ""
        pin = pinned.get(requirement.name.lower(), version)
        if not requirement.specifier.contains(version or "0", prereleases=True) or not version:
            yield CheckResult(
                f"package {requirement.name}",
                CheckStatus.FAIL,
                f"{version or 'not installed'}, expected {requirement.specifier}",
                f"pip install --constraint constraints.txt '{requirement}'",
            )
        elif version.partition("+")[0] != pin.partition("+")[0]:
            untested.append(f"{requirement.name} {version}, tested {pin}")
    if untested:
        remedy = (
            "install the tested versions: pip install --constraint constraints.txt --editable ."
        )
        yield CheckResult("packages", CheckStatus.WARN, "; ".join(untested), remedy)
    else:
        yield CheckResult("packages", CheckStatus.OK, f"{len(required)} in the tested versions")


def _check_programs() -> Iterator[CheckResult]:
    for program in ("snakemake", "cacl"):
        # `cacl run` finds programs beside its interpreter too.
        search = os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", "")))
        path = shutil.which(program, path=search)
        remedy = "activate the environment: . .venv/bin/activate"
        yield check(f"program {program}", path is not None, path or "not on PATH", remedy)


def _check_machine(folder: Path) -> Iterator[CheckResult]:
    existing = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    writable = os.access(existing, os.W_OK)
    remedy = f"choose another folder with --directory, or: chmod u+w {existing}"
    yield check("folder", writable, f"{existing} {'' if writable else 'not '}writable", remedy)
    free_gb = shutil.disk_usage(existing).free / 1e9
    remedy = (
        "free some space or choose another --directory; `cacl estimate` says how much is needed"
    )
    yield _check_amount("disk", free_gb, MIN_DISK_GB, ADVISED_DISK_GB, "GB free", remedy)
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    remedy = "a job needs up to 2 GB: run fewer jobs at a time (snakemake --cores 1)"
    yield _check_amount("memory", memory_gb, MIN_MEMORY_GB, ADVISED_MEMORY_GB, "GB", remedy)
    cores = len(os.sched_getaffinity(0))
    yield CheckResult("CPU", CheckStatus.OK, f"{cores} cores for this process")


def _check_gpu() -> CheckResult:
    import torch

    if torch.cuda.is_available():
        return CheckResult("GPU", CheckStatus.OK, torch.cuda.get_device_name(0))
    cause = "PyTorch is built for CPUs" if torch.version.cuda is None else "CUDA finds no GPU"
    remedy = (
        "not needed for the demo or one tissue; for the whole HPA use a GPU and the CUDA build of "
        "PyTorch"
    )
    return CheckResult("GPU", CheckStatus.WARN, f"none ({cause})", remedy)


def _check_host(source: SourceConfig) -> CheckResult:
    release = release_host(source.hpa_version) if source.hpa_version else CURRENT_HOST
    url = source.host or f"https://{release}/"
    remedy = (
        f"open {url} in a browser; behind a proxy set HTTPS_PROXY; without a network use a "
        "mirror (source.kind: mirror)"
    )
    try:
        response = requests.head(url, timeout=HOST_TIMEOUT_S, allow_redirects=True)
    except requests.RequestException as error:
        return CheckResult("HPA host", CheckStatus.FAIL, f"{url}: {type(error).__name__}", remedy)
    status = response.status_code
    return check("HPA host", status < 400, f"{url} responds with HTTP {status}", remedy)


def _check_amount(
    name: str, value: float, minimum: float, advised: float, unit: str, remedy: str
) -> CheckResult:
    detail = f"{value:.1f} {unit}, at least {minimum:.0f} needed, {advised:.0f} or more advised"
    if value >= advised:
        return CheckResult(name, CheckStatus.OK, detail)
    status = CheckStatus.WARN if value >= minimum else CheckStatus.FAIL
    return CheckResult(name, status, detail, remedy)


def as_table(results: Sequence[CheckResult]) -> Table:
    """Return the results as a table for the terminal."""
    table = Table(title="Requirements of a run", show_lines=False)
    styles = {CheckStatus.OK: "green", CheckStatus.WARN: "yellow", CheckStatus.FAIL: "bold red"}
    for header in ("status", "check", "result", "remedy"):
        table.add_column(header, overflow="fold")
    for result in results:
        status = f"[{styles[result.status]}]{result.status}[/]"
        table.add_row(status, result.name, result.detail, result.remedy)
    return table
