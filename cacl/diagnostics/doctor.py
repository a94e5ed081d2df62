"""Check what a run needs, and say the remedy for each miss."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import requests
from packaging.requirements import Requirement
from rich.table import Table

from cacl.config import Config, SourceConfig
from cacl.diagnostics.check_result import CheckStatus, Finding, judged
from cacl.diagnostics.slurm_check import slurm_findings
from cacl.hpa.urls import CURRENT_HOST, release_host

PACKAGE = "cacl-atlas"
DISK_NEEDED_GB, DISK_WANTED_GB = 1.0, 10.0
MEMORY_NEEDED_GB, MEMORY_WANTED_GB = 2.0, 4.0
SECONDS_FOR_THE_HOST = 10


def examine(
    folder: Path, settings: Config, profile: Mapping[str, Any] | None = None
) -> list[Finding]:
    """Return the findings of all checks.

    Parameters
    ----------
    folder
        The run's working directory.
    settings
        The configuration; the atlas's host is asked only if its source is `hpa`.
    profile
        A Snakemake profile as read from YAML; Slurm is asked if its executor is `slurm`.
    """
    findings = [*_python(), *_packages(_constraints()), *_programs(), *_machine(folder), _gpu()]
    if settings.source.kind == "hpa":
        findings.append(_host(settings.source))
    if profile is not None and profile.get("executor") == "slurm":
        findings += slurm_findings(profile)
    return findings


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    fine = sys.version_info >= (3, 11)
    remedy = "" if fine else "install Python 3.11 or newer: make PYTHON=python3.12 demo"
    yield Finding("Python", CheckStatus.OK if fine else CheckStatus.MISS, version, remedy)


def _constraints() -> dict[str, str]:
    """Return the pinned versions of a checkout; none for an installed package."""
    path = Path(__file__).parents[2] / "constraints.txt"
    if not path.exists():
        return {}
    lines = (line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    return {name.lower(): version for name, _, version in (line.partition("==") for line in lines)}


def _packages(pinned: Mapping[str, str]) -> Iterator[Finding]:
    wanted = [Requirement(line) for line in metadata.requires(PACKAGE) or []]
    needed = [one for one in wanted if one.marker is None or one.marker.evaluate()]
    differing = []
    for requirement in needed:
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            version = ""
        pin = pinned.get(requirement.name.lower(), version)
        if not requirement.specifier.contains(version or "0", prereleases=True) or not version:
            yield Finding(
                f"package {requirement.name}",
                CheckStatus.MISS,
                f"{version or 'not installed'}, expected {requirement.specifier}",
                f"pip install --constraint constraints.txt '{requirement}'",
            )
        elif version.partition("+")[0] != pin.partition("+")[0]:
            differing.append(f"{requirement.name} {version}, tested {pin}")
    remedy = "pip install --constraint constraints.txt --editable . brings the tested ones"
    verdict = CheckStatus.NOTE if differing else CheckStatus.OK
    words = "; ".join(differing) or f"{len(needed)} as tested"
    yield Finding("packages", verdict, words, remedy if differing else "")


def _programs() -> Iterator[Finding]:
    for program in ("snakemake", "cacl"):
        place = shutil.which(program)
        remedy = "activate the environment: . .venv/bin/activate"
        yield judged(f"program {program}", place is not None, place or "not on PATH", remedy)


def _machine(folder: Path) -> Iterator[Finding]:
    existing = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    writable = os.access(existing, os.W_OK)
    remedy = f"choose another folder with --directory, or: chmod u+w {existing}"
    yield judged("folder", writable, f"{existing} {'' if writable else 'not '}writable", remedy)
    free = shutil.disk_usage(existing).free / 1e9
    remedy = "free some space or choose another --directory; `cacl estimate` says how much it takes"
    yield _graded("disk", free, DISK_NEEDED_GB, DISK_WANTED_GB, "GB free", remedy)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    remedy = "a job needs up to 2 GB: run fewer at a time (snakemake --cores 1), or elsewhere"
    yield _graded("memory", memory, MEMORY_NEEDED_GB, MEMORY_WANTED_GB, "GB", remedy)
    yield Finding("CPU", CheckStatus.OK, f"{len(os.sched_getaffinity(0))} cores for this process")


def _gpu() -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding("GPU", CheckStatus.OK, torch.cuda.get_device_name(0))
    built = "this PyTorch is built for CPUs" if torch.version.cuda is None else "CUDA finds none"
    remedy = "fine for the demo and a tissue; for the atlas use one, and PyTorch's CUDA wheels"
    return Finding("GPU", CheckStatus.NOTE, f"none ({built})", remedy)


def _release_host(source: SourceConfig) -> str:
    return release_host(source.hpa_version) if source.hpa_version else CURRENT_HOST


def _host(source: SourceConfig) -> Finding:
    address = source.host or f"https://{_release_host(source)}/"
    remedy = (
        f"open {address} in a browser; behind a proxy set HTTPS_PROXY; without a network use a "
        "mirror (source.kind: mirror)"
    )
    try:
        answer = requests.head(address, timeout=SECONDS_FOR_THE_HOST, allow_redirects=True)
    except requests.RequestException as error:
        return Finding(
            "atlas's host", CheckStatus.MISS, f"{address}: {type(error).__name__}", remedy
        )
    words = f"{address} answers {answer.status_code}"
    return judged("atlas's host", answer.status_code < 400, words, remedy)


def _graded(
    what: str, value: float, needed: float, wanted: float, unit: str, remedy: str
) -> Finding:
    verdict = (
        CheckStatus.MISS
        if value < needed
        else CheckStatus.NOTE
        if value < wanted
        else CheckStatus.OK
    )
    words = f"{value:.1f} {unit}, at least {needed:.0f} needed, {wanted:.0f} or more advised"
    return Finding(what, verdict, words, "" if verdict is CheckStatus.OK else remedy)


def as_table(findings: Sequence[Finding]) -> Table:
    """Return findings as a table for the terminal."""
    table = Table(title="What a run needs", show_lines=False)
    styles = {CheckStatus.OK: "green", CheckStatus.NOTE: "yellow", CheckStatus.MISS: "bold red"}
    for name in ("", "what", "found", "remedy"):
        table.add_column(name, overflow="fold")
    for one in findings:
        table.add_row(f"[{styles[one.verdict]}]{one.verdict}[/]", one.what, one.found, one.remedy)
    return table
