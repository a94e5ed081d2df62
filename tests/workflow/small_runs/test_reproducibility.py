"""A run depends on its inputs, its settings and its seed, and on nothing else of the machine."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.fixtures.workflow import TINY, Workflow

NOT_COMPARED = {
    "results/model/speed.csv",
    "results/model/speed.csv.sha256",
    "results/attempts/acquire/0.json",
    "results/attempts/acquire/1.json",
}
"""Tiles per second of this run, and times of the images' files."""

ELSEWHERE = {
    "TZ": "Asia/Kathmandu",
    "LC_ALL": "C",
    "LANG": "tr_TR.UTF-8",
    "PYTHONHASHSEED": "4711",
    "USER": "somebody",
    "LOGNAME": "somebody",
    "COLUMNS": "40",
}


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each product by its path."""
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / "results").rglob("*"))
        if path.is_file() and (name := path.relative_to(folder).as_posix()) not in NOT_COMPARED
    }


@pytest.mark.timeout(1200)
def test_every_product_is_equal_in_another_folder_time_zone_locale_and_hash_seed(
    small_runs: Path, checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = digests(small_runs / "phantom")
    for name, value in ELSEWHERE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "somewhere else" / "Müller's run"
    folder.mkdir(parents=True)
    workflow = Workflow(checkout, folder)
    result = workflow("--configfile", workflow.configure(**TINY))
    assert result.returncode == 0, result.stderr
    elsewhere = digests(folder)
    assert len(here) > 100
    assert here.keys() == elsewhere.keys()
    assert [name for name in here if here[name] != elsewhere[name]] == []
