"""The catalog has every table and every script that writes one, with arguments that parse."""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from benchmarks._lib.catalog import ENTRIES, PAINTED, TABLES, Entry, entry_of
from benchmarks._lib.make_table import command_of
from benchmarks._lib.needs import NEEDS, Tools
from benchmarks._lib.sources import SourceTree
from benchmarks._lib.status import Place

WRITER = re.compile(r"^    +write_table\(", re.MULTILINE)
PLACE = Place(Path("results"), Path("runs"), Tools(tiatoolbox=Path("python")))


class ParsedError(Exception):
    """A script has read its command line."""


def test_every_table_has_an_entry(checkout: Path) -> None:
    written = {path.name for path in (checkout / "benchmarks" / "results").iterdir()}
    assert not written - set(TABLES), "add an entry to benchmarks/_lib/catalog.py"


def test_every_script_that_writes_a_table_has_an_entry(checkout: Path) -> None:
    folder = checkout / "benchmarks"
    scripts = {
        ".".join(path.relative_to(checkout).with_suffix("").parts)
        for path in folder.rglob("*.py")
        if WRITER.search(path.read_text(encoding="utf-8"))
    }
    assert scripts == {entry.module for entry in ENTRIES}


def test_no_table_has_two_entries() -> None:
    assert len(TABLES) == sum(len(entry.tables) for entry in ENTRIES)


def test_needs_and_sources_exist() -> None:
    tree = SourceTree()
    assert {need for entry in ENTRIES for need in entry.needs} == set(NEEDS)
    assert all(len(entry.digest(tree)) == 16 for entry in ENTRIES)


def test_entries_of_one_script_are_told_apart_by_the_table() -> None:
    teacher = entry_of("benchmarks.ablation.ablation", "ablation_teacher.md")
    other = entry_of("benchmarks.ablation.ablation", "elsewhere.md")
    assert (teacher and teacher.name, other and other.name) == (
        "ablation_teacher.md",
        "ablation.md",
    )
    assert entry_of("pytest", "quality.md") is None


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
@pytest.mark.parametrize("quick", [False, True], ids=["table", "quick"])
def test_script_parses_the_arguments(
    entry: Entry, quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real parser of the script reads them; the script stops there."""
    parse_args = argparse.ArgumentParser.parse_args

    def stop(parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> NoReturn:
        options: Any = parse_args(parser, arguments)
        raise ParsedError(options)

    command = [sys.executable, "-m", entry.module, *entry.words(_values(entry), quick=quick)]
    if not entry.launcher:
        assert command_of(entry, PLACE, "digest", quick=quick) == command
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    monkeypatch.setattr(sys, "argv", command[2:])
    with pytest.raises(ParsedError):
        importlib.import_module(entry.module).main()


def _values(entry: Entry) -> dict[str, str]:
    stem = entry.name.removesuffix(".md")
    return {
        "runs": "runs",
        "work": f"runs/work/{stem}-digest",
        "painted": f"runs/work/real_tissue-{PAINTED.digest(SourceTree())}",
        "tiatoolbox": "python",
        "former": "runs/work/former_shard.py",
    }
