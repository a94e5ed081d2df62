"""Types of configuration values, JSON schemas of models, and sentences for their errors."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ValidationError


def to_tuple(value: Any) -> Any:
    """Return a list as a tuple, other values unchanged."""
    return tuple(value) if isinstance(value, list) else value


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, str) else to_tuple(value)


def _to_path(value: Any) -> Any:
    return Path(value) if isinstance(value, str) and value.strip() else value


def _normalise(text: str) -> str:
    return text.strip().lower()


Texts = Annotated[tuple[str, ...], BeforeValidator(to_tuple)]
TextOrTexts = Annotated[
    tuple[str, ...], BeforeValidator(_one_or_more, json_schema_input_type=tuple[str, ...] | str)
]
FilePath = Annotated[Path, BeforeValidator(_to_path)]
AnyCase = Annotated[str, AfterValidator(_normalise)]

BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "multipleOf": "a multiple of {}",
    "minItems": "at least {} of them",
    "maxProperties": "at most {} of them",
}
TYPE_NAMES = {
    "array": "a list of texts",
    "numbers": "a list of numbers",
    "string": "a text",
    "object": "a mapping of keys to values",
    "integer": "a whole number",
    "number": "a number",
    "path": "a path",
}
MAX_SHOWN = 100


@cache
def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return a model's JSON schema with the definitions of nested models in place."""
    raw = model.model_json_schema()
    tidy: dict[str, Any] = _tidy(raw, raw.get("$defs", {}))
    return tidy


def _tidy(node: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(node, list):
        return [_tidy(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: value for key, value in node.items() if key not in ("title", "$defs")}
    if "$ref" in node:
        node = {**definitions[node.pop("$ref").rsplit("/", 1)[-1]], **node}
        node.pop("title", None)
    if "properties" in node:
        properties = node["properties"].items()
        node["properties"] = {name: _tidy(child, definitions) for name, child in properties}
        if "default" in node:
            node["default"] = {}
    if "anyOf" in node:
        options = node.pop("anyOf")
        node["type"] = [option["type"] for option in options]
        node |= {key: value for option in options for key, value in option.items() if key != "type"}
    for pattern, child in node.pop("patternProperties", {}).items():
        node |= {"propertyNames": {"pattern": pattern}, "additionalProperties": child}
    return {
        key: value if key in ("properties", "default") else _tidy(value, definitions)
        for key, value in node.items()
    }


def allowed(node: Mapping[str, Any]) -> str:
    """Return in words which values a node of a schema allows."""
    if "enum" in node:
        return f"one of {', '.join(map(str, node['enum']))}"
    types = node["type"] if isinstance(node["type"], list) else [node["type"]]
    first = node.get("format", types[0])
    if types[0] == "array" and node.get("items", {}).get("type") == "number":
        first = "numbers"
    names = [node.get("form") or TYPE_NAMES.get(first, first)]
    names += [TYPE_NAMES.get(name, name) for name in types[1:]]
    bounds = [text.format(_number(node[key])) for key, text in BOUNDS.items() if key in node]
    return ", ".join([" or ".join(names), *bounds])


def error_sentences(model: type[BaseModel], error: ValidationError, path: str = "") -> str:
    """Return one line per problem: where, what is expected and got, and what the key means.

    Parameters
    ----------
    model
        The model that was validated.
    error
        What pydantic raised.
    path
        Where the model's values are in the configuration, such as `tiles`.
    """
    lines = [_sentence(json_schema(model), problem, path) for problem in error.errors()]
    return "\n".join(sorted(dict.fromkeys(lines)))


def _sentence(schema: Mapping[str, Any], problem: Mapping[str, Any], path: str) -> str:
    kind, location, value = problem["type"], problem["loc"], problem["input"]
    if kind == "value_error":
        return f"{_where(location, path)}: {problem['ctx']['error']}"
    if kind in ("extra_forbidden", "invalid_key"):
        return _unknown_key(schema, location, path)
    if kind == "missing":
        node, required = _node(schema, location), location[-1]
        return (
            f"{_where(location[:-1], path)}: the key {required!r} is missing; expected "
            f"{allowed(node)} ({node['description']})"
        )
    if location[-1:] == ("[key]",):
        return (
            f"{_where(location[:-2], path)}: the name {_shown(location[-2])} cannot be used; "
            "expected a short lower-case word of letters and digits, such as nucleus"
        )
    node = _node(schema, location)
    meaning = f" ({node['description']})" if "description" in node else ""
    return f"{_where(location, path)}: expected {allowed(node)}; got {_shown(value)}{meaning}"


def _unknown_key(schema: Mapping[str, Any], location: Sequence[Any], path: str) -> str:
    name = location[-1]
    known = list(_node(schema, location[:-1]).get("properties", {}))
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
    return f"{_where(location[:-1], path)}: unknown key {_shown(name)}; {hint}"


def _node(schema: Mapping[str, Any], location: Sequence[Any]) -> Mapping[str, Any]:
    """Return the node of the schema at a location; that of an unknown place is empty."""
    node: Any = schema
    for part in location:
        properties = node.get("properties", {})
        child = node.get("items") if isinstance(part, int) else properties.get(part)
        node = child or node.get("additionalProperties") or {}
    return node if isinstance(node, Mapping) else {}


def _where(location: Sequence[Any], path: str) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    return f"{path}{''.join(parts)}".removeprefix(".") or "the configuration"


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):  # as YAML writes them
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)[:MAX_SHOWN]


def _number(value: Any) -> str:
    return f"{value:.15g}" if isinstance(value, float) else str(value)
