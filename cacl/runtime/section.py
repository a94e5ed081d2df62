"""A section of the typed configuration: a frozen model whose keys become options of commands."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cacl.errors import ConfigError
from cacl.runtime.validation import error_sentences


def key(default: Any, description: str, *, unit: str = "", form: str = "", **limits: Any) -> Any:
    """Return a key; `form` says in words what a pattern asks for."""
    extra: dict[str, Any] = {"unit": unit} if unit else {}
    extra |= {"form": form} if form else {}
    return Field(default, description=description, json_schema_extra=extra, **limits)


class Section(BaseModel):
    """A part of the configuration: frozen, with no other keys than its own, types taken strictly.

    Raises
    ------
    ConfigError
        On construction, with one line per problem.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=False
    )

    if not TYPE_CHECKING:  # type checkers use the fields

        def __init__(self, /, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise ConfigError(error_sentences(type(self), error, self.section_name())) from None

        # Nested sections are then validated with the whole, as for pydantic's RootModel.
        __init__.__pydantic_base_init__ = True

    @classmethod
    def section_name(cls) -> str:
        """Return the section's key in the configuration: `tiles` for `TilesConfig`."""
        return cls.__name__.removesuffix("Config").lower()

    def cli_args(self, *keys: str) -> str:
        """Return keys (all if none is named) as options of a command: `--tile-px 128 ...`.

        A list becomes a repeated option, and so does a mapping, as `name=<JSON>`. Null and empty
        values are left out: a command takes a left-out option as null or as an empty list.
        """
        return " ".join(self._options(keys or tuple(type(self).model_fields)))

    def _options(self, keys: Sequence[str]) -> Iterator[str]:
        for name in keys:
            value = getattr(self, name)
            if isinstance(value, Mapping):
                entries = ((each, json.dumps(entry.model_dump())) for each, entry in value.items())
                value = tuple(f"{each}={text}" for each, text in entries)
            for item in value if isinstance(value, tuple) else (value,):
                if item is not None:
                    yield f"--{name.replace('_', '-')} {shlex.quote(str(item))}"
