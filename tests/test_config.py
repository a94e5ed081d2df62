"""The configuration's models: defaults, errors, options, generated files, pinned dependencies."""

from __future__ import annotations

import ast
import difflib
import math
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cacl import config
from cacl.cli import config_docs
from cacl.config import Config, LabelsConfig, PhantomConfig, SourceConfig, TargetClass
from cacl.errors import ConfigError
from cacl.phantom import SETTINGS
from cacl.runtime.validation import json_schema
from cacl.runtime.yaml_io import read_yaml
from cacl.stain.config import StainConfig
from cacl.stain.vectors import REFERENCE, StainVectors

MAX_PARAMETERS = 8


def test_empty_configuration_is_the_demo_with_all_defaults() -> None:
    full = config.resolve({})
    assert full == Config()
    assert full.source.kind == "phantom"
    assert full.tiles.model_dump() == {
        "source_px": 375,
        "tile_px": 128,
        "min_tissue_fraction": 0.2,
    }
    assert full.seed == 0


def test_given_values_replace_defaults() -> None:
    full = config.resolve({"tiles": {"tile_px": 64}, "seed": 5})
    assert full.tiles.model_dump() == {"source_px": 375, "tile_px": 64, "min_tissue_fraction": 0.2}
    assert full.seed == 5


def test_configuration_is_frozen() -> None:
    full = config.resolve({})
    for section, key in ((full, "seed"), (full.tiles, "tile_px")):
        with pytest.raises(ValueError, match="frozen"):
            setattr(section, key, 1)


def test_every_key_has_a_description_and_a_valid_default() -> None:
    def walk(node: dict[str, Any], name: str) -> None:
        assert node.get("description"), f"{name} has no description"
        for key, child in node.get("properties", {}).items():
            assert "default" in child, f"{name}.{key} has no default"
            walk(child, f"{name}.{key}")
        if "properties" in node:
            assert node["additionalProperties"] is False, f"{name} accepts unknown keys"

    walk(json_schema(Config), "configuration")
    assert config.resolve(Config().model_dump()) == Config()


def stains(hematoxylin: list[float], dab: list[float]) -> dict[str, Any]:
    return {"vectors": {"hematoxylin": hematoxylin, "dab": dab}}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"sede": 1}, "the configuration: unknown key 'sede'; did you mean 'seed'?"),
        ({"tiles": {"tile_size": 1}}, "tiles: unknown key 'tile_size'; did you mean 'tile_px'?"),
        ({"segment": {"zzz": 1}}, "segment: unknown key 'zzz'; known keys: morphology, radius_px"),
        ({1: 2}, "the configuration: unknown key 1; known keys: source, phantom"),
        ({"tiles": {2: 3}}, "tiles: unknown key 2; known keys: source_px"),
        (
            {"seed": "x"},
            "seed: expected a whole number, at least 0, at most 4294967295; got 'x'",
        ),
        ({"seed": True}, "seed: expected a whole number, at least 0, at most 4294967295; got true"),
        ({"seed": 1.0}, "at most 4294967295; got 1.0 (Seed of every random choice"),
        ({"seed": math.nan}, "at most 4294967295; got nan"),
        ({"tiles": 3}, "tiles: expected a mapping of keys to values; got 3"),
        ({"tiles": None}, "tiles: expected a mapping of keys to values; got null"),
        ({"census": {"shards": 0}}, "census.shards: expected a whole number, at least 1"),
        ({"source": {"kind": "hpaa"}}, "source.kind: expected one of phantom, hpa, mirror"),
        ({"source": {"hpa_version": 23}}, "expected a release such as '23' or null; got 23"),
        ({"source": {"hpa_version": "v23"}}, "expected a release such as '23' or null; got 'v23'"),
        ({"source": {"host": "hpa"}}, "source.host: expected an address that starts with https://"),
        ({"source": {"genes": 3}}, "source.genes: expected a list of texts or a text; got 3"),
        ({"source": {"genes": ["SI", 1]}}, "source.genes[1]: expected a text; got 1"),
        ({"source": {"tissues": "colon"}}, "source.tissues: expected a list of texts; got 'colon'"),
        ({"source": {"mirror": 3}}, "source.mirror: expected a path or null; got 3"),
        ({"source": {"mirror": ""}}, "source.mirror: expected a path or null; got ''"),
        (
            {"source": {"requests_per_second": 0}},
            "source.requests_per_second: expected a number, above 0, at most 200; got 0",
        ),
        ({"source": {"requests_per_second": math.inf}}, "above 0, at most 200; got inf"),
        ({"source": {"requests_per_second": math.nan}}, "above 0, at most 200; got nan"),
        ({"source": {"requests_per_second": True}}, "above 0, at most 200; got true"),
        ({"tiles": {"min_tissue_fraction": "0.5"}}, "at least 0, at most 1; got '0.5'"),
        ({"tiles": {"tile_px": 100}}, "a multiple of 8; got 100"),
        ({"tiles": {"tile_px": 1000}}, "tile_px (1000) must be at most tiles.source_px (375)"),
        ({"source": {"kind": "hpa"}}, "genes: [SI, ANPEP, ALPI]"),
        ({"stain": {"vectors": "ruifrok"}}, "stain.vectors: expected fixed, estimated, or {hema"),
        ({"stain": {"vectors": None}}, "dab: [r, g, b]}; got None"),
        ({"stain": {"vectors": [[1, 2, 3], [3, 2, 1]]}}, "got [[1, 2, 3], [3, 2, 1]]"),
        ({"stain": {"vectors": {"dab": [1, 2, 3]}}}, "got {'dab': [1, 2, 3]}"),
        ({"stain": stains([1, 2, 3], [1, 2])}, "dab must be three optical densities, of red, gr"),
        ({"stain": stains([1, 2, True], [1, 2, 3])}, "hematoxylin must be three optical densities"),
        ({"stain": stains([-1, 2, 3], [1, 2, 3])}, "negative or not finite: (-1.0, 2.0, 3.0)"),
        ({"stain": stains([math.nan, 2, 3], [1, 2, 3])}, "hematoxylin has a density that is negat"),
        ({"stain": stains([0, 0, 0], [1, 2, 3])}, "hematoxylin has no density that can be used"),
        (
            {"stain": stains([1.7e308] * 3, [1, 2, 3])},
            "hematoxylin has no density that can be used",
        ),
        ({"stain": stains([10**400, 2, 3], [1, 2, 3])}, "a density is too large"),
        (
            {"stain": stains([1, 2, 3], [2, 4, 6.1])},
            "degrees, expected at least 5: stains of equal",
        ),
        ({"source": {"kind": "mirror"}}, "source:\n  kind: mirror\n  mirror: path/to/your/mirror"),
        ({"source": {"kind": "manifest"}}, "manifest: path/to/your/manifest"),
        ({"labels": {"positive": []}}, "labels.positive: expected a list of texts, at least 1"),
        ({"labels": {"positive": ["low"], "negative": ["Low"]}}, "['low'] cannot be both"),
        (
            {"labels": {"drawn": "strokes"}, "train": {"preset": "paper"}},
            "labels.drawn cannot be used with train.preset paper, which learns from labels of",
        ),
        (
            {"labels": {"drawn": "strokes"}, "train": {"model": "m"}},
            "labels.drawn cannot be used with train.model, which trains nothing; remove one",
        ),
        (
            {"train": {"start_from": "m", "model": "m"}},
            "train.start_from cannot be used with train.model, which trains nothing; remove one",
        ),
        (
            {"labels": {"classes": {"Brush Border": {"cell_type": "x"}}}},
            "labels.classes: the name 'Brush Border' cannot be used; expected a short lower-case",
        ),
        ({"labels": {"classes": {1: {"cell_type": "x"}}}}, "the name 1 cannot be used"),
        (
            {"labels": {"classes": {"a": {}}}},
            "labels.classes.a: the key 'cell_type' is missing; expected the name of a cell type",
        ),
        ({"labels": {"classes": {"a": {"cell_type": ""}}}}, "expected the name of a cell type"),
        (
            {"labels": {"classes": {"a": {"cell_type": "x", "shpae": "area"}}}},
            "labels.classes.a: unknown key 'shpae'; did you mean 'shape'?",
        ),
        (
            {"labels": {"classes": {"a": {"cell_type": "x", "shape": "dot"}}}},
            "labels.classes.a.shape: expected one of line, area; got 'dot'",
        ),
        (
            {"labels": {"classes": {chr(97 + n): {"cell_type": "x"} for n in range(9)}}},
            "labels.classes: expected a mapping of keys to values, at most 8 of them",
        ),
    ],
)
def test_invalid_configuration_is_reported_with_place_and_remedy(
    given: dict[Any, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        config.resolve(given)


def test_all_problems_are_reported_at_once_one_per_line() -> None:
    with pytest.raises(ConfigError) as caught:
        config.resolve({"sede": 1, "seed": -1, "tiles": {"tile_px": 1000}, "train": {"seeds": 0}})
    assert len(str(caught.value).splitlines()) == 4


def test_section_reports_problems_with_its_own_name() -> None:
    with pytest.raises(ConfigError, match=r"source\.kind: expected one of .*; got 'zoo'"):
        SourceConfig(kind="zoo")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"labels\.classes\.name: expected a short lower-case"):
        TargetClass(name="Zoo")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "manifest"}, "source.manifest is missing"),
        ({"kind": "mirror"}, "source.mirror is missing"),
        ({"kind": "phantom"}, "source.mirror is missing"),
        ({"kind": "hpa"}, "genes: [SI, ANPEP, ALPI]"),
    ],
)
def test_catalog_needs_a_folder_a_table_or_genes(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        SourceConfig(**options).check_catalogable()


def test_cli_args_leave_out_null_and_empty_values() -> None:
    source = SourceConfig(genes=("SI", "A B"), tissues=(), hpa_version=None)
    assert (
        source.cli_args("genes", "tissues", "mirror", "hpa_version") == "--genes SI --genes 'A B'"
    )
    assert config.resolve({}).tiles.cli_args("tile_px") == "--tile-px 128"


def test_single_gene_may_be_a_text() -> None:
    assert config.resolve({"source": {"genes": "all"}}).source.genes == ("all",)


def test_cell_type_is_that_of_the_first_class() -> None:
    classes = {"b": {"cell_type": " Goblet cells"}, "a": {"cell_type": "x", "shape": "area"}}
    labels = config.resolve({"labels": {"classes": classes}}).labels
    assert labels.cell_type == "goblet cells"
    assert labels.target_classes == (
        TargetClass(name="b", cell_type="goblet cells"),
        TargetClass(name="a", cell_type="x", shape="area"),
    )
    assert LabelsConfig().target_classes == ()


def test_phantom_settings_are_those_of_the_package() -> None:
    enum = json_schema(PhantomConfig)["properties"]["setting"]["enum"]
    assert sorted(enum) == sorted(SETTINGS)


def test_examples_are_valid(checkout: Path) -> None:
    paths = [checkout / "config/config.yaml", *(checkout / "config/examples").glob("*.yaml")]
    assert len(paths) >= 5
    for path in paths:
        config.load([path])


def test_files_are_merged_key_by_key(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text(yaml.safe_dump({"census": {"shards": 9}, "tiles": {"tile_px": 64}}))
    second.write_text(yaml.safe_dump({"tiles": {"source_px": 200}, "seed": 3}))
    merged = {
        "census": {"shards": 9},
        "tiles": {"tile_px": 64, "source_px": 200},
        "seed": 3,
    }
    assert config.load([first, second]) == config.resolve(merged)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("seed: 1\ntiles: {}\nseed: 2\n", "the key 'seed' is on line 1 and again on line 3"),
        ("tiles:\n  tile_px: 64\n  tile_px: 128\n", "'tile_px' is on line 2 and again on line 3"),
        ("[1, 2]", "holds no keys and values; see config/README.md"),
        ("seed: [", "cannot be read"),
        ("{[1]: 2}", "line 1: the key '[1]' is no text"),
        ("a: " * 3, "cannot be read"),
        ("seed: !!timestamp x", "a value does not fit its tag"),
        ("seed: !!bool x", "a value does not fit its tag"),
        ("seed: !!float ''", "a value does not fit its tag"),
        ("!!timestamp x: 1", "a value does not fit its tag"),
    ],
)
def test_unreadable_yaml_is_reported_with_its_path(
    tmp_path: Path, text: str, sentence: str
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(sentence)) as caught:
        config.load([path])
    assert str(path) in str(caught.value)


def test_yaml_merge_keys_may_override(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  x: 3\n")
    assert read_yaml(path) == {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}}
    path.write_text("# nothing\n")
    assert read_yaml(path) == {}


def test_import_of_the_configuration_is_cheap() -> None:
    heavy = "{'torch', 'dask', 'pandas', 'numpy', 'snakemake'}"
    code = f"import sys, cacl.config; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def assert_in_sync(actual: str, expected: str, name: str, remedy: str) -> None:
    lines = difflib.unified_diff(actual.splitlines(), expected.splitlines(), name, "expected")
    diff = "\n".join(lines)
    assert not diff, f"{diff}\n{name} is out of date; fix it with: {remedy}"


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("config/README.md", config_docs.readme),
        ("workflow/schemas/config.schema.yaml", config_docs.schema_yaml),
    ],
)
def test_generated_files_are_up_to_date(checkout: Path, name: str, write: Any) -> None:
    assert_in_sync((checkout / name).read_text(encoding="utf-8"), write(), name, "make docs")


def functions(checkout: Path) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield each public function and method of the package with its place."""
    for path in sorted((checkout / "cacl").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield f"{path.relative_to(checkout)}:{node.lineno} {node.name}", node


def test_public_functions_have_at_most_eight_parameters(checkout: Path) -> None:
    long = {}
    for place, node in functions(checkout):
        given = node.args
        names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
        count = len([name for name in names if name not in ("self", "cls")])
        if count > MAX_PARAMETERS:
            long[place] = count
    assert not long


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_environment_and_constraints_pin_all_dependencies(checkout: Path) -> None:
    lines = (checkout / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    versions = {canonical(name): version for name, version in pins.items()}
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    needs = sorted(canonical(re.split(r"[\[<>=,]", need)[0]) for need in project["dependencies"])
    listed = yaml.safe_load((checkout / "environment.yml").read_text())["dependencies"][-1]["pip"]
    want = "\n".join(f"{name}=={versions.get(name, 'no pin in constraints.txt')}" for name in needs)
    assert_in_sync("\n".join(listed), want, "environment.yml", "copy the lines marked +")
    extra = project["optional-dependencies"]["dev"]
    missing = [name for name in extra if canonical(name) not in versions]
    assert not missing, f"no pin in constraints.txt for {missing}"


def test_stain_vectors_are_normalised_and_reach_the_commands_as_given() -> None:
    assert config.resolve({}).stain.cli_args() == "--vectors fixed"
    given = config.resolve({"stain": stains([6, 6, 4], [3, 5, 8])}).stain
    vectors = given.vectors
    assert isinstance(vectors, StainVectors)
    assert vectors.hematoxylin == pytest.approx((0.6396, 0.6396, 0.4264))
    (_, text) = shlex.split(given.cli_args())
    assert StainConfig.model_validate({"vectors": text}) == given
    reference = config.resolve({"stain": stains([0.65, 0.704, 0.286], [0.268, 0.57, 0.776])})
    assert reference.stain.vectors is REFERENCE
