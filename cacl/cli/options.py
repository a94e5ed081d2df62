"""Options that commands share, and the options that are derived from the configuration."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import typer

from cacl.config import Config, LabelsConfig, TilesConfig
from cacl.errors import ConfigError
from cacl.runtime.blas import allocate_blas_buffers
from cacl.runtime.json_text import parse_json
from cacl.runtime.printable import printable
from cacl.runtime.resources import error_sentence
from cacl.runtime.section import Section

CLASS_EXAMPLE = 'nucleus={"cell_type": "enterocytes", "location": "nuclear", "shape": "area"}'


@dataclass(frozen=True)
class Keys:
    """Limits a section that a command takes to some of its keys."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Key:
    """Marks a parameter of a command as one key of a section."""

    section: type[Section]
    name: str


Out = Annotated[Path, typer.Option(help="Where the product goes.")]
Failures = Annotated[Path, typer.Option(help="CSV of the images left out, with reasons.")]
StorePath = Annotated[Path, typer.Option(help="The OME-Zarr store.")]
ModelPath = Annotated[Path, typer.Option(help="Folder of the trained model.")]
SelectedTiles = Annotated[Path, typer.Option(help="Table of `cacl select`.")]
Jobs = Annotated[int, typer.Option(min=1, help="Number of images processed at the same time.")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads.")]
Seed = Annotated[int, Key(Config, "seed")]
CellType = Annotated[str, Key(LabelsConfig, "cell_type")]
MinTissueFraction = Annotated[float, Key(TilesConfig, "min_tissue_fraction")]


_command = ContextVar("_command", default="cacl")
"""Name of the running command, for messages."""


@contextmanager
def report_errors(status: int = 1) -> Iterator[None]:
    """Print an error that the user can fix as one sentence, and exit with `status`.

    These are the errors of this package, temporary conditions of the machine, files that cannot be
    read or written, and names that are not UTF-8. Any other error is a fault of the program and
    keeps its traceback.
    """
    try:
        allocate_blas_buffers()
        yield
    except (KeyboardInterrupt, SystemExit, typer.Exit, typer.Abort):
        raise
    except BaseException as error:
        sentence = error_sentence(error, _command.get())
        if sentence is None:
            raise
        typer.secho(f"Error: {printable(sentence)}", err=True, fg=typer.colors.RED)
        raise typer.Exit(status) from error


def with_config_options(function: Callable[..., None]) -> Callable[..., None]:
    """Return a command with one option per key of the configuration that it takes.

    A parameter of a section's type becomes the options of its keys (those of `Keys`, where it is
    annotated with it), one annotated with `Key` becomes that key's option, and one of a dataclass
    of `cacl.steps.parameters` the options of its fields. Type, range, help and default are those
    of the key or field. A key that may be null or an empty list is that where its option is left
    out, because `Section.cli_args` leaves such values out.
    """
    hints = get_type_hints(function, include_extras=True)
    parameters: list[inspect.Parameter] = []
    sections: dict[str, tuple[type[Section], tuple[str, ...]]] = {}
    groups: dict[str, Any] = {}
    keys: dict[str, Key] = {}
    for parameter in inspect.signature(function).parameters.values():
        hint, *marks = get_args(hints[parameter.name]) or (hints[parameter.name],)
        if isinstance(hint, type) and issubclass(hint, Section):
            names = next((mark.names for mark in marks if isinstance(mark, Keys)), None)
            sections[parameter.name] = hint, names or tuple(hint.model_fields)
            parameters += [_option(hint, name, name) for name in sections[parameter.name][1]]
        elif dataclasses.is_dataclass(hint):
            groups[parameter.name] = hint
            parameters += _group_options(hint)
        elif marks and isinstance(marks[0], Key):
            keys[parameter.name] = marks[0]
            parameters.append(_option(marks[0].section, marks[0].name, parameter.name))
        else:
            kind = inspect.Parameter.KEYWORD_ONLY
            parameters.append(parameter.replace(annotation=hints[parameter.name], kind=kind))

    @functools.wraps(function)
    def command(**options: Any) -> None:
        _command.set(f"cacl {function.__name__.replace('_', '-')}")
        values = {name: value for name, value in options.items() if name not in keys}
        with report_errors():
            for name, key in keys.items():
                values[name] = getattr(_section(key.section, {key.name: options[name]}), key.name)
            for name, (section, names) in sections.items():
                values[name] = _section(section, {key: values.pop(key) for key in names})
            for name, group in groups.items():
                fields = dataclasses.fields(group)
                values[name] = group(**{field.name: values.pop(field.name) for field in fields})
            function(**values)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


def _section(section: type[Section], values: dict[str, Any]) -> Section:
    if values.get("classes") is not None:
        values["classes"] = _parse_classes(values["classes"])
    return section(**values)


def _parse_classes(options: Sequence[str]) -> dict[str, Any]:
    """Return the entries of `labels.classes` that options `NAME={...}` name, in order."""
    classes: dict[str, Any] = {}
    for option in options:
        name, _, text = option.partition("=")
        try:
            values = parse_json(text)
        except ValueError:
            values = None
        if not isinstance(values, dict):
            raise ConfigError(
                f"--classes {option[:100]!r} cannot be read; expected NAME={{...}}, such as "
                f"{CLASS_EXAMPLE}"
            )
        if name in classes:
            raise ConfigError(f"--classes names {name[:50]!r} twice; remove one of them")
        classes[name] = values
    return classes


def _option(section: type[Section], key: str, name: str) -> inspect.Parameter:
    """Return a key as a parameter that Typer understands, named `name`."""
    field = section.model_fields[key]
    value_type: Any
    value_type, nullable = _without_none(field.annotation)
    limits = {
        name: getattr(item, name)
        for item in field.metadata
        for name in ("ge", "gt", "le", "min_length")
        if getattr(item, name, None) is not None
    }
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    settings: dict[str, Any] = {"help": field.description}
    if "unit" in extra:
        settings["help"] = f"{field.description} [{extra['unit']}]"
    default: Any = None if nullable else field.default
    if get_origin(value_type) in (tuple, dict):
        item = _without_none(get_args(value_type)[0])[0]
        value_type = list[float] if item is float else list[str]
        default = list(field.default) if limits.get("min_length") else []
        settings["help"] += " Repeat the option for several."
        settings["metavar"] = "NAME=JSON" if get_origin(field.annotation) is dict else None
    elif get_origin(value_type) in (Union, types.UnionType):
        value_type = str  # a word or JSON, which the section reads
    elif value_type in (int, float):
        settings |= {"min": limits.get("ge", limits.get("gt")), "max": limits.get("le")}
    if nullable:
        value_type |= None
    annotation = Annotated[value_type, typer.Option(**settings)]
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _group_options(group: Any) -> Iterator[inspect.Parameter]:
    """Yield the fields of a dataclass as parameters that Typer understands."""
    hints = get_type_hints(group)
    for field in dataclasses.fields(group):
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if default is dataclasses.MISSING:
            default = inspect.Parameter.empty
        value_type: Any = hints[field.name]
        annotation = Annotated[value_type, typer.Option(**field.metadata)]
        kind = inspect.Parameter.KEYWORD_ONLY
        yield inspect.Parameter(field.name, kind, default=default, annotation=annotation)


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """Return a type without None and without the marks of `Annotated`, and if None was in it."""
    nullable = types.NoneType in get_args(annotation)
    if nullable:
        annotation = next(each for each in get_args(annotation) if each is not types.NoneType)
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation, nullable
