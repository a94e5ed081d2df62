"""Read YAML files, and refuse keys that occur twice."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from cacl.errors import ConfigError

MERGE_TAG = "tag:yaml.org,2002:merge"


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that raises where a mapping has a key twice; YAML itself keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        lines: dict[Hashable, int] = {}
        for key_node, _ in node.value:
            key = None if key_node.tag == MERGE_TAG else self.construct_object(key_node, deep=True)
            if key_node.tag == MERGE_TAG or not isinstance(key, Hashable):
                continue
            line = key_node.start_mark.line + 1
            if key in lines:
                raise ConfigError(
                    f"the key {key!r} is on line {lines[key]} and again on line {line}; "
                    "remove one of them"
                )
            lines[key] = line
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[Any, Any]:
    """Return the mapping that a YAML file holds; an empty one for an empty file.

    Raises
    ------
    ConfigError
        The file cannot be read, is not a mapping, or has a key twice (with both line numbers).
    """
    try:
        # A subclass of SafeLoader, which builds plain values only.
        loaded = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeyLoader)  # noqa: S506
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"The configuration {path} cannot be read: {error}") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path} holds no keys and values; see config/README.md")
    return loaded


def read_merged(paths: Sequence[Path]) -> dict[Any, Any]:
    """Return YAML files merged as Snakemake merges them: the last one wins, key by key.

    Raises
    ------
    ConfigError
        As for `read_yaml`.
    """
    merged: dict[Any, Any] = {}
    for path in paths:
        _merge(merged, read_yaml(path))
    return merged


def _merge(into: dict[Any, Any], values: Mapping[Any, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
