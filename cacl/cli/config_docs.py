"""The files that are generated from the configuration's models: JSON schema and README."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from cacl.config import Config
from cacl.runtime.validation import allowed, json_schema

GENERATED = "Generated from cacl/config.py by `make docs`; edit that file."
README_HEAD = f"""\
# Configuration

{GENERATED}

The configuration says what to compute. Threads, memory, GPU and partition belong to `profiles/`.
Relative paths resolve against the working directory (`snakemake --directory`), those in a manifest
against its folder. Several `--configfile`s are merged; the last one wins, key by key. A key that a
file has twice is an error.
"""


def schema_yaml() -> str:
    """Return `config.schema.yaml`: the JSON schema, for editors and other tools."""
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "CaCL Atlas configuration",
    }
    body = yaml.safe_dump(head | json_schema(Config), sort_keys=False, width=98)
    return f"# {GENERATED}\n{body}"


def readme() -> str:
    """Return `config/README.md`: every key with its meaning, unit, range and default."""
    lines = [README_HEAD]
    for name, node in json_schema(Config)["properties"].items():
        lines += [f"## `{name}`", "", _cell(node["description"]), ""]
        if "properties" in node:
            lines += ["| key | default | allowed | meaning |", "|---|---|---|---|"]
            lines += [_row(key, child) for key, child in node["properties"].items()]
        else:
            lines += [f"Default `{_yaml(node['default'])}`, {allowed(node)}."]
        lines.append("")
    return "\n".join(lines)


def _row(key: str, node: Mapping[str, Any]) -> str:
    unit = f" [{node['unit']}]" if "unit" in node else ""
    cells = [f"`{key}`{unit}", f"`{_yaml(node['default'])}`", allowed(node), node["description"]]
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _yaml(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text: str = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return text.removesuffix("\n").removesuffix("...").strip()
