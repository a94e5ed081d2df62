"""`cacl run`: what a person sees of a run, of its failure, and of what is refused before it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cacl.config import resolve
from cacl.diagnostics.run_source import CATALOG, record_source
from cacl.diagnostics.workflow_lock import LOCKS


def cacl(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `cacl` in a folder; the environment has no PATH to the programs of this one."""
    environment = os.environ | {"PATH": "/usr/bin:/bin", "COLUMNS": "200"}
    command = [sys.executable, "-m", "cacl", *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=280, env=environment
    )


def refused(folder: Path, *arguments: str) -> str:
    """Run `cacl run`, which must end before Snakemake starts, and return its sentence."""
    result = cacl(folder, "run", *arguments)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert not (folder / ".snakemake/log").exists()
    (line,) = result.stderr.splitlines()
    return line


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """A folder with the configuration of the demo."""
    assert cacl(tmp_path, "init", "demo").returncode == 0
    return tmp_path


def test_further_arguments_reach_snakemake_unchanged(demo: Path) -> None:
    result = cacl(demo, "run", "--", "--dry-run", "--until", "acquire")
    assert result.returncode == 0, result.stderr
    counts = dict(line.split() for line in result.stdout.splitlines() if len(line.split()) == 2)
    assert (counts["phantom"], counts["acquire"], counts["total"]) == ("1", "4", "6")
    assert not (demo / "results").exists()


def test_lock_of_a_dead_process_is_explained_and_removed(demo: Path) -> None:
    (demo / LOCKS).mkdir(parents=True)
    (demo / LOCKS / "0.input.lock").write_text("x\n")
    result = cacl(demo, "run", "--", "--dry-run")
    assert result.returncode == 0, result.stderr
    assert "The lock of a run that was killed is removed" in result.stderr
    assert not list((demo / LOCKS).glob("*.lock"))


def test_example_that_was_not_edited_names_what_is_missing(tmp_path: Path) -> None:
    assert cacl(tmp_path, "init", "manifest").returncode == 0
    sentence = refused(tmp_path)
    assert "Error: None of the 3 images in manifest.csv exists, the first of them " in sentence


def test_images_that_all_fail_are_named_before_the_training(tmp_path: Path) -> None:
    assert cacl(tmp_path, "init", "manifest").returncode == 0
    (tmp_path / "images").mkdir()
    for number in (1, 2, 3):
        (tmp_path / "images" / f"core-{number}.jpg").write_text("no image")
    result = cacl(tmp_path, "run", "--cores", "1")
    assert result.returncode == 1
    shown = result.stderr
    assert "acquire: 1 of 1 job, done in " in shown
    (error,) = (line for line in shown.splitlines() if line.startswith("Error: "))
    assert error.startswith("Error: select: All images labelled positive (1) failed in an earlier")
    assert "(log: logs/select.log)" in error
    assert "run the same command again: it continues" in shown
    assert "Snakemake's log: " in shown
    assert "rule " not in shown
    assert "Traceback" not in shown


def test_what_is_refused_is_one_sentence(demo: Path) -> None:
    assert "Error: There is no profile 'nosuch'" in refused(demo, "--profile", "nosuch")
    (demo / "typo.yaml").write_text("tiles: {tile_pix: 64}\n")
    assert "did you mean 'tile_px'?" in refused(demo, "--configfile", "typo.yaml")
    assert "Error: There is no configuration " in refused(demo, "--configfile", "none.yaml")
    (demo / CATALOG).parent.mkdir(parents=True)
    (demo / CATALOG).touch()
    record_source(demo, resolve({"source": {"kind": "manifest", "manifest": "x"}}).source)
    assert "holds the results of another source (source.kind manifest)" in refused(demo)


def test_empty_folder_is_told_how_to_start(tmp_path: Path) -> None:
    assert "`cacl init manifest` (your own images)" in refused(tmp_path)
