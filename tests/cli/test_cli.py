from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import typer
from typer.testing import CliRunner

from cacl import __version__, tables
from cacl.cli import app
from cacl.cli.options import with_config_options
from cacl.config import Config, LabelsConfig, resolve
from cacl.runtime.validation import json_schema
from cacl.tables.schemas import AntibodyRow

COMMANDS = [str(command.name) for command in app.registered_commands]


def words(text: str) -> str:
    return " ".join(re.sub(r"[^\x20-\x7e]+", " ", text).split())


def test_every_step_is_a_command() -> None:
    steps = "phantom catalog acquire tile select train segment measure report benchmark"
    others = {"estimate-stain", "benchmark-data", "train-classifier"}
    assert {*steps.split(), *others} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example_of_the_command_itself(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    example = re.search(r"Example: cacl (\S+)(.*?) Options", words(result.output))
    assert example is not None
    assert example[1] == command
    for flag in re.findall(r"--[a-z-]+", example[2]):
        assert flag in result.output


def derived_options() -> Iterator[tuple[str, dict[str, Any], inspect.Parameter]]:
    """Yield the options that a key of the configuration gives: their place, schema, parameter."""
    sections = json_schema(Config)["properties"].values()
    keys = [item for node in sections for item in node.get("properties", {}).items()]
    keys.append(("seed", json_schema(Config)["properties"]["seed"]))
    for command in app.registered_commands:
        assert command.callback is not None
        for name, parameter in inspect.signature(command.callback).parameters.items():
            text = str(get_args(parameter.annotation)[1].help)
            for key, node in keys:
                if key == name and text.startswith(node["description"]):
                    yield f"{command.name} --{name}", node, parameter


def test_every_key_is_an_option_of_a_command() -> None:
    """All but `train.model` are derived: `cacl reuse-model` has an option of its own for it."""
    places = {place.partition("--")[2] for place, _, _ in derived_options()} | {"model"}
    schema = json_schema(Config)["properties"].values()
    assert places == {"seed", *(key for node in schema for key in node.get("properties", {}))}


def test_left_out_options_mean_null_or_empty_as_cli_args_assumes() -> None:
    for place, node, parameter in derived_options():
        if "null" in node["type"] or ("array" in node["type"] and not node.get("minItems")):
            assert parameter.default in (None, []), place
        else:
            assert parameter.default == (node["default"] or []) or node["default"] == 0, place


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--classes", "nucleus"], "expected NAME={...}"),
        (["--classes", "nucleus=7"], "expected NAME={...}"),
        (["--classes", 'nucleus={"cell_type": 3}'], "got 3"),
        (["--classes", 'a={"stain": "x"}'], "unknown key 'stain'"),
        (["--classes", 'Nucleus={"cell_type": "x"}'], "the name 'Nucleus' cannot be used"),
        (["--classes", '../x={"cell_type": "x"}'], "the name '../x' cannot be used"),
        (["--classes", "nucleus={}"], "the key 'cell_type' is missing"),
        (["--classes", 'a={"cell_type": "x", "shape": "dot"}'], "one of line, area; got 'dot'"),
        (["--classes", 'a={"cell_type": "x"}'] * 2, "--classes names 'a' twice"),
        (["--host", "hpa"], "source.host: expected an address that starts with https://"),
        (["--hpa-version", "v23"], "expected a release such as '23' or null; got 'v23'"),
        (["--positive", "low", "--negative", "low"], "cannot be both positive and negative"),
    ],
)
def test_invalid_options_are_reported_as_in_the_configuration(
    tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    fixed = ["--out", str(tmp_path), "--failures", str(tmp_path / "f.csv")]
    result = CliRunner().invoke(app, ["catalog", *fixed, *arguments])
    assert result.exit_code == 1
    assert sentence in result.output


def test_classes_reach_a_command_in_order() -> None:
    received = []

    def command(labels: LabelsConfig) -> None:
        received.append(labels)

    entries = {"b": {"cell_type": "enterocytes"}, "a": {"cell_type": "X y", "shape": "area"}}
    labels = resolve({"labels": {"classes": entries}}).labels
    probe = typer.Typer()
    command.__annotations__["labels"] = LabelsConfig
    probe.command()(with_config_options(command))
    result = CliRunner().invoke(probe, shlex.split(labels.cli_args()))
    assert result.exit_code == 0, result.output
    assert received == [labels]
    assert list(received[0].classes) == ["b", "a"]


def test_version_is_printed() -> None:
    assert __version__ in CliRunner().invoke(app, ["--version"]).output


def test_help_imports_no_heavy_package() -> None:
    heavy = "{'torch', 'dask', 'zarr', 'pandas', 'numpy'}"
    code = f"import sys, cacl.cli; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_error_is_one_sentence_with_exit_status_one(tmp_path: Path) -> None:
    paths = {
        "--acquired": tmp_path / "none.parquet",
        "--store": tmp_path / "atlas.zarr",
        "--out": tmp_path / "out.parquet",
        "--failures": tmp_path / "failures.csv",
    }
    arguments = [str(part) for pair in paths.items() for part in pair]
    result = CliRunner().invoke(app, ["tile", *arguments])
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert f"Error: The table {tmp_path / 'none.parquet'} is missing" in result.output


def test_top_prints_first_antibodies_and_path_of_report(tmp_path: Path) -> None:
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
