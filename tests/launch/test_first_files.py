"""`cacl init`: what it writes is valid, complete, and never replaces a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cacl.cli import app
from cacl.config import Config, load, resolve
from cacl.hpa.gene_list import read_gene_list
from cacl.hpa.manifest import read_manifest
from cacl.launch.first_files import commented_config, write_first_files
from cacl.runtime.validation import json_schema
from cacl.runtime.yaml_io import read_yaml

KINDS = ("manifest", "hpa", "demo")


@pytest.mark.parametrize("kind", KINDS)
def test_configuration_is_valid_as_it_is_and_with_every_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for each in write_first_files(kind, Path()):  # type: ignore[arg-type]
        assert each.stat().st_size > 0
    config = load([Path("cacl.yaml")])
    assert config.source.kind == ("phantom" if kind == "demo" else kind)
    text = Path("cacl.yaml").read_text()
    everything = re.sub(r"^( *)#(?=\w)", r"\1", text, flags=re.MULTILINE)
    Path("all.yaml").write_text(everything)
    assert load([Path("all.yaml")]) == config
    assert len(read_yaml(Path("all.yaml"))) > len(read_yaml(Path("cacl.yaml")))


def test_every_key_of_the_training_is_named_with_its_description() -> None:
    text, node = commented_config("manifest"), json_schema(Config)["properties"]["train"]
    words = " ".join(re.sub(r"^ *# ", " ", text, flags=re.MULTILINE).split())
    for key, child in node["properties"].items():
        assert re.search(rf"^  #{key}: ", text, re.MULTILINE), key
        assert " ".join(child["description"].split()) in words


def test_example_manifest_is_read(tmp_path: Path) -> None:
    write_first_files("manifest", tmp_path)
    rows = read_manifest(tmp_path / "manifest.csv")
    assert [(row.antibody_id, row.label) for row in rows] == [
        ("AB0001", "positive"),
        ("AB0002", "negative"),
        ("AB0003", ""),
    ]


def test_example_genes_are_read(tmp_path: Path) -> None:
    write_first_files("hpa", tmp_path)
    assert read_gene_list(tmp_path / "genes.csv")[:3] == ["SI", "ANPEP", "ALPI"]


def test_profile_of_a_cluster_is_that_of_the_workflow(checkout: Path, tmp_path: Path) -> None:
    (path,) = write_first_files("slurm", tmp_path)
    assert path == tmp_path / "profiles/slurm-gpu/config.yaml"
    assert path.read_bytes() == (checkout / "profiles/slurm-gpu/config.yaml").read_bytes()


@pytest.mark.parametrize("existing", ["cacl.yaml", "manifest.csv"])
def test_nothing_is_written_beside_a_file_that_exists(tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).write_text("mine")
    result = CliRunner().invoke(app, ["init", "manifest", "--directory", str(tmp_path)])
    assert result.exit_code == 1
    assert f"Error: {tmp_path / existing}: already there and not overwritten" in result.output
    assert [path.name for path in tmp_path.iterdir()] == [existing]
    assert (tmp_path / existing).read_text() == "mine"


def test_defaults_in_comments_are_those_of_the_configuration() -> None:
    text = commented_config("hpa")
    (line,) = re.findall(r"^  #max_tiles: (.*)$", text, re.MULTILINE)
    default = resolve({"source": {"kind": "hpa", "genes": ["SI"]}}).train.max_tiles
    assert yaml.safe_load(line) == default
