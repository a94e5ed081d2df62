"""Digests that decide which rules run again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cacl import config, tables
from cacl.diagnostics.workflow_triggers import (
    content_digest,
    file_digest,
    files_digest,
    folder_digest,
    training_settings,
)
from cacl.hpa.gene_list_files import list_files
from cacl.runtime.step_versions import STEP_VERSIONS
from cacl.tables.schemas import ImageRow
from tests.fixtures.model_atlas import image_row


def make_newer(path: Path) -> None:
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 10**9))


def test_digest_of_a_table_depends_on_the_columns_that_matter(tmp_path: Path) -> None:
    path = tmp_path / "images.parquet"
    before: list[str] = []
    for label in ("positive", "negative"):
        tables.write_parquet(path, [image_row("HPA000001/a", label)], ImageRow)
        make_newer(path)
        before += [content_digest([path]), content_digest([path], ["image_id"])]
    assert before[0] != before[2]
    assert before[1] == before[3]


def test_damaged_table_has_a_digest_and_is_left_to_the_step_that_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "images.parquet"
    missing = content_digest([path])
    path.write_bytes(b"PAR1")
    assert content_digest([path]) not in ("", missing)


def test_digest_of_files_is_that_of_their_bytes_and_not_of_their_times(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_text("a")
    before = files_digest([path, other])
    make_newer(path)
    assert files_digest([path, other]) == before
    assert files_digest([other, path]) != before
    other.write_text("a")
    assert files_digest([path, other]) != before
    assert file_digest(tmp_path / "missing") == ""


def test_digest_of_a_folder_is_that_of_names_sizes_and_times(tmp_path: Path) -> None:
    path = tmp_path / "ENSG1.xml"
    path.write_text("a")
    before = folder_digest([path])
    assert folder_digest([path]) == before
    make_newer(path)
    newer = folder_digest([path])
    path.unlink()
    assert len({before, newer, folder_digest([path]), folder_digest([])}) == 4


def test_content_of_overrides_is_a_setting_of_the_training(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("image_id,label\na,positive\n")
    settings = config.resolve({"labels": {"overrides": str(path)}})
    before = training_settings(settings)
    path.write_text("image_id,label\na,negative\n")
    make_newer(path)
    assert training_settings(settings) != before


@pytest.mark.parametrize(
    ("step", "sections", "counts"),
    [
        ("catalog", {}, True),
        ("tile", {}, True),
        ("phantom", {}, True),
        ("phantom", {"source": {"kind": "mirror", "mirror": "mirror"}}, False),
        ("estimate_stain", {"stain": {"vectors": "estimated"}}, True),
        ("estimate_stain", {}, False),
        ("segment", {}, False),
    ],
)
def test_versions_of_the_steps_before_the_training_are_settings_of_it(
    step: str, sections: dict[str, Any], counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config.resolve(sections)
    before = training_settings(settings)
    monkeypatch.setitem(STEP_VERSIONS, step, STEP_VERSIONS[step] + 1)
    assert (training_settings(settings) != before) is counts


@pytest.mark.parametrize(
    ("names", "files"),
    [
        (["SI", "genes.txt", "./lists/a"], ["genes.txt", "lists/a"]),
        ([" GENES.CSV ", ""], ["GENES.CSV"]),
        (["genes.txt", "all"], []),
        ([], []),
    ],
)
def test_names_that_are_lists(names: list[str], files: list[str]) -> None:
    assert list_files(names) == [Path(name) for name in files]


def test_name_of_an_existing_file_is_a_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert list_files(["mygenes"]) == []
    Path("mygenes").write_text("SI\n")
    assert list_files(["mygenes"]) == [Path("mygenes")]
