"""Control characters in names reach neither the terminal nor the lines of a log."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cacl import tables
from cacl.report.terminal import top_antibodies
from cacl.runtime.printable import LogFormatter, one_line, printable
from cacl.tables.schemas import AntibodyRow
from tests.fixtures.hpa_server import antibody_xml, gene_xml
from tests.fixtures.reports import antibody

pytestmark = pytest.mark.slow

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
HOSTILE = "\x1b]0;title\x07\x9b31mred\u202e"
AREAS = {"cell_area_px": 3, "stained_area_px": 1}
FORGED = "2026-01-01 00:00:00,000 ERROR forged"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Sücrase-isomaltase µm ✓", "Sücrase-isomaltase µm ✓"),
        ("two\nlines", "two\nlines"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\rb\tc\0", "a\\rb\\tc\\x00"),
        ("\x9b31m", "\\x9b31m"),
        ("right\u202eleft", "right\\u202eleft"),
        ("line\u2028line", "line\\u2028line"),
        ("\udcff", "\\udcff"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert one_line(text) == shown.replace("\n", "\\n")


def test_a_name_cannot_forge_a_line_of_the_log() -> None:
    record = logging.LogRecord("x", logging.WARNING, "", 0, "gene %s", (f"SI\n{FORGED}",), None)
    lines = LogFormatter("%(levelname)s %(message)s").format(record).splitlines()
    assert lines == ["WARNING gene SI", f"    {FORGED}"]


def catalog(folder: Path, *options: str) -> str:
    """Run `cacl catalog` on a mirror of one gene; return all it prints."""
    host = folder / "host"
    host.mkdir()
    antibody_text = antibody_xml("HPA\u009b31m1", ("http://v23.proteinatlas.org/images/1/a.jpg",))
    (host / "ENSG00000090402.xml").write_text(gene_xml(antibodies=(antibody_text,)), "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "cacl", "catalog", "--out", "catalog", "--failures", "failures.csv",
         "--kind", "mirror", "--mirror", "host", *options],
        cwd=folder, capture_output=True, check=False,
    )  # fmt: skip
    return (done.stdout + done.stderr).decode()


def test_catalog_prints_names_without_escape_sequences(tmp_path: Path) -> None:
    printed = catalog(
        tmp_path, "--genes", f"{HOSTILE}X", "--genes", f"A\n{FORGED}", "--genes", "SI"
    )
    assert "title" in printed
    assert "forged" in printed
    assert not CONTROL.search(printed)
    assert not re.search(rf"^{re.escape(FORGED)}", printed, re.MULTILINE)


def test_an_error_prints_a_path_without_escape_sequences(tmp_path: Path) -> None:
    printed = catalog(tmp_path, "--genes", f"{HOSTILE}.txt")
    assert "title" in printed
    assert not CONTROL.search(printed)


def test_top_prints_names_without_escape_sequences_and_markup(tmp_path: Path) -> None:
    from rich.console import Console

    rows = [
        antibody(
            "HPA000001", 0.1, gene=f"{HOSTILE}[red]x[/red][/]", label="[link=http://x]y", **AREAS
        )
    ]
    tables.write_parquet(tmp_path / "antibodies.parquet", rows, AntibodyRow)
    console = Console(width=300, record=True, force_terminal=False)
    with console.capture() as captured:
        console.print(top_antibodies(tmp_path, 1))
    printed = captured.get()
    assert "[red]x[/red][/]" in printed
    assert "[link=http://x]y" in printed
    assert not CONTROL.search(printed)
