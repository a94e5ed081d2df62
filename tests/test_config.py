from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from cacl import config
from cacl.errors import ConfigError


def test_an_empty_configuration_is_the_demo_with_every_default() -> None:
    full = config.resolve({})
    assert full["source"]["kind"] == "phantom"
    assert full["tiles"] == {"source_px": 375, "tile_px": 128, "min_tissue_fraction": 0.2}
    assert full["seed"] == 0


def test_what_is_given_wins_and_the_rest_keeps_its_default() -> None:
    full = config.resolve({"tiles": {"tile_px": 64}, "seed": 5})
    assert full["tiles"] == {"source_px": 375, "tile_px": 64, "min_tissue_fraction": 0.2}
    assert full["seed"] == 5


def test_every_key_says_what_it_means_and_has_a_valid_default() -> None:
    def walk(node: dict[str, Any], name: str) -> None:
        assert node.get("description"), f"{name} has no description"
        for key, child in node.get("properties", {}).items():
            assert "default" in child, f"{name}.{key} has no default"
            walk(child, f"{name}.{key}")
        if "properties" in node:
            assert node["additionalProperties"] is False, f"{name} accepts unknown keys"

    walk(config.schema(), "configuration")
    config.resolve(config.resolve({}))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"sede": 1}, "unknown key 'sede'; did you mean 'seed'?"),
        ({"tiles": {"tile_size": 1}}, "tiles: unknown key 'tile_size'; did you mean 'tile_px'?"),
        ({"segment": {"zzz": 1}}, "segment: unknown key 'zzz'; known keys: morphology, radius_px"),
        ({"seed": "one"}, "seed: 'one' is not of type 'integer'"),
        ({"tiles": 3}, "tiles: 3 is not of type 'object'"),
        ({"census": {"shards": 0}}, "census.shards: 0 is less than the minimum of 1"),
        ({"source": {"kind": "hpaa"}}, "source.kind: 'hpaa' is not one of"),
        ({"tiles": {"tile_px": 1000}}, "tile_px (1000) must be at most tiles.source_px (375)"),
        ({"source": {"kind": "hpa"}}, "genes: [SI, ANPEP, ALPI]"),
        ({"source": {"kind": "mirror"}}, "source:\n  kind: mirror\n  mirror: path/to/your/mirror"),
        ({"source": {"kind": "manifest"}}, "manifest: path/to/your/manifest"),
        ({"labels": {"positive": ["low"], "negative": ["low"]}}, "['low'] cannot be both"),
    ],
)
def test_bad_configurations_say_what_to_write(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        config.resolve(given)


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        config.resolve({"sede": 1, "seed": -1})
    assert len(str(caught.value).splitlines()) == 2


def test_flags_are_the_options_of_the_commands() -> None:
    section = {"tile_px": 128, "mirror": None, "genes": ["SI", "A B"], "none": []}
    assert config.flags(section) == "--tile-px 128 --genes SI --genes 'A B'"


def test_examples_are_valid(checkout: Path) -> None:
    paths = [checkout / "config/config.yaml", *(checkout / "config/examples").glob("*.yaml")]
    assert len(paths) >= 5
    for path in paths:
        config.resolve(yaml.safe_load(path.read_text()))


def in_step(have: str, want: str, name: str, remedy: str) -> None:
    diff = "\n".join(difflib.unified_diff(have.splitlines(), want.splitlines(), name, "wanted"))
    assert not diff, f"{diff}\n{name} is out of step; mend it with: {remedy}"


def test_config_readme_is_in_step_with_the_schema(checkout: Path) -> None:
    have = (checkout / "config/README.md").read_text()
    in_step(have, config.documentation(), "config/README.md", "make docs")


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_environment_and_constraints_pin_what_the_project_needs(checkout: Path) -> None:
    lines = (checkout / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    versions = {canonical(name): version for name, version in pins.items()}
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    needs = sorted(canonical(re.split(r"[\[<>=,]", need)[0]) for need in project["dependencies"])
    listed = yaml.safe_load((checkout / "environment.yml").read_text())["dependencies"][-1]["pip"]
    want = "\n".join(f"{name}=={versions.get(name, 'no pin in constraints.txt')}" for name in needs)
    in_step("\n".join(listed), want, "environment.yml", "copy the lines marked +")
    extra = project["optional-dependencies"]["dev"]
    missing = [name for name in extra if canonical(name) not in versions]
    assert not missing, f"no pin in constraints.txt for {missing}"
