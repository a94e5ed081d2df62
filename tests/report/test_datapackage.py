from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from frictionless import Package, system

from cacl.hpa.licence import SYNTHETIC
from cacl.report import datapackage, methods
from cacl.tables import dictionary
from tests.fixtures.reports import empty_atlas, hostile_atlas, run
from tests.fixtures.small_atlas import SmallAtlas, build

NAMES = [
    "antibodies",
    "genes",
    "disagreements",
    "review",
    "agreement",
    "images",
    "classes",
    "failures",
]


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> SmallAtlas:
    return hostile_atlas(tmp_path_factory.mktemp("atlas"))


def problems(folder: Path) -> list[str]:
    """Return what a validator of the specification finds wrong with a report's package."""
    with system.use_context(trusted=True):
        report = Package(str(folder / "datapackage.json")).validate()
    return [str(line) for line in report.flatten(["type", "note"])]


def described(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "datapackage.json").read_text(encoding="utf-8"))
    return found


def test_the_package_validates_and_names_every_column(atlas: SmallAtlas) -> None:
    folder = atlas.path("report")
    assert problems(folder) == []
    resources = {one["name"]: one for one in described(folder)["resources"]}
    assert list(resources) == NAMES
    for name, resource in resources.items():
        fields = resource["schema"]["fields"]
        columns = pd.read_csv(folder / f"{name}.csv", dtype="string").columns
        assert [field["name"] for field in fields] == list(columns)
        assert all(field["description"] for field in fields)
    ratio = next(
        field
        for field in resources["images"]["schema"]["fields"]
        if field["name"] == "stained_to_cell_ratio"
    )
    assert (ratio["type"], ratio["unit"]) == ("number", "0-1")
    assert ratio["constraints"] == {"minimum": 0, "maximum": 1}
    assert described(folder)["licenses"] == [
        {
            "name": "CC-BY-SA-4.0",
            "title": "CC BY-SA 4.0",
            "path": "https://creativecommons.org/licenses/by-sa/4.0/",
        }
    ]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [("0.375,", "37.5,", "constraint-error"), ("HPA000002", "HPA000001", "unique-error")],
)
def test_the_package_notices_a_damaged_table(
    atlas: SmallAtlas, tmp_path: Path, old: str, new: str, problem: str
) -> None:
    folder = tmp_path / "report"
    shutil.copytree(atlas.path("report"), folder)
    table = folder / "antibodies.csv"
    table.write_text(table.read_text().replace(old, new, 1))
    found = problems(folder)
    assert any(problem in line for line in found)
    assert any("hash" in line or "bytes" in line for line in found)


def test_the_package_of_nothing_validates(tmp_path: Path) -> None:
    folder = run(empty_atlas(tmp_path))
    assert problems(folder) == []
    assert "licenses" not in described(folder)


def test_synthetic_images_are_not_credited_to_the_atlas() -> None:
    row = {"image_id": "a/b", "hpa_version": "23", "licence": SYNTHETIC}
    catalog = pd.DataFrame([row])
    assert datapackage.licences(catalog) == []
    assert datapackage.sources(catalog) == []
    assert not methods.has_atlas_images(catalog)
    assert methods.credit_lines(catalog) == [
        "1 image: synthetic, drawn by this software; nobody's tissue."
    ]
    assert methods.has_atlas_images(catalog.assign(licence="CC BY-SA 4.0"))


@pytest.mark.parametrize(
    "name",
    ["MARCH1", "Sept2", "DEC1", "MARC1", "OCT4", "Apr-3", "2E10", "AGO2", "SEP 15", "dec1"],
)
def test_names_that_excel_changes(name: str) -> None:
    assert dictionary.date_like_names([name]) == [name]
    assert any(name in note for note in dictionary.reading_notes([name, "SI"]))


def test_names_that_excel_leaves_alone() -> None:
    safe = ["MARCHF1", "SEPTIN2", "DELEC1", "MTARC1", "SI", "HPA000001", "DECR1", "AGO", "MAY", ""]
    assert dictionary.date_like_names(safe) == []
    assert any("no gene has a name" in note for note in dictionary.reading_notes(safe))
    assert dictionary.formula_like_names(["=1+1", "@x", "SI"]) == ["=1+1", "@x"]


def test_the_csv_reads_back_as_it_is(atlas: SmallAtlas) -> None:
    data = (atlas.path("report") / "antibodies.csv").read_bytes()
    assert not data.startswith(b"\xef\xbb\xbf")
    assert b"\r" not in data
    frame = pd.read_csv(atlas.path("report") / "antibodies.csv", keep_default_na=False)
    assert frame["stained_to_cell_ratio"].tolist()[:2] == [0.375, 0.25]


def test_the_dictionary_lists_every_column(atlas: SmallAtlas) -> None:
    text = (atlas.path("report") / "columns.md").read_text(encoding="utf-8")
    for table in dictionary.report_tables("x"):
        assert f"## `{table.name}.csv`" in text
        for field in dataclasses.fields(table.record):
            assert f"| `{field.name}` |" in text
    for line in text.splitlines():
        if line.startswith("| `"):
            assert len(re.split(r"(?<!\\)\|", line)) == 6


def test_methods_say_what_was_done_with_what(atlas: SmallAtlas) -> None:
    text = (atlas.path("report") / "methods.md").read_text(encoding="utf-8")
    for part in (
        "10 images of 9 antibodies were measured, each cut into tiles of 32 px",
        "followed by a dilation of radius 1 px",
        "images left out: 2",
        "model: robust",
        "10 images: Human Protein Atlas, release 23; licence: CC BY-SA 4.0.",
        "arXiv:2011.00794",
        "Science 2015",
        "torch 2.",
    ):
        assert part in text
    assert "\u00a0" not in text


def test_what_methods_cite_is_in_the_references(atlas: SmallAtlas) -> None:
    text = (atlas.path("report") / "methods.md").read_text(encoding="utf-8")
    paragraph, references = text.split("## References")
    cited = re.findall(r"([A-Z]\w+)(?: & \w+| et al\.)?,? (\d{4})\b", paragraph)
    assert len(cited) >= 9
    for author, year in cited:
        assert any(
            author in line and (year in line or "arXiv" in line) for line in references.splitlines()
        ), (author, year)


def test_several_tissues_are_told_in_methods(tmp_path: Path) -> None:
    atlas = build(tmp_path, [])
    atlas.measure()
    images = pd.DataFrame({"tissue": ["colon", "duodenum"]})
    assert "tau" in methods._tissues(images)[0]
    assert methods._tissues(images[:1]) == []
