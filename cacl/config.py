"""The configuration: one JSON schema, its defaults, its errors, its documentation."""

from __future__ import annotations

import difflib
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from cacl.errors import ConfigError

SCHEMA_NAME = "config.schema.yaml"


@cache
def schema() -> dict[str, Any]:
    """Return the JSON schema of the configuration, the one source of defaults."""
    packaged = Path(str(resources.files("cacl"))) / SCHEMA_NAME
    checkout = Path(__file__).parents[1] / "workflow" / "schemas" / SCHEMA_NAME
    place = packaged if packaged.exists() else checkout
    loaded: dict[str, Any] = yaml.safe_load(place.read_text(encoding="utf-8"))
    return loaded


def default(dotted: str) -> Any:
    """Return a key's default, such as `default("tiles.tile_px")`."""
    node = schema()
    for name in dotted.split("."):
        node = node["properties"][name]
    return node["default"]


def resolve(config: Mapping[str, Any]) -> dict[str, Any]:
    """Check a configuration and return it with every default filled in.

    Parameters
    ----------
    config
        Nested mapping as read from YAML; any key may be missing.

    Returns
    -------
    The same with every key; `labels.cell_type` is the first class's where there are classes.

    Raises
    ------
    ConfigError
        Unknown key (the nearest one is suggested), wrong type, value out of range, or values that
        contradict each other. Every problem is named, one a line.
    """
    problems = [
        sentence
        for error in jsonschema.Draft202012Validator(schema()).iter_errors(dict(config))
        for sentence in _sentences(error)
    ]
    if problems:
        raise ConfigError("\n".join(sorted(problems)))
    full: dict[str, Any] = _with_defaults(schema(), config)
    _check_together(full)
    first = next(iter(full["labels"]["classes"].values()), None)
    if first:
        full["labels"]["cell_type"] = first["cell_type"]
    return full


def load(paths: Sequence[Path]) -> dict[str, Any]:
    """Return configuration files merged as Snakemake merges them: the last one wins, key by key.

    Raises
    ------
    ConfigError
        A file is missing, or no YAML mapping.
    """
    merged: dict[str, Any] = {}
    for path in paths:
        try:
            loaded = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise ConfigError(f"The configuration {path} cannot be read: {error}") from error
        if not isinstance(loaded, dict):
            raise ConfigError(f"{path} holds no keys and values; see config/README.md")
        for key, value in loaded.items():
            both = isinstance(value, dict) and isinstance(merged.get(key), dict)
            merged[key] = merged[key] | value if both else value
    return merged


def flags(section: Mapping[str, Any]) -> str:
    """Return a section as options of the command that takes it: `--tile-px 128 ...`.

    Lists become repeated options, and so do mappings, as `name=<JSON>`. Null and empty ones are
    left out, and to every command an option that is left out means null or an empty list.
    """
    return " ".join(_flags(section))


def _flags(section: Mapping[str, Any]) -> Iterator[str]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            value = [f"{name}={json.dumps(one)}" for name, one in value.items()]
        values = value if isinstance(value, list) else [value]
        for item in values:
            if item is not None:
                yield f"--{key.replace('_', '-')} {shlex.quote(str(item))}"


def _with_defaults(node: Mapping[str, Any], value: Any) -> Any:
    if "properties" not in node:
        each = node.get("additionalProperties")
        if isinstance(each, dict):
            return {name: _with_defaults(each, one) for name, one in value.items()}
        return value
    return {
        name: _with_defaults(child, value.get(name, child["default"]))
        for name, child in node["properties"].items()
    }


def _sentences(error: jsonschema.ValidationError) -> Iterator[str]:
    where = ".".join(str(part) for part in error.absolute_path) or "the configuration"
    node: Any = error.schema
    given: Any = error.instance
    if error.validator == "additionalProperties":
        known = list(node["properties"])
        for name in sorted(set(given) - set(known)):
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
            yield f"{where}: unknown key {name!r}; {hint}"
    else:
        meaning = " ".join(str(node.get("description", "")).split())
        yield f"{where}: {error.message}" + (f" ({meaning})" if meaning else "")


def _check_together(config: Mapping[str, Any]) -> None:
    tiles, source = config["tiles"], config["source"]
    if tiles["tile_px"] > tiles["source_px"]:
        raise ConfigError(
            f"tiles.tile_px ({tiles['tile_px']}) must be at most tiles.source_px "
            f"({tiles['source_px']}): tiles are made smaller, never enlarged"
        )
    for kind in ("mirror", "manifest"):
        if source["kind"] == kind and not source[kind]:
            raise ConfigError(
                f"source.kind is {kind} but source.{kind} is missing; write\n"
                f"source:\n  kind: {kind}\n  {kind}: path/to/your/{kind}"
            )
    if source["kind"] == "hpa" and not (source["genes"] or source["antibodies"]):
        raise ConfigError(
            "source.kind is hpa but neither genes nor antibodies are named; write\n"
            "source:\n  kind: hpa\n  genes: [SI, ANPEP, ALPI]   # or a file, or all"
        )
    both = set(config["labels"]["positive"]) & set(config["labels"]["negative"])
    if both:
        raise ConfigError(f"labels: {sorted(both)} cannot be both positive and negative")


def documentation() -> str:
    """Return `config/README.md`: every key with its meaning, unit, range and default."""
    lines = [
        "# Configuration",
        "",
        "Generated from `workflow/schemas/config.schema.yaml` by `make docs`; edit that file.",
        "",
        "Config says what to measure. Threads, memory, GPU and partition live in `profiles/`.",
        "Relative paths resolve against the working directory (`snakemake --directory`), those",
        "in a manifest against its folder. Several `--configfile`s merge, the last one wins.",
        "",
    ]
    for name, node in schema()["properties"].items():
        lines += [f"## `{name}`", "", _cell(node["description"]), ""]
        if "properties" in node:
            lines += ["| key | default | allowed | meaning |", "|---|---|---|---|"]
            lines += [_row(key, child) for key, child in node["properties"].items()]
        else:
            lines += [f"Default `{_yaml(node['default'])}`, {_allowed(node)}."]
        lines.append("")
    return "\n".join(lines)


def _row(key: str, node: Mapping[str, Any]) -> str:
    unit = f" [{node['unit']}]" if "unit" in node else ""
    cells = [f"`{key}`{unit}", f"`{_yaml(node['default'])}`", _allowed(node)]
    return "| " + " | ".join([*cells, _cell(node["description"])]) + " |"


def _allowed(node: Mapping[str, Any]) -> str:
    if "enum" in node:
        return " or ".join(f"`{value}`" for value in node["enum"])
    types = node["type"] if isinstance(node["type"], list) else [node["type"]]
    bounds = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "multipleOf": "a multiple of",
    }
    parts = [f"{words} {node[key]}" for key, words in bounds.items() if key in node]
    return ", ".join([" or ".join(types), *parts])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _yaml(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True)
    return text.removesuffix("\n").removesuffix("...").strip()
