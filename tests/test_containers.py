"""The recipes of the containers, without an engine: what they copy is enough to install."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COPY = re.compile(r"^COPY (.+) (\S+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def copied(checkout: Path) -> list[tuple[str, str]]:
    """Source and target of every file that the image gets, relative to its working directory."""
    text = (checkout / "containers" / "Dockerfile").read_text()
    return [
        (source, target) for sources, target in COPY.findall(text) for source in sources.split()
    ]


def test_apptainer_copies_the_same_files(checkout: Path, copied: list[tuple[str, str]]) -> None:
    text = (checkout / "containers" / "apptainer.def").read_text()
    files = text.split("%files\n")[1].split("\n\n")[0].splitlines()
    sources = [name for line in files for name in line.split()[:-1]]
    assert sorted(sources) == sorted(source for source, _ in copied)


def test_the_ignored_files_are_not_copied(checkout: Path, copied: list[tuple[str, str]]) -> None:
    allowed = re.findall(r"^!(.+)$", (checkout / ".dockerignore").read_text(), re.MULTILINE)
    assert sorted(allowed) == sorted(source for source, _ in copied)


@pytest.mark.slow
def test_copied_files_install_and_bring_the_workflow(
    checkout: Path, copied: list[tuple[str, str]], tmp_path: Path
) -> None:
    context, site = tmp_path / "context", tmp_path / "site"
    context.mkdir()
    for source, target in copied:
        if (checkout / source).is_dir():
            shutil.copytree(checkout / source, context / target)
        else:
            shutil.copy(checkout / source, context / target)
    uv = [sys.executable, "-m", "uv", "pip", "install", "--offline", "--no-deps"]
    command = [*uv, "--no-build-isolation", "--python", sys.executable, "--target", site, context]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    code = "import cacl, pathlib; print(pathlib.Path(cacl.__file__).parent)"
    folder = subprocess.check_output(
        [sys.executable, "-c", code], text=True, cwd=tmp_path, env={"PYTHONPATH": str(site)}
    )
    assert Path(folder.strip()) == site / "cacl"
    assert (site / "cacl/workflow_files/workflow/Snakefile").is_file()
