"""The picture and the table of the rules are those of the workflow."""

from __future__ import annotations

import re
from pathlib import Path

from lxml import etree

from tests.fixtures.workflow import Workflow

SVG = "{http://www.w3.org/2000/svg}"
Edges = set[tuple[str, str]]


def edges_of_workflow(checkout: Path, folder: Path) -> Edges:
    """Return the arrows of `snakemake --rulegraph` in the default configuration."""
    done = Workflow(checkout, folder)("--rulegraph", "dot", "--forceall")
    assert done.returncode == 0, done.stderr
    names = dict(re.findall(r'^\s*(\d+)\[label = "(\w+)"', done.stdout, re.MULTILINE))
    arrows = re.findall(r"^\s*(\d+) -> (\d+)", done.stdout, re.MULTILINE)
    return {(names[start], names[end]) for start, end in arrows}


def edges_of_picture(picture: Path) -> Edges:
    """Return the arrows of an SVG of Graphviz, whose titles are the ids of nodes and arrows."""
    names, arrows = {}, []
    for group in etree.parse(str(picture)).iter(f"{SVG}g"):
        title = group.findtext(f"{SVG}title", "")
        if group.get("class") == "node":
            names[title] = group.findtext(f"{SVG}text", "")
        if group.get("class") == "edge":
            arrows.append(title.split("->"))
    return {(names[start], names[end]) for start, end in arrows}


def test_picture_shows_the_rules_of_the_workflow(checkout: Path, tmp_path: Path) -> None:
    expected = edges_of_workflow(checkout, tmp_path)
    assert ("train", "segment") in expected
    shown = edges_of_picture(checkout / "docs" / "rulegraph.svg")
    assert shown == expected, "the rules have changed: run make rulegraph"


def test_documentation_lists_every_rule_and_its_file(checkout: Path) -> None:
    text = (checkout / "workflow" / "documentation.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(\w+)` \| `(\w+\.smk)` \|", text, re.MULTILINE))
    rules = {
        (name, file.name)
        for file in (checkout / "workflow" / "rules").glob("*.smk")
        for name in re.findall(r"^(?:rule|checkpoint) (\w+):", file.read_text(), re.MULTILINE)
    }
    assert listed == rules


def test_links_of_the_documentation_resolve(checkout: Path) -> None:
    page = checkout / "workflow" / "documentation.md"
    targets = re.findall(r"\]\(([^)#:\s]+)\)", page.read_text(encoding="utf-8"))
    assert len(targets) == 2
    assert all((page.parent / target).exists() for target in targets)
