from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest
from typer.testing import CliRunner

from cacl import __version__, config, tables
from cacl.cli import app
from cacl.tables.schemas import AntibodyRow

COMMANDS = [command.name or command.callback.__name__ for command in app.registered_commands]


def words(text: str) -> str:
    return " ".join(re.sub(r"[^\x20-\x7e]+", " ", text).split())


def test_all_steps_are_commands() -> None:
    steps = "phantom catalog acquire tile select train segment measure report benchmark"
    assert set(steps.split()) <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example_of_the_command_itself(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    example = re.search(r"Example: cacl (\S+)(.*?) Options", words(result.output))
    assert example is not None
    assert example[1] == command
    for flag in re.findall(r"--[a-z-]+", example[2]):
        assert flag in result.output


def test_what_flags_leave_out_means_nothing_to_a_command() -> None:
    nothing = (None, [], ())
    keys = {
        name: node["default"]
        for section in config.schema()["properties"].values()
        for name, node in section.get("properties", {}).items()
        if "null" in node["type"] or ("array" in node["type"] and not node.get("minItems"))
    }
    found = set()
    for command in app.registered_commands:
        for name, parameter in inspect.signature(command.callback).parameters.items():
            if name in keys and command.callback.__name__ != "phantom":
                assert parameter.default in nothing, f"{command.callback.__name__} --{name}"
                found.add(name)
    assert {"hpa_version", "tissues", "mirror", "overrides", "max_steps"} <= found


def test_version() -> None:
    assert __version__ in CliRunner().invoke(app, ["--version"]).output


def test_help_imports_neither_torch_nor_dask() -> None:
    code = "import sys, cacl.cli; sys.exit(bool({'torch', 'dask', 'zarr'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_error_is_one_sentence_and_exit_status_one(tmp_path: Path) -> None:
    options = {
        "--acquired": tmp_path / "none.parquet",
        "--store": tmp_path / "atlas.zarr",
        "--out": tmp_path / "out.parquet",
        "--failures": tmp_path / "failures.csv",
    }
    arguments = [str(part) for pair in options.items() for part in pair]
    result = CliRunner().invoke(app, ["tile", *arguments])
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert f"Error: The table {tmp_path / 'none.parquet'} is missing" in result.output


def test_top_prints_the_first_antibodies_and_where_the_report_is(tmp_path: Path) -> None:
    hints = get_type_hints(AntibodyRow)
    texts = {name: "" if hints[name] is str else None for name in hints}
    numbers = dict.fromkeys(("images", "patients", "cell_area_px", "stained_area_px"), 3)
    rates = {"stained_to_cell_ratio": 0.0512, "ratio_low": 0.04, "ratio_high": 0.0678}
    empty = dict.fromkeys(("border_share", "z", "p_value", "q_value"), None)
    rows = [
        AntibodyRow(
            **(texts | numbers | rates | empty)
            | {"rank": rank, "antibody_id": f"HPA00000{rank}", "label": "positive"}
        )
        for rank in (1, 2, 3)
    ]
    tables.write_parquet(tmp_path / "antibodies.parquet", rows, AntibodyRow)
    result = CliRunner().invoke(app, ["top", "--report", str(tmp_path), "--count", "2"])
    assert result.exit_code == 0
    assert "HPA000002" in result.output
    assert "HPA000003" not in result.output
    assert "5.12 %" in result.output
    assert str(tmp_path / "report.html") in words(result.output).replace(" ", "")
