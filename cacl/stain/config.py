"""The section `stain` of the configuration: with which vectors haematoxylin and DAB are separated.

It is a module of its own beside `cacl/config.py` because its one key is a word or a mapping.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, WithJsonSchema

from cacl.runtime.json_text import parse_json
from cacl.runtime.section import Section, key
from cacl.stain.vectors import StainVectors

FIXED, ESTIMATED = "fixed", "estimated"
NAMES = ("hematoxylin", "dab")
FORM = "fixed, estimated, or {hematoxylin: [r, g, b], dab: [r, g, b]}"
MAX_SHOWN = 100


def _read_vectors(value: Any) -> Any:
    """Return a word as it is, and vectors of a mapping, or of its JSON in an option, as such.

    Raises
    ------
    ValueError
        It is neither, or the vectors cannot be used.
    """
    if isinstance(value, StainVectors) or value in (FIXED, ESTIMATED):
        return value
    found = value
    if isinstance(value, str):
        try:
            found = parse_json(value)
        except ValueError:
            found = None
    if not isinstance(found, Mapping) or set(found) != set(NAMES):
        raise ValueError(f"expected {FORM}; got {repr(value)[:MAX_SHOWN]}")
    for name in NAMES:
        vector = found[name]
        numbers = isinstance(vector, list | tuple) and [
            each for each in vector if isinstance(each, int | float) and not isinstance(each, bool)
        ]
        if not numbers or len(numbers) != 3 or len(vector) != 3:
            raise ValueError(
                f"{name} must be three optical densities, of red, green and blue; got "
                f"{repr(vector)[:MAX_SHOWN]}"
            )
    try:
        return StainVectors.of(*(found[name] for name in NAMES))
    except OverflowError as error:  # a whole number beyond any float
        raise ValueError(f"a density is too large: {error}") from error


_SCHEMA = {
    "type": ["string", "object"],
    "pattern": f"^({FIXED}|{ESTIMATED})$",
    "required": list(NAMES),
    "additionalProperties": {
        "type": "array",
        "items": {"type": "number", "minimum": 0},
        "minItems": 3,
        "maxItems": 3,
    },
}
Vectors = Annotated[
    Literal["fixed", "estimated"] | StainVectors,
    BeforeValidator(_read_vectors),
    WithJsonSchema(_SCHEMA),
]


class StainConfig(Section):
    """How haematoxylin and DAB are separated. A change makes a new store and a new model."""

    vectors: Vectors = key(
        FIXED,
        "Optical densities of the two stains: fixed (those of Ruifrok & Johnston), estimated (once "
        "for the run, from a sample of its images, as QuPath does), or your own, such as QuPath "
        "shows for your scanner. Try estimated if many images are flagged stain vectors.",
        form=FORM,
    )
