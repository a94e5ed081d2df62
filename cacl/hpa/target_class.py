"""The patterns that are told apart: one class of labels, one codebook and one mask each.

Without `labels.classes` there is one, named `stain`, and everything is as in the paper.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cacl.errors import ConfigError

NAME = re.compile(r"[a-z][a-z0-9]{0,19}")
SHAPES = ("line", "area")
KEYS = ("cell_type", "location", "shape")
LABELS = ("positive", "negative", "")
MAX_CLASSES = 8


@dataclass(frozen=True, kw_only=True)
class TargetClass:
    """One class (an entry of the section `labels.classes` of the config).

    Parameters
    ----------
    name
        A short lower-case word, at most 20 letters and digits.
    cell_type
        Cell type whose annotation gives the label, in any case.
    location
        Part of the location that the atlas must name, such as `nuclear`; empty for any.
    shape
        Which pixels may show the pattern: `line`, where DAB stands out from its surroundings, as
        on a thin border; `area`, wherever a cell is DAB-positive, as in a stained cytoplasm.

    Raises
    ------
    ConfigError
        A value has no meaning.
    """

    name: str
    cell_type: str = ""
    location: str = ""
    shape: str = "line"

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ConfigError(
                f"labels.classes: {self.name[:50]!r} is no name for a class; expected a short "
                "lower-case word of letters and digits, such as nucleus"
            )
        if self.shape not in SHAPES:
            raise ConfigError(
                f"labels.classes.{self.name}.shape is {self.shape[:50]!r}; expected one of "
                f"{', '.join(SHAPES)}"
            )
        object.__setattr__(self, "cell_type", self.cell_type.strip().lower())
        object.__setattr__(self, "location", self.location.strip().lower())


SINGLE_CLASS = TargetClass(name="stain")


def label_name(number: int, target_class: TargetClass) -> str:
    """Return the name of a class's mask in the store: `stain` for the first, number 0."""
    return "stain" if number == 0 else f"stain-{target_class.name}"


def parse_classes(options: Iterable[str]) -> tuple[TargetClass, ...]:
    """Return the classes that options of a command name, in order.

    Parameters
    ----------
    options
        `<name>=<JSON object>` each, with the keys `cell_type`, `location` and `shape`, such as
        `nucleus={"cell_type": "enterocytes", "location": "nuclear", "shape": "area"}`.

    Raises
    ------
    ConfigError
        An option cannot be read, has no cell type or an unknown key, or two have one name.
    """
    found: list[TargetClass] = []
    for option in options:
        name, _, text = option.partition("=")
        try:
            values: Any = json.loads(text)
        except ValueError:
            values = None
        if not isinstance(values, dict) or not all(
            key in KEYS and isinstance(value, str) for key, value in values.items()
        ):
            raise ConfigError(
                f"--classes {option[:100]!r} cannot be read; expected NAME={{...}} with texts for "
                f"{', '.join(KEYS)}, such as "
                'nucleus={"cell_type": "enterocytes", "location": "nuclear", "shape": "area"}'
            )
        target_class = TargetClass(name=name, **values)
        if not target_class.cell_type:
            raise ConfigError(
                f"labels.classes.{name} lacks its cell_type, so no annotation can label it; write "
                f"`{name}: {{cell_type: enterocytes}}`"
            )
        found.append(target_class)
    names = [target_class.name for target_class in found]
    if len(set(names)) < len(names) or len(names) > MAX_CLASSES:
        raise ConfigError(
            f"labels.classes are {', '.join(names)}; expected at most {MAX_CLASSES}, each named once"
        )
    return tuple(found)


def join_labels(labels: Mapping[str, str]) -> str:
    """Return labels as a column `class_labels` holds them: `microvilli=positive;nucleus=`."""
    return ";".join(f"{name}={label}" for name, label in labels.items())


def split_labels(text: str) -> dict[str, str]:
    """Return the labels of a column `class_labels` by class, in order; none for an empty text.

    Raises
    ------
    ConfigError
        The text has another form, or a label is unknown.
    """
    labels: dict[str, str] = {}
    for part in text.split(";") if text else []:
        name, sign, label = (piece.strip() for piece in part.partition("="))
        if not sign or not NAME.fullmatch(name) or label not in LABELS or name in labels:
            raise ConfigError(
                f"class_labels {text[:100]!r} cannot be read; expected each class once, with "
                "positive, negative or nothing, such as microvilli=positive;nucleus=negative"
            )
        labels[name] = label
    return labels


def with_first(class_labels: str, label: str) -> str:
    """Return a column `class_labels` whose first class has another label; nothing for nothing."""
    labels = split_labels(class_labels)
    return join_labels(labels | dict.fromkeys([*labels][:1], label))


def class_labels_of(
    label: str, class_labels: str, classes: Sequence[TargetClass]
) -> tuple[str, ...]:
    """Return an image's or a tile's label in each class.

    Parameters
    ----------
    label, class_labels
        Columns of those names.
    patterns
        The classes; a single one takes the column `label`, whatever its name.

    Raises
    ------
    ConfigError
        `class_labels` lacks one of several classes.
    """
    if len(classes) == 1:
        return (label,)
    found = split_labels(class_labels)
    unknown = [target_class.name for target_class in classes if target_class.name not in found]
    if unknown:
        raise ConfigError(
            f"No label for the class {unknown[0]!r}; the table has {', '.join(found) or 'none'}: "
            "correct labels.classes, or run the steps from `cacl catalog` again"
        )
    return tuple(found[target_class.name] for target_class in classes)
