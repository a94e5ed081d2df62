"""The guides name commands, configurations and products that exist."""

from __future__ import annotations

import re
import shlex
import textwrap
from pathlib import Path

import yaml
from typer.main import get_command

from cacl import config
from cacl.cli import app
from cacl.tables.dictionary import report_tables

GUIDES = (
    "own_images",
    "hpa_gene_list",
    "whole_atlas_slurm",
    "qupath_round_trip",
    "use_a_trained_model",
    "add_a_tissue",
    "evaluate_on_own_masks",
)
PARTS = ("## What you need", "## What can go wrong")
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
BESIDE_THE_RULES = {
    "results/benchmark/table.html": "cacl/steps/benchmark.py",
    "results/controls/limits.csv": "cacl/steps/controls.py",
}
"""Products that a step writes into a folder of its rule."""


def pages(checkout: Path) -> list[Path]:
    """Return every page of the site that a person writes."""
    return sorted((checkout / "docs").rglob("*.md"))


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return [textwrap.dedent(found[3]) for found in FENCE.finditer(text) if found[2] == language]


def test_every_guide_has_its_parts_and_its_line_in_the_navigation(checkout: Path) -> None:
    navigation = (checkout / "mkdocs.yml").read_text(encoding="utf-8")
    written = {path.stem for path in (checkout / "docs/guides").glob("*.md")}
    assert set(GUIDES) <= written
    assert [name for name in sorted(written) if f": guides/{name}.md" not in navigation] == []
    for name in GUIDES:
        text = (checkout / f"docs/guides/{name}.md").read_text(encoding="utf-8")
        assert [part for part in PARTS if part not in text] == [], name
        assert "../faq.md#" in text


def test_commands_in_blocks_parse(checkout: Path) -> None:
    lines = []
    for page in pages(checkout):
        for block in blocks(page, "console") + blocks(page, ""):
            lines += re.findall(r"^(?:\$ )?(cacl [a-z].*)$", block, re.MULTILINE)
    assert len(lines) > 20
    for line in lines:
        parse(line, is_complete=True)


def test_commands_in_the_text_exist(checkout: Path) -> None:
    lines = [
        line
        for page in pages(checkout)
        for line in re.findall(r"`(cacl [a-z][^`]*)`", page.read_text(encoding="utf-8"))
        if "<" not in line and "..." not in line
    ]
    assert len(lines) > 50
    for line in lines:
        parse(line, is_complete=False)


def parse(line: str, *, is_complete: bool) -> None:
    """Parse a command of `cacl`; one in a sentence may lack values that the command needs."""
    words = shlex.split(line, comments=True)[1:]
    assert words[0] in COMMANDS, line
    if "--help" not in words:
        COMMANDS[words[0]].make_context(line, words[1:], resilient_parsing=not is_complete)


def test_configurations_are_valid(checkout: Path) -> None:
    documents = [block for page in pages(checkout) for block in blocks(page, "yaml")]
    assert len(documents) >= 9
    for block in documents:
        config.resolve(yaml.safe_load(block))


def test_products_exist(checkout: Path) -> None:
    rules = "".join(path.read_text("utf-8") for path in (checkout / "workflow").rglob("*.smk"))
    tables = {f"results/report/{table.name}.csv" for table in report_tables("any")}
    for product, module in BESIDE_THE_RULES.items():
        assert (checkout / module).exists()
        assert product.rsplit("/", 1)[0] in rules
    for name in GUIDES:
        text = (checkout / f"docs/guides/{name}.md").read_text(encoding="utf-8")
        for product in re.findall(r"(?<![/\w])results/[\w./]+", text):
            path = product.rstrip(".")
            known = path in tables or path in BESIDE_THE_RULES or path in rules
            assert known, f"{name}: {path}"


def test_guides_name_no_placeholder(checkout: Path) -> None:
    for page in pages(checkout):
        text = page.read_text(encoding="utf-8")
        assert "@@" not in text, page.name
        assert "/tmp/" not in text, page.name
