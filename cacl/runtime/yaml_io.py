"""Read YAML files; refuse keys that occur twice, and files that no configuration needs to be."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from cacl.errors import ConfigError

MAX_BYTES = 8 * 2**20
MAX_DEPTH = 40
MAX_VALUES = 500_000
MERGE_TAG = "tag:yaml.org,2002:merge"
INT_TAG = "tag:yaml.org,2002:int"
FLOAT_TAG = "tag:yaml.org,2002:float"
TAG_ERRORS = (ArithmeticError, AttributeError, LookupError)
"""What PyYAML raises, besides its own errors, for values such as `!!bool x` or `!!timestamp x`."""


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that raises where YAML would take something else than what is written.

    YAML itself keeps the last of two equal keys, and reads `010` as 8 and `1:30` as 90.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return a mapping whose keys are different texts."""
        lines: dict[Hashable, int] = {}
        for key_node, _ in node.value:
            key = None if key_node.tag == MERGE_TAG else self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if key_node.tag == MERGE_TAG:
                continue
            if not isinstance(key, str):
                raise ConfigError(
                    f"line {line}: the key {str(key)[:50]!r} is no text; keys are names such as "
                    "source"
                )
            if key in lines:
                raise ConfigError(
                    f"the key {key!r} is on line {lines[key]} and again on line {line}; "
                    "remove one of them"
                )
            lines[key] = line
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> int:
        """Return a whole number that is written in plain digits."""
        text = str(node.value)
        digits = text.lstrip("+-")
        if not digits.isdecimal() or (digits.startswith("0") and digits != "0"):
            line = node.start_mark.line + 1
            raise ConfigError(
                f"line {line}: {text[:50]!r} is read as {int(super().construct_yaml_int(node))}; "
                "write a number in plain digits, or a text in quotes"
            )
        if len(digits) > 18:
            raise ConfigError(
                f"line {node.start_mark.line + 1}: the number {text[:50]} has {len(digits)} digits"
            )
        return int(text)

    def construct_decimal(self, node: yaml.ScalarNode) -> float:
        """Return a number that is not written as hours and minutes (1:30.5) or in groups."""
        text = str(node.value)
        if ":" in text or "_" in text:
            line = node.start_mark.line + 1
            raise ConfigError(
                f"line {line}: {text[:50]!r} is read as {super().construct_yaml_float(node):g}; "
                "write a number in plain digits, or a text in quotes"
            )
        return float(super().construct_yaml_float(node))


_StrictLoader.add_constructor(INT_TAG, _StrictLoader.construct_number)
_StrictLoader.add_constructor(FLOAT_TAG, _StrictLoader.construct_decimal)


def read_yaml(path: Path) -> dict[Any, Any]:
    """Return the mapping that a YAML file holds; an empty one for an empty file.

    Raises
    ------
    ConfigError
        The file cannot be read, is not UTF-8, is not a mapping, has a key twice (with both line
        numbers) or one that is no text, a number in another form than plain digits, or more
        values than a configuration has (aliases count as often as they are used).
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(
                f"{path} has {path.stat().st_size:,} bytes; a configuration has at most "
                f"{MAX_BYTES:,}: write long lists of genes into a file of their own"
            )
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"The configuration {path} is not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"The configuration {path} cannot be read: {error}") from error
    try:
        loaded = _load(text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"The configuration {path} cannot be read: {_reason(error)}") from error
    except TAG_ERRORS as error:
        raise ConfigError(
            f"The configuration {path} cannot be read: a value does not fit its tag, such as "
            "!!bool x; write it without the tag"
        ) from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path} holds no keys and values; see config/README.md")
    return loaded


def _load(text: str) -> Any:
    loader = _StrictLoader(text)
    try:
        _check_depth(loader)
        loader = _StrictLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _count_values(node, {}, ())
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_depth(loader: _StrictLoader) -> None:
    """Raise for nesting that would exhaust the stack of the parser."""
    depth = 0
    while loader.check_event():
        event: yaml.Event = loader.get_event()  # type: ignore[no-untyped-call]
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            line = event.start_mark.line + 1 if event.start_mark else 0
            raise ConfigError(
                f"line {line} is nested more than {MAX_DEPTH} levels deep; a "
                "configuration has at most 4"
            )


def _count_values(node: yaml.Node, counted: dict[int, int], above: tuple[int, ...]) -> int:
    """Return how many values a node holds when its aliases are written out.

    Raises
    ------
    ConfigError
        They are more than `MAX_VALUES`, or an alias contains itself.
    """
    key, line = id(node), node.start_mark.line + 1
    if key in above:
        raise ConfigError(f"line {line}: the value contains itself through an alias; write it out")
    if key not in counted:
        children: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            children = list(node.value)
        elif isinstance(node, yaml.MappingNode):
            children = [each for pair in node.value for each in pair]
        counted[key] = 1 + sum(_count_values(child, counted, (*above, key)) for child in children)
    if counted[key] > MAX_VALUES:
        raise ConfigError(
            f"line {line}: more than {MAX_VALUES:,} values, with aliases written out; write long "
            "lists of genes into a file of their own"
        )
    return counted[key]


def _reason(error: Exception) -> str:
    """Return an error of the YAML parser in one line, with the line in the file."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    if mark is None:
        return str(problem)
    hint = "; indent with spaces, not tabs" if "\\t" in str(problem) else ""
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}{hint}"


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
