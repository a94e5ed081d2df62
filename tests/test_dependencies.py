"""Pinned dependencies: the lists agree, the lock has hashes, the audit says what it knows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

LOCK_ONLY = re.compile(r"(nvidia|cuda)-[a-z0-9-]+|triton|setuptools")
"""What PyPI's torch for Linux needs besides: CUDA, and setuptools, which pip installs itself."""

PIN = re.compile(r"^([a-zA-Z0-9._-]+)==(\S+)", re.MULTILINE)


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> dict[str, str]:
    return {canonical(name): version for name, version in PIN.findall(text)}


@pytest.fixture
def lock(checkout: Path) -> str:
    return (checkout / "requirements.lock").read_text()


def test_lock_has_the_versions_of_the_constraints(checkout: Path, lock: str) -> None:
    constraints = pins((checkout / "constraints.txt").read_text())
    locked = pins(lock)
    others = {name for name in locked.keys() - constraints.keys() if not LOCK_ONLY.fullmatch(name)}
    assert not others, f"run make lock, or pin {others} in constraints.txt"
    shared = locked.keys() & constraints.keys()
    assert {name: locked[name] for name in shared} == {name: constraints[name] for name in shared}


def test_lock_has_every_dependency_of_the_project(checkout: Path, lock: str) -> None:
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    needs = {canonical(re.split(r"[\[<>=,]", need)[0]) for need in project["dependencies"]}
    assert needs <= pins(lock).keys(), "run make lock"


def test_every_package_of_the_lock_has_hashes_and_no_address(lock: str) -> None:
    packages = re.split(r"\n(?=[a-zA-Z0-9])", lock.strip())[1:] if lock.startswith("#") else []
    packages = [package for package in packages if not package.startswith("#")]
    assert len(packages) == len(pins(lock)) > 100
    digest = re.compile(r"--hash=sha256:[0-9a-f]{64}")
    assert all(digest.search(package) for package in packages)
    assert "://" not in lock
    assert "index-url" not in lock
    assert "find-links" not in lock


PACKAGE = {"name": "requests", "version": "1.0", "vulns": []}
VULNERABLE = PACKAGE | {"vulns": [{"id": "CVE-1", "fix_versions": ["1.1"]}]}
UNKNOWN = {"name": "torch", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        ([PACKAGE], 0, "1 packages checked, 0 known vulnerabilities"),
        ([VULNERABLE], 1, "requests 1.0: CVE-1, fixed in 1.1"),
        ([VULNERABLE, UNKNOWN], 1, "::warning::1 packages were not checked: torch"),
        ([UNKNOWN], 0, "::warning::dependencies NOT CHECKED for vulnerabilities"),
        (None, 0, "::warning::dependencies NOT CHECKED for vulnerabilities"),
    ],
)
def test_audit_fails_for_a_vulnerability_and_warns_of_what_it_did_not_check(
    checkout: Path, tmp_path: Path, answer: list[dict[str, object]] | None, status: int, text: str
) -> None:
    """The audit runs with a program in place of pip-audit, whose database is not under test."""
    (tmp_path / "answer").write_text("" if answer is None else json.dumps({"dependencies": answer}))
    program = tmp_path / "pip-audit"
    program.write_text(f"#!/bin/sh\ncat {tmp_path / 'answer'}\n")
    program.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, checkout / ".ci" / "audit.py"],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == status
    assert text in done.stdout
