"""The first run of `.test`, for all tests of this folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.fixtures.workflow import TINY, Workflow, read_sections


@pytest.fixture(scope="package")
def small_runs(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `.test` in which `phantom` is finished; tests must not change it."""
    runs = tmp_path_factory.mktemp("small") / "runs"
    shutil.copytree(checkout / ".test", runs)
    folder = runs / "phantom"
    assert read_sections(folder / "config.yaml") == {"source": {"kind": "phantom"}} | TINY
    done = Workflow(checkout, folder)("--configfile", folder / "config.yaml")
    assert done.returncode == 0, done.stderr
    return runs
